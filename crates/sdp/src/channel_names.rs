use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::{display::for_display, warning::Finding};

/// What a channel is, in the words of ST 2110-30 (`L`, `LFE`, `Lss`, ...); empty when undefined.
pub type Symbol = &'static str;

/// Reads `<n> channels: a, b, ...` from an `i=` line; `None` when it has no such form.
///
/// `Some(Err)` when it has the form and another number of channels or names.
pub(crate) fn parse_names(info: &str, channels: u16) -> Option<Result<Vec<String>, Finding>> {
    let (head, list) = info.split_once(':')?;
    let (count, word) = head.trim().split_once(|c: char| c.is_whitespace())?;
    if !["channels", "channel"].iter().any(|name| name.eq_ignore_ascii_case(word.trim())) {
        return None;
    }
    let count: u16 = count.parse().ok()?;
    let mut names: Vec<String> = list.split(',').map(for_display).collect();
    if names.len() > usize::from(count) && names.last().is_some_and(String::is_empty) {
        names.pop();
    }
    // Old Dante firmware leaves the comma out.
    if names.len() == 1 && count > 1 && list.split_whitespace().count() == usize::from(count) {
        names = list.split_whitespace().map(for_display).collect();
    }
    let agree = count == channels && names.len() == usize::from(channels);
    Some(if agree { Ok(names) } else { Err(Finding::ChannelNames) })
}

/// Reads `channel-order=<convention>.(<group>,...)` from the parameters of an `fmtp` line (ST 2110-30 §6.2.2).
///
/// Gives one symbol for each channel; `None` when there is no order of the SMPTE2110 convention.
pub(crate) fn parse_order(parameters: &str, channels: u16) -> Option<Result<Vec<Symbol>, Finding>> {
    let order = parameter(parameters, "channel-order")?;
    let (convention, groups) = order.split_once('.')?;
    let groups = groups.trim_start().strip_prefix('(').filter(|_| is(convention, "SMPTE2110"))?;
    let groups = groups.split_once(')').map_or(groups, |(groups, _)| groups);
    let mut symbols = Vec::new();
    for group in groups.split(',').map(str::trim).filter(|group| !group.is_empty()) {
        let count = match known_group(group) {
            Some(known) => {
                symbols.extend_from_slice(known);
                0
            }
            None => undefined_group(group).unwrap_or(usize::from(channels)),
        };
        symbols.extend(core::iter::repeat_n("", count));
        if symbols.len() > usize::from(channels) {
            return Some(Err(Finding::ChannelOrder));
        }
    }
    symbols.resize(usize::from(channels), "");
    Some(Ok(symbols))
}

/// Writes the order of channels with these names: the longest group that is named so first, runs of others as
/// undefined (ST 2110-30 §6.2.2). Case does not matter; "Left" and "Right" are `L` and `R`.
pub(crate) fn order_of(names: &[String], channels: u16) -> String {
    let name = |at: usize| match names.get(at).map(|name| name.trim()).unwrap_or_default() {
        name if name.eq_ignore_ascii_case("left") => "L",
        name if name.eq_ignore_ascii_case("right") => "R",
        name if name.eq_ignore_ascii_case("mono") => "M1",
        name => name,
    };
    let mut groups: Vec<String> = Vec::new();
    let (mut at, mut undefined) = (0, 0_u16);
    let end_run = |groups: &mut Vec<String>, undefined: &mut u16| {
        while *undefined > 0 {
            let count = (*undefined).min(64);
            groups.push(format!("U{count:02}"));
            *undefined -= count;
        }
    };
    while at < usize::from(channels) {
        let fits = |symbols: &[Symbol]| {
            at + symbols.len() <= usize::from(channels)
                && symbols
                    .iter()
                    .enumerate()
                    .all(|(index, symbol)| name(at + index).eq_ignore_ascii_case(symbol))
        };
        match EMITTED
            .iter()
            .find_map(|group| known_group(group).filter(|it| fits(it)).map(|it| (group, it.len())))
        {
            Some((group, length)) => {
                end_run(&mut groups, &mut undefined);
                groups.push(group.to_string());
                at += length;
            }
            None => {
                undefined += 1;
                at += 1;
            }
        }
    }
    end_run(&mut groups, &mut undefined);
    groups.join(",")
}

