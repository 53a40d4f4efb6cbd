//! Why does a route carry no sound? From what the engine knows of it to an ordered list of checks.
//!
//! Pure, and with the verdicts of [`super::super::why`].

use wireloom_route::{Answer, Obstacle, RouteState, Step, Steps};
use wireloom_units::Nanos;

use crate::view::{Check, Verdict};

/// The checks of a route, in the order in which sound depends on them. `away` is the first end that is not there,
/// `detour` what a way through this computer adds; `name` turns the engine's names into those for people.
pub fn checks(
    way: &Answer,
    detour: Nanos,
    steps: &Steps,
    away: Option<&str>,
    name: impl Fn(&str) -> String,
) -> Vec<Check> {
    let mut list = Vec::new();
    let mut add = |check, (verdict, text): (Verdict, String)| {
        list.push(Check { name: check, verdict, reason: check, text: name(&text) });
    };
    let unknown = || (Verdict::Unknown, "Something before it must come right first.".to_owned());
    let ends_known = !matches!(way, Answer::Impossible(Obstacle::Unknown(_)));
    let here = ends_known && away.is_none();
    let possible = here && !matches!(way, Answer::Impossible(_));
    add("ends", if ends_known { ok("Both ends are known.") } else { way_of(way, detour) });
    add(
        "present",
        match away {
            _ if !ends_known => unknown(),
            Some(end) => (Verdict::Failed, format!("{end} is not there.")),
            None => ok("Both ends are there."),
        },
    );
    add("way", if here { way_of(way, detour) } else { unknown() });
    add(
        "link",
        match &steps.link {
            _ if !possible => unknown(),
            None => ok("Nothing of it passes through this computer."),
            Some((RouteState::Receiving, ..)) => ok("It is linked in this computer."),
            Some(step) => not_yet(step, "Its link is being made."),
        },
    );
    add(
        "ordered",
        match &steps.input {
            _ if !possible => unknown(),
            None => ok("It ends in this computer: nobody needs to be told."),
            Some((RouteState::Receiving | RouteState::Degraded, ..)) => ok("The receiver was told."),
            Some(step) => not_yet(step, "The receiver is being told."),
        },
    );
    add(
        "confirmed",
        match &steps.input {
            _ if !possible => unknown(),
            None => ok("It ends in this computer: nobody needs to confirm it."),
            Some((RouteState::Receiving, ..)) => ok("The receiver confirms that it has audio."),
            Some((RouteState::Degraded, _, text)) => (Verdict::Failed, text.clone()),
            Some(_) => unknown(),
        },
    );
    list
}

/// Pairs of channels of a route, from and to.
type Pairs<'a> = &'a [(u16, u16)];

/// The checks of a route from those of its channels, which are counted from 0: where they differ, what is wrong says of
/// which channels it is.
pub fn merged(mut lists: Vec<(Pairs<'_>, Vec<Check>)>) -> Vec<Check> {
    if lists.len() <= 1 {
        return lists.pop().map(|(_, checks)| checks).unwrap_or_default();
    }
    let count = lists.iter().map(|(_, checks)| checks.len()).min().unwrap_or(0);
    let merged = |at: usize| {
        let each = || lists.iter().filter_map(|(channels, checks)| Some((*channels, checks.get(at)?)));
        let (_, worst) = each().max_by_key(|(_, check)| severity(check.verdict))?;
        let mut texts: Vec<(&str, Vec<(u16, u16)>)> = Vec::new();
        for (channels, check) in each().filter(|(_, check)| severity(check.verdict) > 0) {
            match texts.iter_mut().find(|(text, _)| *text == check.text) {
                Some((_, all)) => all.extend_from_slice(channels),
                None => texts.push((&check.text, channels.to_vec())),
            }
        }
        let everywhere = each().all(|(_, check)| check.text == worst.text);
        let said = texts.iter().map(|(text, channels)| format!("{}: {text}", named(channels)));
        let text = if everywhere || texts.is_empty() {
            worst.text.clone()
        } else {
            said.collect::<Vec<_>>().join(" ")
        };
        Some(Check { name: worst.name, verdict: worst.verdict, reason: worst.reason, text })
    };
    (0..count).filter_map(merged).collect()
}

fn severity(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Ok => 0,
        Verdict::Unknown => 1,
        Verdict::Warning => 2,
        Verdict::Failed => 3,
    }
}

/// "Channel 1", "Channels 1, 3 and 5 more"; "1 to 2" where it is not the same on both sides.
fn named(channels: Pairs<'_>) -> String {
    let name = |(from, to): &(u16, u16)| {
        let (from, to) = (u32::from(*from) + 1, u32::from(*to) + 1);
        if from == to { from.to_string() } else { format!("{from} to {to}") }
    };
    let shown = channels.iter().take(SHOWN).map(name).collect::<Vec<_>>().join(", ");
    match channels.len() {
        1 => format!("Channel {shown}"),
        count if count > SHOWN => format!("Channels {shown} and {} more", count - SHOWN),
        _ => format!("Channels {shown}"),
    }
}

/// Channels that are named one by one.
const SHOWN: usize = 4;

