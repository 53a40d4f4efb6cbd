use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::net::IpAddr;

/// The two parts of a session name (SDP `s=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionName<'a> {
    /// What the user calls the device; absent when the text has no such part (see [`device_of`]).
    pub device: Option<&'a str>,
    /// What the device calls the stream.
    pub stream: &'a str,
}

/// Splits `s=` into device and stream: at the last em dash between blanks, else at the last en dash or hyphen between
/// blanks, else after a leading model name (OAT networking page; the fallbacks are ours).
pub fn split_session_name(text: &str) -> SessionName<'_> {
    let text = text.trim();
    let split = |separator: &str| {
        let (device, stream) = text.rsplit_once(separator)?;
        both(device, stream)
    };
    let lesser = || {
        let (en, hyphen) = (text.rfind(EN_DASH), text.rfind(HYPHEN));
        split(if en > hyphen { EN_DASH } else { HYPHEN })
    };
    let after_model = || {
        let (first, rest) = text.split_once(' ')?;
        let known = MODELS.iter().any(|model| first.eq_ignore_ascii_case(model));
        if known { both(first, rest) } else { None }
    };
    let found = split(EM_DASH).or_else(lesser).or_else(after_model);
    found.unwrap_or(SessionName { device: None, stream: text })
}

fn both<'a>(device: &'a str, stream: &'a str) -> Option<SessionName<'a>> {
    let (device, stream) = (device.trim(), stream.trim());
    (!device.is_empty() && !stream.is_empty()).then_some(SessionName { device: Some(device), stream })
}

/// Joins device and stream for `s=`; an em dash inside either becomes a hyphen, so that it splits where it was joined.
pub fn session_name(device: &str, stream: &str) -> String {
    let part = |text: &str| text.replace('\u{2014}', "-");
    format!("{}{EM_DASH}{}", part(device), part(stream))
}

/// Name of the device of a session: its part of `s=`, else the `o=` user when that is a host name of OAT, else the
/// address that announced it.
pub fn device_of(name: &SessionName<'_>, user: &str, origin: IpAddr) -> String {
    match name.device {
        Some(device) => device.to_string(),
        None if is_host_name(user) => user.to_string(),
        None => origin.to_string(),
    }
}

/// Whether `text` is a host name as OAT devices have: a model, four hexadecimal digits of the MAC address, and a number
/// when two devices share them (`syntee-a3f2`, `mixtee-01b7-2`).
pub fn is_host_name(text: &str) -> bool {
    let mut parts = text.split('-');
    let model = parts.next().is_some_and(|model| {
        !model.is_empty() && model.len() <= 32 && model.bytes().all(|octet| octet.is_ascii_lowercase())
    });
    let suffix = parts.next().is_some_and(|digits| {
        digits.len() == 4 && digits.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'))
    });
    let number = parts.next().is_none_or(|number| {
        (1..=4).contains(&number.len()) && number.bytes().all(|octet| octet.is_ascii_digit())
    });
    model && suffix && number && parts.next().is_none()
}

/// The name that a device has until its user gives it one: `syntee-a3f2` is called "SynTEE a3f2".
///
/// A host name that is none of OAT's is its own device name.
pub fn default_device_name(host: &str) -> String {
    match host.split_once('-') {
        Some((model, suffix)) if is_host_name(host) => {
            let known = MODELS.iter().find(|known| known.eq_ignore_ascii_case(model));
            format!("{} {suffix}", known.copied().unwrap_or(model))
        }
        _ => host.to_string(),
    }
}

/// A device name as it may be set: no control characters, at most 64 octets; `None` when nothing is left.
pub fn clean_device_name(text: &str) -> Option<String> {
    let mut name: String = text.chars().filter(|character| !character.is_control()).collect();
    while name.len() > MAX_NAME {
        name.pop();
    }
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_string())
}

/// A label for each channel of a stream that has none: "Out 1-2" with two channels has "Out 1" and "Out 2"; where the
/// range does not fit the count, they are numbered from 1.
pub fn channel_labels(stream: &str, channels: u16) -> Vec<String> {
    match range(stream, channels) {
        Some((text, first)) => {
            (0..u32::from(channels)).map(|index| format!("{text} {}", first + index)).collect()
        }
        None => (1..=channels).map(|number| format!("{stream} {number}")).collect(),
    }
}

