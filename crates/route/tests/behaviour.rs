//! What users and patchbays rely on, one thing at a time.

use std::collections::BTreeMap;

use wireloom_route::{
    Answer, Change, Command, Device, DeviceId, Edit, Engine, Obstacle, Outcome, Pair, Port, Presence, Preset,
    Role, RouteState, Side, Source, Takes, Target,
};
use wireloom_units::Nanos;

const START: Nanos = Nanos::from_secs(10);

fn pair(output: (&str, u16), input: (&str, u16)) -> Pair {
    Pair::new(Port::new(output.0, output.1), Port::new(input.0, input.1))
}

/// A stage box and a monitor mixer that understand each other, a desk that understands nobody, and a recorder here.
fn studio() -> Engine {
    let mut engine = Engine::new();
    for (name, device) in [
        ("stage", Device::remote(Side::Transmits, 64, &["dante:48000"])),
        ("desk", Device::remote(Side::Transmits, 64, &["other"])),
        ("monitor", Device::remote(Side::Receives, 64, &["oat", "dante:48000"])),
        ("recorder", Device::here(Side::Receives, 2)),
    ] {
        engine.handle_device(START, &name.into(), device);
    }
    engine.handle_graph(START, true);
    engine.handle_subscriptions(START, &"monitor".into(), Vec::new());
    engine.handle_timeout(START);
    engine
}

/// Lets time pass; every command that comes out is answered by `answer`, change by change.
fn run(engine: &mut Engine, seconds: u64, mut answer: impl FnMut(&Change) -> Outcome) -> Vec<Command> {
    let (mut now, end) = (START, START.plus(Nanos::from_secs(seconds)));
    let mut commands = Vec::new();
    loop {
        engine.handle_timeout(now);
        while let Some(command) = engine.poll_command() {
            engine.handle_result(now, command.id, command.changes.iter().map(&mut answer).collect());
            commands.push(command);
        }
        match engine.poll_timeout() {
            Some(due) if due <= end => now = now.max(due),
            _ => return commands,
        }
    }
}

fn done(_: &Change) -> Outcome {
    Outcome::Done
}

#[test]
fn sixty_four_mono_links_drawn_at_once_become_one_command() {
    let mut engine = studio();
    for channel in 0..64 {
        // One after the other, as a patchbay draws them, within the time that is waited for more.
        let now = START.plus(Nanos(u64::from(channel) * 500_000));
        engine.wish(now, pair(("stage", channel), ("monitor", 63 - channel)));
        engine.handle_timeout(now);
    }
    let commands = run(&mut engine, 60, done);
    assert_eq!(commands.iter().map(|command| command.changes.len()).collect::<Vec<_>>(), [64]);
    assert_eq!(commands[0].target, Target::Receiver("monitor".into()));

    // A protocol that carries 16 at most gets four, one after the other.
    let mut engine = studio();
    let narrow = Device { batch: 16, ..Device::remote(Side::Receives, 64, &["dante:48000"]) };
    engine.handle_device(START, &"monitor".into(), narrow);
    engine.handle_timeout(START);
    for channel in 0..64 {
        engine.wish(START, pair(("stage", channel), ("monitor", channel)));
    }
    let commands = run(&mut engine, 60, done);
    assert_eq!(commands.iter().map(|command| command.changes.len()).collect::<Vec<_>>(), [16; 4]);
}

#[test]
fn the_answer_says_how_two_channels_can_be_connected_or_why_not() {
    let mut engine = studio();
    let whole = Device { takes: Takes::Streams, ..Device::remote(Side::Receives, 2, &["other"]) };
    engine.handle_device(START, &"hub".into(), whole);
    let deaf = Device { controlled: false, ..Device::remote(Side::Receives, 2, &["other"]) };
    engine.handle_device(START, &"deaf".into(), deaf);
    let impossible = Answer::Impossible;
    for (output, input, answer) in [
        (("stage", 0), ("monitor", 9), Answer::Direct { token: "dante:48000".into() }),
        (("desk", 0), ("monitor", 0), Answer::Relayed),
        (("stage", 0), ("recorder", 1), Answer::Here),
        (("desk", 1), ("hub", 1), Answer::Direct { token: "other".into() }),
        (("desk", 0), ("hub", 1), impossible(Obstacle::Crossed(Port::new("hub", 1)))),
        (("desk", 0), ("deaf", 0), impossible(Obstacle::NotControlled("deaf".into()))),
        (("desk", 0), ("recorder", 2), impossible(Obstacle::NoSuchChannel(Port::new("recorder", 2)))),
        (("desk", 0), ("stage", 0), impossible(Obstacle::NotAReceiver("stage".into()))),
        (("monitor", 0), ("recorder", 0), impossible(Obstacle::NotATransmitter("monitor".into()))),
        (("piano", 0), ("recorder", 0), impossible(Obstacle::Unknown("piano".into()))),
    ] {
        assert_eq!(engine.can_connect(&pair(output, input)), answer, "{output:?} to {input:?}");
    }
}

