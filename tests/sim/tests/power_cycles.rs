//! Routes over power cuts: every party goes and returns in random order, and every wish is honoured again.

use wireloom_sim::Random;

// The studio that the engine's own tests use: it carries out what it is told, or not.
#[path = "../../../crates/route/tests/world/mod.rs"]
mod world;

use world::{DEVICES, INPUTS, OUTPUTS, Op, World};

fn below(random: &mut Random, limit: u64) -> u64 {
    random.bits() % limit
}

/// One party loses its power, or all of them; what is on its way then may or may not arrive.
fn cut(world: &mut World, random: &mut Random) {
    let applied = below(random, 2) == 0;
    match below(random, 4) {
        0 => {
            let device = below(random, DEVICES as u64) as usize;
            world.apply(Op::Leave(device));
            world.apply(Op::Pass(below(random, 5000)));
            world.apply(Op::Return { device, forgets: applied });
        }
        1 => world.apply(Op::Restart { applied }),
        2 => {
            world.apply(Op::GraphStops);
            world.apply(Op::Pass(below(random, 5000)));
            world.apply(Op::GraphStarts);
        }
        _ => {
            for device in 0..DEVICES {
                world.apply(Op::Leave(device));
            }
            world.apply(Op::GraphStops);
            world.apply(Op::Restart { applied });
            world.apply(Op::Pass(below(random, 60_000)));
            for device in 0..DEVICES {
                world.apply(Op::Return { device, forgets: below(random, 2) == 0 });
            }
            world.apply(Op::GraphStarts);
        }
    }
}

#[test]
fn every_wish_is_honoured_again_after_two_hundred_power_cycles_of_each_party() {
    for seed in 0..200 {
        let random = &mut Random::new(seed);
        let mut world = World::new();
        for _ in 0..6 {
            let (output, input) =
                (below(random, OUTPUTS as u64) as usize, below(random, INPUTS as u64) as usize);
            world.apply(Op::Wish { output, input });
        }
        let wished = |world: &World| {
            let mut pairs: Vec<_> = world.engine.saved().into_iter().filter(|wish| wish.wished).collect();
            pairs.sort_by(|a, b| a.pair.cmp(&b.pair));
            pairs
        };
        world.heal(); // newer wishes have replaced older ones on the same input by now
        let before = wished(&world);
        assert!(!before.is_empty());
        for _ in 0..8 {
            cut(&mut world, random);
            world.verify_invariants();
            if below(random, 2) == 0 {
                world.apply(Op::Answer);
            }
        }
        world.heal();
        world.verify_rest();
        assert_eq!(wished(&world), before, "seed {seed}");
    }
}
