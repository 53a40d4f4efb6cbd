//! How much work many streams make, counted.

use std::sync::Arc;

use wireloom_units::Nanos;

use super::{Bench, sdp};
use crate::model::GraphEvent;
use crate::request::Ask;
use crate::store::Saved;
use crate::view::World;

const DEVICES: u8 = 50;
const STREAMS: u32 = 600;

fn announcement(number: u32) -> (u8, String) {
    let host = 21 + (number % u32::from(DEVICES)) as u8;
    (host, sdp(5000 + number, host, &format!("Crowd {number}"), (number % 250) as u8))
}

fn crowd() -> Bench {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    for number in 0..STREAMS {
        let (host, sdp) = announcement(number);
        bench.hear_from(host, &sdp);
        if number % u32::from(DEVICES) == 0 {
            bench.pass(1); // nobody says more than it may
        }
    }
    bench.pass(1);
    bench
}

/// Views of streams that are not those of the world before: what the bus has to look at.
fn made_anew(before: &World, after: &World) -> usize {
    let same = |id: &String, view| before.streams.get(id).is_some_and(|old| Arc::ptr_eq(old, view));
    after.streams.iter().filter(|(id, view)| !same(id, view)).count()
}

#[test]
fn only_what_is_heard_again_is_shown_anew() {
    let mut bench = crowd();
    let first = bench.model.refresh_world(bench.now);
    assert_eq!(first.streams.len(), STREAMS as usize);
    // The wall clock goes otherwise than ours, as it does while it is steered.
    bench.now.mono = bench.now.mono.plus(Nanos(1_000_300_700));
    bench.now.wall_us += 1_000_399;
    bench.settle();
    let second = bench.model.refresh_world(bench.now);
    assert_eq!(made_anew(&first, &second), 0, "nothing was heard");
    let (host, sdp) = announcement(7);
    bench.hear_from(host, &sdp);
    bench.settle();
    let third = bench.model.refresh_world(bench.now);
    assert_eq!(made_anew(&second, &third), 1);
    let heard = third.streams.values().find(|stream| stream.name == "Crowd 7").expect("is known");
    assert_eq!(heard.last_heard_us, bench.now.wall_us);
}

#[test]
fn a_write_that_is_never_confirmed_and_no_longer_wanted_does_not_keep_the_agent_busy() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.hear_from(21, &sdp(4711, 21, "Stage", 1));
    bench.model.settle(bench.now); // PipeWire is too busy to answer
    assert!(bench.model.poll_graph().is_some());
    let id = bench.model.streams.keys().next().expect("heard").clone();
    bench.model.handle_ask(bench.now, Ask::Remove { id, dry_run: false }).expect("is known");
    for _ in 0..10 {
        bench.now.mono = bench.now.mono.plus(Nanos::from_secs(1));
        bench.model.settle(bench.now);
        bench.model.poll_save(bench.now);
        let due = bench.model.poll_timeout();
        assert!(due.is_none_or(|due| due > bench.now.mono), "due at once, again and again");
    }
}

#[test]
fn a_graph_that_is_slow_to_follow_never_has_more_nodes_than_the_limit() {
    let mut bench = crowd();
    let limit = bench.model.node_limit();
    assert_eq!(bench.nodes().len(), limit);
    let mut under_way = std::collections::VecDeque::new();
    for _ in 0..200 {
        // Streams leave before the graph has their nodes.
        let shown = bench.model.streams.iter().filter(|(_, stream)| stream.shown);
        for id in shown.map(|(id, _)| id.clone()).take(3).collect::<Vec<_>>() {
            bench.model.handle_ask(bench.now, Ask::Remove { id, dry_run: false }).expect("is known");
        }
        bench.model.settle(bench.now);
        under_way.extend(std::iter::from_fn(|| bench.model.poll_graph()));
        for op in under_way.drain(..under_way.len().min(2)) {
            match &op.value {
                Some(value) => bench.object.insert(op.key.clone(), value.clone()),
                None => bench.object.remove(&op.key),
            };
            bench.model.handle_graph(bench.now, GraphEvent::Property { key: Some(op.key), value: op.value });
        }
        assert!(bench.nodes().len() <= limit, "{} nodes", bench.nodes().len());
    }
    for op in under_way.drain(..) {
        bench.model.handle_graph(
            bench.now,
            GraphEvent::Property { key: Some(op.key.clone()), value: op.value.clone() },
        );
        match op.value {
            Some(value) => bench.object.insert(op.key, value),
            None => bench.object.remove(&op.key),
        };
    }
    bench.settle();
    bench.settle();
    let left = bench.model.streams.len().min(limit);
    assert_eq!(bench.nodes().len(), left, "what waited for room has it");
}