/// What the stream that a route comes from, called `name`, adds: the first of its own `checks` that failed.
pub fn source(name: &str, checks: &[Check]) -> Check {
    let (verdict, text) = match super::super::why::first_failed(checks) {
        Some(failed) => (Verdict::Failed, format!("\"{name}\": {}", failed.text)),
        None => ok("Nothing is wrong with the stream that it comes from."),
    };
    Check { name: "source", verdict, reason: "source", text }
}

fn way_of(way: &Answer, detour: Nanos) -> (Verdict, String) {
    match way {
        Answer::Direct { .. } => ok("The ends share a language: it goes from device to device."),
        Answer::Here => ok("One end is in this computer."),
        Answer::Relayed => (
            Verdict::Ok,
            format!(
                "The ends share no language: it goes through this computer, which adds {} \u{b5}s.",
                detour.0 / 1000
            ),
        ),
        Answer::Impossible(obstacle) => (Verdict::Failed, format!("It cannot be: {obstacle}.")),
    }
}

/// A step that waits is unknown until there is a reason.
fn not_yet((_, reason, text): &Step, waits: &str) -> (Verdict, String) {
    if *reason == "none" { (Verdict::Unknown, waits.to_owned()) } else { (Verdict::Failed, text.clone()) }
}

fn ok(text: &str) -> (Verdict, String) {
    (Verdict::Ok, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checks' verdicts by their first letter, and the sentence of the first that failed.
    fn said(way: &Answer, steps: &Steps, away: Option<&str>) -> (String, String) {
        let list = checks(way, Nanos(2_000_000), steps, away, str::to_owned);
        let names: Vec<_> = list.iter().map(|check| check.name).collect();
        assert_eq!(names, ["ends", "present", "way", "link", "ordered", "confirmed"]);
        let failed = list.iter().find(|check| check.verdict == Verdict::Failed);
        let letters = list.iter().filter_map(|check| check.verdict.word().chars().next()).collect();
        (letters, failed.map(|check| check.text.clone()).unwrap_or_default())
    }

    #[test]
    fn what_depends_on_a_failure_is_unknown() {
        let expect = |letters: &str, text: &str| (letters.to_owned(), text.to_owned());
        let step = |state, reason, text: &str| Some((state, reason, text.to_owned()));
        let nothing = Steps::default();
        let impossible = |obstacle| Answer::Impossible(obstacle);
        let unknown = impossible(Obstacle::Unknown("rack".into()));
        let text = "It cannot be: rack is not known.";
        assert_eq!(said(&unknown, &nothing, Some("rack")), expect("fuuuuu", text));
        let relayed = Answer::Relayed;
        assert_eq!(said(&relayed, &nothing, Some("rack")), expect("ofuuuu", "rack is not there."));
        let way = checks(&relayed, Nanos(2_000_000), &nothing, None, str::to_owned).swap_remove(2);
        assert!(way.text.ends_with("which adds 2000 \u{b5}s."), "{}", way.text);
        let uncontrolled = impossible(Obstacle::NotControlled("rack".into()));
        let text = "It cannot be: nothing can tell rack what to play.";
        assert_eq!(said(&uncontrolled, &nothing, None), expect("oofuuu", text));
        let steps = Steps {
            link: step(RouteState::Pending, "no-graph", "PipeWire cannot be reached."),
            input: step(RouteState::Pending, "none", ""),
        };
        assert_eq!(said(&relayed, &steps, None), expect("ooofuu", "PipeWire cannot be reached."));
        let steps = Steps {
            link: step(RouteState::Receiving, "none", ""),
            input: step(RouteState::Failed, "refused", "The input is locked."),
        };
        assert_eq!(said(&relayed, &steps, None), expect("oooofu", "The input is locked."));
        let steps = Steps { link: step(RouteState::Receiving, "none", ""), input: None };
        assert_eq!(said(&Answer::Here, &steps, None), expect("oooooo", ""));
    }

    #[test]
    fn channels_that_differ_are_named() {
        let step = |state, reason, text: &str| Some((state, reason, text.to_owned()));
        let direct = Answer::Direct { token: "oat".into() };
        let of = |input| {
            let steps = Steps { link: None, input };
            checks(&direct, Nanos::ZERO, &steps, None, str::to_owned)
        };
        let good = || of(step(RouteState::Receiving, "none", ""));
        let locked = || of(step(RouteState::Failed, "refused", "The input is locked."));
        let silent = || of(step(RouteState::Degraded, "no-audio", "The receiver has no audio yet."));
        let alone = merged(vec![(&[(0, 0), (1, 1)], locked())]);
        assert_eq!(alone[4].text, "The input is locked.");
        let list = merged(vec![(&[(0, 0)], good()), (&[(1, 1), (2, 4)], locked()), (&[(3, 3)], silent())]);
        let said: Vec<_> = list[2..].iter().map(|check| (check.verdict, check.text.as_str())).collect();
        assert_eq!(
            said,
            [
                (Verdict::Ok, "The ends share a language: it goes from device to device."),
                (Verdict::Ok, "Nothing of it passes through this computer."),
                (Verdict::Failed, "Channels 2, 3 to 5: The input is locked."),
                (
                    Verdict::Failed,
                    "Channels 2, 3 to 5: Something before it must come right first. \
                     Channel 4: The receiver has no audio yet."
                ),
            ]
        );
        let many: Vec<_> = (0..7).map(|channel| (channel, channel)).collect();
        assert_eq!(named(&many), "Channels 1, 2, 3, 4 and 3 more");
    }
}