#[test]
fn a_relayed_route_is_a_link_here_and_a_subscription_to_this_computer() {
    let mut engine = studio();
    let route = pair(("desk", 0), ("monitor", 5));
    engine.wish(START, route.clone());
    let changes: Vec<_> =
        run(&mut engine, 60, done).into_iter().flat_map(|command| command.changes).collect();
    let input = route.input.clone();
    let subscribe = Change::Subscribe { input: input.clone(), source: Source::ThisComputer };
    assert!(
        changes.len() == 2 && changes.contains(&subscribe) && changes.contains(&Change::Link(route.clone()))
    );
    engine.withdraw(START, &route);
    let changes: Vec<_> =
        run(&mut engine, 60, done).into_iter().flat_map(|command| command.changes).collect();
    assert!(
        changes.contains(&Change::Clear(input)) && changes.contains(&Change::Unlink(route)),
        "{changes:?}"
    );
}

#[test]
fn what_is_refused_is_said_and_asked_again_only_when_the_device_restarts_or_the_user_asks() {
    let mut engine = studio();
    let route = pair(("stage", 0), ("monitor", 0));
    engine.wish(START, route.clone());
    let refuse = |_: &Change| Outcome::Refused("The monitor is locked.".into());
    assert_eq!(run(&mut engine, 3600, refuse).len(), 1);
    let seen = engine.route(route.clone());
    assert_eq!((seen.state, seen.reason, seen.wished), (RouteState::Failed, "refused", true));
    assert_eq!(seen.text, "The monitor is locked.");
    engine.wish(START, route.clone());
    assert_eq!(run(&mut engine, 3600, refuse).len(), 1);
    let there = Presence::There { epoch: 2 };
    let again = Device { presence: there, ..Device::remote(Side::Receives, 64, &["dante:48000"]) };
    engine.handle_device(START, &"monitor".into(), again);
    engine.handle_subscriptions(START, &"monitor".into(), Vec::new());
    assert_eq!(run(&mut engine, 3600, done).len(), 1);
    assert_eq!(engine.route(route).state, RouteState::Degraded); // subscribed; nothing said of audio yet
}

#[test]
fn what_fails_is_tried_again_ever_more_seldom() {
    let mut engine = studio();
    engine.wish(START, pair(("stage", 0), ("monitor", 0)));
    let tries = run(&mut engine, 120, |_| Outcome::Failed("There was no answer.".into())).len();
    assert_eq!(tries, 8, "1, 2, 4, 8, 16 and then 30 seconds after each other");
}

#[test]
fn a_newer_wish_replaces_the_one_before_on_the_same_input() {
    let mut engine = studio();
    let (first, second) = (pair(("stage", 0), ("monitor", 0)), pair(("stage", 7), ("monitor", 0)));
    engine.wish(START, first.clone());
    run(&mut engine, 1, done);
    engine.wish(START, second.clone());
    let commands = run(&mut engine, 60, done);
    let source = Source::Port(second.output.clone());
    assert_eq!(commands.len(), 1);
    assert_eq!(commands[0].changes, [Change::Subscribe { input: second.input.clone(), source }]);
    assert!(!engine.is_wished(&first) && engine.is_wished(&second));
    // An application mixes what is linked to it.
    for output in [("stage", 0), ("desk", 0)] {
        engine.wish(START, pair(output, ("recorder", 0)));
    }
    let links: usize = run(&mut engine, 60, done).iter().map(|command| command.changes.len()).sum();
    assert_eq!(links, 2);
}

#[test]
fn a_channel_of_a_whole_stream_goes_with_the_last_one() {
    let mut engine = studio();
    let hub = Device { takes: Takes::Streams, ..Device::remote(Side::Receives, 2, &["other"]) };
    engine.handle_device(START, &"hub".into(), hub);
    engine.handle_subscriptions(START, &"hub".into(), Vec::new());
    let [left, right] = [0, 1].map(|channel| pair(("desk", channel), ("hub", channel)));
    engine.wish(START, left.clone());
    // Told of one channel it plays both, and is left alone.
    assert_eq!(run(&mut engine, 60, done).len(), 1);
    let plays = [0, 1].map(|channel| (channel, Source::Port(Port::new("desk", channel)), true));
    engine.handle_subscriptions(START, &"hub".into(), plays.to_vec());
    assert_eq!(run(&mut engine, 60, done), []);
    engine.wish(START, right.clone());
    engine.withdraw(START, &left);
    assert_eq!(run(&mut engine, 60, done), [], "the right channel is still wanted");
    engine.withdraw(START, &right);
    let commands = run(&mut engine, 60, done);
    assert_eq!(commands.len(), 1);
    assert!(commands[0].changes.iter().all(|change| matches!(change, Change::Clear(_))), "{commands:?}");
    assert_eq!(engine.saved(), []);
}

