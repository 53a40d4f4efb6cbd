use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use wireloom_clock_page::LineState;
use wireloom_units::ClockIdentity;

use crate::clock::Clock;
use crate::peers::RtpStream;
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::SOON;

/// Frames that are recorded before the leader dies, and again after everybody is locked to the next one.
const MARGIN: u64 = 96_000;
/// Frames after which both must have locked to the next leader: a minute.
const LIMIT: u64 = 2_880_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 4;
/// Latency class: ten milliseconds, because a shared machine stalls.
const LATENCY: u32 = 480;
/// How much faster than this machine both leaders run.
const PPM: f64 = 80.0;
/// Announcements that the next leader misses before it takes over: for that long everybody holds over.
const PATIENCE: u8 = 7;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);

/// In the middle of a recording of what one of our computers plays to another the leader that both follow dies. Both
/// hold over, find the next best clock, which had followed the same leader, and lock to it; nothing is heard of all
/// this.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (first, second) = (studio.host("first")?, studio.host("second")?);
    let (sender, receiver) = (studio.host("sender")?, studio.host("receiver")?);
    let mut next = Clock::patient_leader(&second, products, 0, 110, PPM, PATIENCE)?;
    let successor = next.wait_for(LineState::Leader, SOON)?.leader;
    let mut followers = [Clock::follower(&sender, products, 0)?, Clock::follower(&receiver, products, 0)?];

    let stream = RtpStream::standard(1, 2);
    let _playing = scene::play(&sender, products, &stream)?;
    let heard = BTreeMap::from([("lab.tx".to_owned(), scene::same_clock_node(&stream, "Lab", LATENCY))]);
    let mut graph = scene::start_module(&receiver, products, &heard, PipeWireOptions::default())?;
    let node = graph.wait_for_node("wireloom.lab.tx", stream.channels, 0, SOON)?;

    for _ in 0..TRIES {
        let mut leader = Clock::leader(&first, products, 0, 100, PPM)?;
        let best = leader.wait_for(LineState::Leader, SOON)?.leader;
        for clock in followers.iter_mut().chain([&mut next]) {
            clock.wait_to_follow(best, LOCK)?;
        }
        let mut leader = Some(leader);
        let (mut before, mut locked_at) = (Vec::new(), None);
        let run = scene::record_until(products, &mut graph, &node, &stream, |frame| {
            if leader.is_some() && frame >= MARGIN {
                for clock in &followers {
                    before.push(Before::new(clock)?);
                }
                leader = None;
            }
            if locked_at.is_none() && leader.is_none() && follow(&followers, successor)? {
                locked_at = Some(frame);
            }
            ensure!(frame < LIMIT, "not everybody has locked to the next leader within {LIMIT} frames");
            Ok(locked_at.is_some_and(|at| frame >= at + MARGIN))
        })?;
        let changes = before.iter().zip(&followers).map(|(before, clock)| before.changes(clock));
        let changes = changes.collect::<anyhow::Result<Vec<_>>>()?;
        if run.is_exact_of_graph()? {
            return Ok(format!(
                "{} samples across {}, locked {:.0} s after the loss",
                run.comparison.matched,
                changes[0].join(", "),
                locked_at.map_or(0.0, |at| (at - MARGIN) as f64 / 48_000.0)
            ));
        }
    }
    bail!("the machine disturbed all of {TRIES} runs; there is nothing to judge by")
}

/// Whether all are locked to `leader`.
fn follow(clocks: &[Clock], leader: ClockIdentity) -> anyhow::Result<bool> {
    for clock in clocks {
        if !clock.line()?.is_some_and(|line| line.state == LineState::Locked && line.leader == leader) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A follower at the moment at which its leader died.
struct Before {
    generation: u32,
    /// How much it had said.
    said: usize,
}

impl Before {
    fn new(clock: &Clock) -> anyhow::Result<Self> {
        let line = clock.line()?.context("a follower has a line")?;
        Ok(Self { generation: line.generation, said: clock.log().len() })
    }

    /// The states that it went through since. Errors: they are not holdover first and lock last, or its time stepped.
    fn changes(&self, clock: &Clock) -> anyhow::Result<Vec<String>> {
        let line = clock.line()?.context("its line vanished")?;
        let log = clock.log();
        let said = log.get(self.said..).context("its log became shorter")?;
        let states = said.lines().filter_map(|line| line.split_once("clock state ")?.1.split_once("to=\""));
        let states: Vec<String> = states.map(|(_, to)| to.trim_end_matches('"').to_owned()).collect();
        let in_order = states.first().is_some_and(|state| state == "holdover")
            && states.last().is_some_and(|state| state == "locked")
            && !states.iter().any(|state| state == "lost");
        ensure!(in_order, "holdover, then lock, not {states:?}");
        ensure!(
            line.generation == self.generation && !said.contains("stepped"),
            "its time was stepped:\n{said}"
        );
        Ok(states)
    }
}
