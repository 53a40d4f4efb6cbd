//! Whatever happens in whatever order, the engine comes to rest where every wish is honoured and nothing leaks.

mod world;

use proptest::prelude::*;
use world::{Op, World};

fn op() -> impl Strategy<Value = Op> {
    let output = 0..world::OUTPUTS;
    let input = 0..world::INPUTS;
    prop_oneof![
        6 => (output.clone(), input.clone()).prop_map(|(output, input)| Op::Wish { output, input }),
        3 => (output.clone(), input.clone()).prop_map(|(output, input)| Op::Withdraw { output, input }),
        3 => any::<prop::sample::Index>().prop_map(|which| Op::WithdrawSome(which.index(1000))),
        2 => (0..world::DEVICES).prop_map(Op::Leave),
        3 => (0..world::DEVICES, any::<bool>()).prop_map(|(device, forgets)| Op::Return { device, forgets }),
        2 => (prop::option::of(output.clone()), input.clone()).prop_map(|(output, input)| Op::Elsewhere { output, input }),
        1 => (input.clone(), any::<bool>()).prop_map(|(input, refuses)| Op::Refuse { input, refuses }),
        1 => any::<bool>().prop_map(|applied| Op::FailNext { applied }),
        2 => (output, input).prop_map(|(output, input)| Op::Draw { output, input }),
        2 => (0..1000_usize).prop_map(Op::Erase),
        1 => Just(Op::GraphStops),
        2 => Just(Op::GraphStarts),
        1 => any::<bool>().prop_map(|applied| Op::Restart { applied }),
        8 => Just(Op::Answer),
        4 => (1..2000_u64).prop_map(Op::Pass),
        1 => Just(Op::Checkpoint),
        1 => Just(Op::Rollback),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_of_operations_comes_to_rest_where_wishes_are_honoured(ops in prop::collection::vec(op(), 1..60)) {
        let mut world = World::new();
        for op in ops {
            world.apply(op);
            world.verify_invariants();
        }
        world.heal();
        world.verify_rest();
    }
}