/// Text and first number of "text first-last", when that spans `channels`.
fn range(stream: &str, channels: u16) -> Option<(&str, u32)> {
    let (text, numbers) = stream.rsplit_once(' ')?;
    let (first, last) = numbers.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    (last.checked_sub(first)?.checked_add(1)? == u32::from(channels)).then_some((text, first))
}

fn number(text: &str) -> Option<u32> {
    let digits = (1..=6).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

const EM_DASH: &str = " \u{2014} ";
const EN_DASH: &str = " \u{2013} ";
const HYPHEN: &str = " - ";
/// As their makers spell them; compared without case.
const MODELS: [&str; 5] = ["SynTEE", "MixTEE", "HubTEE", "Voicee", "Stringee"];
/// A third less than the 98 octets of a MIDI endpoint's name, which the device name also becomes.
const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names_of_every_kind_are_split() {
        let long = "x".repeat(300);
        for (text, device, stream) in [
            ("Bass Synth — Out 1-2", Some("Bass Synth"), "Out 1-2"),
            ("A — B — Out", Some("A — B"), "Out"),
            ("Lead – Synth — Out 1-2", Some("Lead – Synth"), "Out 1-2"),
            ("Bass Synth – Out 1-2", Some("Bass Synth"), "Out 1-2"),
            ("Rack-3 - Out 1-2", Some("Rack-3"), "Out 1-2"),
            ("A – B - C", Some("A – B"), "C"),
            ("A - B – C", Some("A - B"), "C"),
            ("SynTee main", Some("SynTee"), "main"),
            ("MIXTEE adc-1-8", Some("MIXTEE"), "adc-1-8"),
            ("Piano main", None, "Piano main"),
            ("MixTEE", None, "MixTEE"),
            (" — Out", None, "— Out"),
            ("Out — ", None, "Out —"),
            ("", None, ""),
            ("Gr\u{fffd}ner — Out", Some("Gr\u{fffd}ner"), "Out"),
            (&long, None, &long),
        ] {
            assert_eq!(split_session_name(text), SessionName { device, stream }, "{text:?}");
        }
    }

    #[test]
    fn a_device_without_a_name_is_called_after_its_host_or_address() {
        let origin = IpAddr::from([169, 254, 23, 183]);
        let none = split_session_name("main");
        assert_eq!(device_of(&none, "syntee-a3f2", origin), "syntee-a3f2");
        assert_eq!(device_of(&none, "-", origin), "169.254.23.183");
        assert_eq!(device_of(&split_session_name("Bass — Out"), "syntee-a3f2", origin), "Bass");
    }

    #[test]
    fn host_names_are_told_from_other_users() {
        for text in ["syntee-a3f2", "mixtee-01b7", "ctrl-0000", "hubtee-beef-2", "mixtee-01b7-12"] {
            assert!(is_host_name(text), "{text}");
        }
        for text in
            ["-", "", "syntee", "syntee-a3f", "syntee-A3F2", "SynTEE-a3f2", "a-b-c", "syntee-a3f2-", "-a3f2"]
        {
            assert!(!is_host_name(text), "{text}");
        }
        assert_eq!(default_device_name("syntee-a3f2"), "SynTEE a3f2");
        assert_eq!(default_device_name("mixtee-01b7-2"), "MixTEE 01b7-2");
        assert_eq!(default_device_name("desk"), "desk");
    }

    #[test]
    fn set_names_are_short_and_printable() {
        assert_eq!(clean_device_name(" Bass\n Synth "), Some("Bass Synth".into()));
        assert_eq!(clean_device_name("\u{1b}\u{7}"), None);
        let long = clean_device_name(&"ä".repeat(64)).expect("something is left");
        assert_eq!((long.len(), long.chars().count()), (64, 32));
    }

    #[test]
    fn channels_are_labelled_by_the_range_in_the_name() {
        assert_eq!(channel_labels("Out 1-2", 2), ["Out 1", "Out 2"]);
        assert_eq!(channel_labels("adc 9-16", 8).last().map(String::as_str), Some("adc 16"));
        assert_eq!(channel_labels("Out 1-2", 3), ["Out 1-2 1", "Out 1-2 2", "Out 1-2 3"]);
        assert_eq!(channel_labels("main", 2), ["main 1", "main 2"]);
        assert_eq!(channel_labels("Out 2-1", 2), ["Out 2-1 1", "Out 2-1 2"]);
    }
}