#[test]
fn another_controller_is_not_fought() {
    let mut engine = studio();
    let (ours, other) = (pair(("stage", 0), ("monitor", 0)), Source::Port(Port::new("stage", 9)));
    engine.wish(START, ours.clone());
    run(&mut engine, 1, done);
    engine.handle_subscriptions(START, &"monitor".into(), vec![(0, other, true)]);
    assert_eq!(run(&mut engine, 3600, done), []);
    assert!(!engine.is_wished(&ours));
    let theirs: Vec<_> = engine.routes().map(|route| (route.pair, route.wished, route.state)).collect();
    assert_eq!(theirs, [(pair(("stage", 9), ("monitor", 0)), false, RouteState::Receiving)]);
    // Removed there, it vanishes here.
    engine.handle_subscriptions(START, &"monitor".into(), Vec::new());
    assert_eq!(engine.routes().count(), 0);
}

#[test]
fn nothing_is_kept_of_who_is_forgotten_while_it_is_asked() {
    let mut engine = studio();
    engine.handle_device(START, &"player".into(), Device::here(Side::Transmits, 2));
    let drawn = pair(("player", 0), ("monitor", 0));
    engine.handle_link(START, &drawn, true);
    engine.handle_timeout(START);
    let command = engine.poll_command().expect("the monitor is told to listen to this computer");
    engine.handle_link(START, &drawn, false);
    assert!(!engine.is_of_interest(&"monitor".into()));
    engine.forget_device(START, &"monitor".into());
    engine.handle_result(START, command.id, vec![Outcome::Failed("it has left".into())]);
    engine.handle_timeout(START.plus(Nanos::from_secs(60)));
    assert!(!format!("{engine:?}").contains("monitor"), "{engine:?}");
}

#[test]
fn a_dry_run_tells_the_commands_and_changes_nothing() {
    let mut engine = studio();
    run(&mut engine, 1, done);
    let before = format!("{engine:?}");
    let edits: Vec<_> =
        (0..3).map(|channel| Edit::Wish(pair(("stage", channel), ("monitor", channel)))).collect();
    let commands = engine.dry_run(START, &edits);
    assert_eq!(commands.iter().map(|command| command.changes.len()).collect::<Vec<_>>(), [3]);
    assert_eq!(format!("{engine:?}"), before);
}

#[test]
fn a_checkpoint_brings_back_what_was_wished() {
    let mut engine = studio();
    let (kept, removed) = (pair(("stage", 0), ("monitor", 0)), pair(("stage", 1), ("monitor", 1)));
    let (replaced, added) = (pair(("stage", 2), ("monitor", 2)), pair(("stage", 3), ("monitor", 2)));
    for route in [&kept, &removed, &replaced] {
        engine.wish(START, route.clone());
    }
    run(&mut engine, 1, done);
    let checkpoint = engine.checkpoint();
    engine.withdraw(START, &removed);
    engine.wish(START, added.clone());
    run(&mut engine, 1, done);
    let edits = engine.edits_to(&checkpoint);
    engine.edit(START, &edits);
    run(&mut engine, 1, done);
    assert_eq!(engine.checkpoint(), checkpoint);
    let plays: Vec<_> = engine.routes().map(|route| (route.pair, route.state)).collect();
    assert_eq!(plays, [kept, removed, replaced].map(|route| (route, RouteState::Degraded)));
}

#[test]
fn a_preset_fits_other_devices_by_their_roles() {
    let mut engine = studio();
    engine.handle_device(START, &"stage 2".into(), Device::remote(Side::Transmits, 64, &["dante:48000"]));
    engine.wish(START, pair(("stage", 0), ("monitor", 0)));
    let preset = Preset::of(&engine, |id| format!("The {id}"));
    engine.withdraw(START, &pair(("stage", 0), ("monitor", 0)));
    engine.wish(START, pair(("desk", 0), ("recorder", 0)));
    let roles = BTreeMap::from([(Role("The stage".into()), DeviceId::from("stage 2"))]);
    let wish = Edit::Wish(pair(("stage 2", 0), ("monitor", 0)));
    assert_eq!(preset.edits(&engine, &roles, false), Ok(vec![wish.clone()]));
    let withdraw = Edit::Withdraw(pair(("desk", 0), ("recorder", 0)));
    assert_eq!(preset.edits(&engine, &roles, true), Ok(vec![withdraw, wish]));
    let unnamed = Preset { roles: BTreeMap::new(), ..preset };
    let missing = unnamed.edits(&engine, &BTreeMap::new(), false).expect_err("nobody has the role");
    assert_eq!(missing.to_string(), "no device has the role \"The stage\"");
}