/// The value of one `name=value` of the parameters of an `fmtp` line, which are separated by semicolons.
pub(crate) fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|parameter| {
        let (found, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        found.trim().eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn known_group(name: &str) -> Option<&'static [Symbol]> {
    GROUPS.iter().find(|(known, _)| is(name, known)).map(|&(_, symbols)| symbols)
}

/// `U01` .. `U64`: so many channels of no known meaning; `SGRP` an SDI group of four, `AES3` a pair.
fn undefined_group(name: &str) -> Option<usize> {
    if is(name, "SGRP") {
        return Some(4);
    }
    if is(name, "AES3") {
        return Some(2);
    }
    name.strip_prefix(['U', 'u'])?.parse().ok().filter(|count| (1..=64).contains(count))
}

/// The standard writes names in one way; no two differ in case only.
fn is(name: &str, known: &str) -> bool {
    name.trim().eq_ignore_ascii_case(known)
}

/// The groups that are written, longest first.
const EMITTED: [&str; 4] = ["71", "51", "ST", "M"];

const GROUPS: [(&str, &[Symbol]); 7] = [
    ("M", &["M1"]),
    ("DM", &["M1", "M2"]),
    ("ST", &["L", "R"]),
    ("LtRt", &["Lt", "Rt"]),
    ("51", &["L", "R", "C", "LFE", "Ls", "Rs"]),
    ("71", &["L", "R", "C", "LFE", "Lss", "Rss", "Lrs", "Rrs"]),
    (
        "222",
        &[
            "FL", "FR", "FC", "LFE1", "BL", "BR", "FLc", "FRc", "BC", "LFE2", "SiL", "SiR", "TpFL", "TpFR",
            "TpFC", "TpC", "TpBL", "TpBR", "TpSiL", "TpSiR", "TpBC", "BtFC", "BtFL", "BtFR",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_the_right_count() {
        let parse =
            |info, channels| parse_names(info, channels).map(|names| names.map(|names| names.join("|")));
        assert_eq!(parse("2 channels: Left, Right", 2), Some(Ok("Left|Right".into())));
        assert_eq!(parse("1 channels: TB", 1), Some(Ok("TB".into())));
        assert_eq!(parse("3 channels: a,,c", 3), Some(Ok("a||c".into())));
        assert_eq!(parse("2 Channels: a, b,", 2), Some(Ok("a|b".into())));
        assert_eq!(parse("2 channels: Left, Right", 8), Some(Err(Finding::ChannelNames)));
        assert_eq!(parse("2 channels: Left Right", 2), Some(Ok("Left|Right".into())));
        assert_eq!(parse("2 channels: Left", 2), Some(Err(Finding::ChannelNames)));
        assert_eq!(parse("Channels 1-8", 8), None);
        assert_eq!(parse("2 microphones: a, b", 2), None);
        assert_eq!(parse("", 2), None);
    }

    #[test]
    fn orders_are_written_of_the_longest_groups() {
        let order = |names: &[&str], channels| {
            order_of(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>(), channels)
        };
        assert_eq!(order(&["Left", "Right"], 2), "ST");
        assert_eq!(order(&["L", "R", "C", "lfe", "Ls", "Rs", "L", "R"], 8), "51,ST");
        assert_eq!(order(&["L", "R", "C", "LFE", "Lss", "Rss", "Lrs", "Rrs"], 8), "71");
        assert_eq!(order(&["Kick", "L", "R", "Mono", "R"], 5), "U01,ST,M,U01");
        assert_eq!(order(&[], 8), "U08");
        assert_eq!(order(&["L"], 1), "U01");
        assert_eq!(order(&[], 128), "U64,U64");
    }

    #[test]
    fn orders_give_a_symbol_for_each_channel() {
        let parse =
            |text, channels| parse_order(text, channels).map(|order| order.map(|order| order.join(" ")));
        assert_eq!(
            parse("channel-order=SMPTE2110.(51,ST); TSMODE=SAMP", 8),
            Some(Ok("L R C LFE Ls Rs L R".into()))
        );
        assert_eq!(parse("TSMODE=SAMP ; channel-order = SMPTE2110.(SGRP)", 4), Some(Ok("   ".into())));
        assert_eq!(parse("channel-order=SMPTE2110.(M,U02,M)", 4), Some(Ok("M1   M1".into())));
        assert_eq!(parse("channel-order=SMPTE2110.(ST)", 4), Some(Ok("L R  ".into())));
        assert_eq!(parse("channel-order=SMPTE2110.(51)", 2), Some(Err(Finding::ChannelOrder)));
        assert_eq!(parse("channel-order=SMPTE2110.(ST,XY)", 2), Some(Err(Finding::ChannelOrder)));
        assert_eq!(parse("channel-order=smpte2110.(st,u01,Sgrp)", 7), Some(Ok("L R     ".into())));
        assert_eq!(parse("channel-order=SVIP.(ST)", 2), None);
        assert_eq!(parse("channel-order=(ST)", 2), None);
        assert_eq!(parse("PM; x", 2), None);
    }
}
