//! Reading clock.conf (TOML). Errors and unknown keys come with the line they stand on.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use wireloom_ptp::{Oscillator, PortConfig};
use wireloom_units::ClockIdentity;

use crate::settings::{Epoch, LeadKind, SettingError, Settings, SourceKind, check_interfaces, check_range};

/// Something about a settings file that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    file: PathBuf,
    line: usize,
    what: Problem,
}

/// What is wrong at that place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// Not TOML.
    Syntax(String),
    /// A key that nobody reads.
    UnknownKey(String),
    /// A value of another kind than this.
    Expected {
        /// The key.
        key: String,
        /// What its value can be.
        expected: &'static str,
    },
    /// A value that is impossible.
    Impossible(SettingError),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        match &self.what {
            Problem::Syntax(message) => write!(f, "{message}"),
            Problem::UnknownKey(key) => write!(f, "unknown key {key:?} is ignored"),
            Problem::Expected { key, expected } => write!(f, "{key} must be {expected}"),
            Problem::Impossible(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Remark {}

/// Reads `text`, the content of `file`, over `settings`. Returns warnings; an error names the first mistake.
pub fn read(file: &Path, text: &str, settings: &mut Settings) -> Result<Vec<Remark>, Remark> {
    let remark = |offset: usize, what: Problem| {
        let before = text.get(..offset).unwrap_or(text);
        Remark { file: file.to_owned(), line: before.matches('\n').count() + 1, what }
    };
    let root = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        remark(offset, Problem::Syntax(error.message().to_owned()))
    })?;
    let mut warnings = Vec::new();
    for (path, offset, value) in flatten(root.get_ref()) {
        match set(settings, &path, value) {
            Ok(true) => {}
            Ok(false) => warnings.push(remark(offset, Problem::UnknownKey(path.join(".")))),
            Err(what) => return Err(remark(offset, what)),
        }
    }
    Ok(warnings)
}

/// All values that are not tables, with their keys from the root and where the last key stands; in file order.
fn flatten<'a>(root: &'a DeTable<'_>) -> Vec<(Vec<&'a str>, usize, &'a DeValue<'a>)> {
    let mut values = Vec::new();
    let mut tables = vec![(Vec::new(), root)];
    while let Some((path, table)) = tables.pop() {
        for (key, value) in table {
            let mut path: Vec<&str> = path.clone();
            path.push(key.get_ref().as_ref());
            match value.get_ref() {
                DeValue::Table(inner) if path.len() < 3 => tables.push((path, inner)),
                value => values.push((path, key.span().start, value)),
            }
        }
    }
    values.sort_by_key(|value| value.1);
    values
}

/// Sets what `path` names; `false` when there is no such key.
fn set(settings: &mut Settings, path: &[&str], value: &DeValue<'_>) -> Result<bool, Problem> {
    let key = || path.join(".");
    let expected = |expected| Problem::Expected { key: key(), expected };
    let number = |name, low, high| {
        let found = integer(value).ok_or_else(|| expected("a whole number"))?;
        check_range(name, found, low, high).map_err(Problem::Impossible)
    };
    let text = || value.as_str().ok_or_else(|| expected("a text in quotes"));
    let flag = || value.as_bool().ok_or_else(|| expected("true or false"));
    match path {
        ["interfaces"] => {
            settings.interfaces = strings(value).ok_or_else(|| expected("a list of interface names"))?;
            check_interfaces(&settings.interfaces).map_err(Problem::Impossible)?;
        }
        ["sources"] => {
            let words = strings(value).filter(|words| !words.is_empty());
            let kinds = words.and_then(|words| words.iter().map(|one| parsed::<SourceKind>(one)).collect());
            settings.sources =
                kinds.ok_or_else(|| expected("a list of \"ptp\", \"phc\", \"system\" and \"free\""))?;
        }
        ["domain"] => settings.domain = number("domain", 0, 127)? as u8,
        ["lead"] => {
            let lead = parsed::<LeadKind>(text()?);
            settings.lead = lead.ok_or_else(|| expected("\"never\", \"last-resort\" or \"always\""))?;
        }
        ["priority1"] => settings.priority1 = number("priority1", 0, 255)? as u8,
        ["priority2"] => settings.priority2 = number("priority2", 0, 255)? as u8,
        ["preferred"] => settings.preferred = flag()?,
        ["log-announce-interval"] => settings.log_announce = number("log-announce-interval", -3, 4)? as i8,
        ["log-sync-interval"] => settings.log_sync = number("log-sync-interval", -7, 1)? as i8,
        ["log-min-delay-req-interval"] => {
            settings.log_min_delay_req = number("log-min-delay-req-interval", -7, 5)? as i8;
        }
        ["announce-receipt-timeout"] => {
            settings.announce_receipt_timeout = number("announce-receipt-timeout", 2, 10)? as u8;
        }
        ["dscp-event"] => settings.dscp_event = number("dscp-event", 0, 63)? as u8,
        ["dscp-general"] => settings.dscp_general = number("dscp-general", 0, 63)? as u8,
        ["ttl"] => settings.ttl = number("ttl", 1, 255)? as u8,
        ["identity"] => {
            let octets = "eight octets as \"00-10-20-FF-FE-30-40-50\"";
            settings.identity = Some(identity(text()?).ok_or_else(|| expected(octets))?);
        }
        ["hardware-timestamps"] => {
            settings.hardware_timestamps = match text()? {
                "auto" => true,
                "off" => false,
                _ => return Err(expected("\"auto\" or \"off\"")),
            };
        }
        ["oscillator"] => {
            settings.oscillator = match text()? {
                "compensated" => Oscillator::Compensated,
                "crystal" => Oscillator::Crystal,
                "microcontroller" => Oscillator::Microcontroller,
                _ => return Err(expected("\"compensated\", \"crystal\" or \"microcontroller\"")),
            };
        }
        ["page"] => settings.page = PathBuf::from(text()?),
        ["socket"] => settings.socket = PathBuf::from(text()?),
        ["state"] => settings.state = PathBuf::from(text()?),
        ["system", "utc-offset"] => settings.utc_offset = number("system.utc-offset", -128, 255)? as i16,
        ["phc", "device"] => settings.phc = number("phc.device", 0, 255)? as u8,
        ["free", "frequency-offset-ppm"] => {
            let ppm = float(value).filter(|ppm| ppm.abs() <= 1000.0);
            settings.trim_ppm = ppm.ok_or_else(|| expected("a number from -1000 to 1000"))?;
        }
        ["free", "epoch"] => {
            settings.epoch = match value.as_str() {
                Some("system") => Epoch::System,
                Some(_) => return Err(expected("\"system\" or a number of seconds")),
                None => Epoch::Seconds(number("free.epoch", 0, i64::from(u32::MAX))? as u32),
            };
        }
        ["interface", name, constant] => {
            let nanos = || number("the constant", -1_000_000_000, 1_000_000_000).map(|ns| ns as i32);
            let mut constants: PortConfig = settings.constants.get(*name).copied().unwrap_or_default();
            match *constant {
                "ingress-latency-ns" => constants.ingress_latency_ns = nanos()?,
                "egress-latency-ns" => constants.egress_latency_ns = nanos()?,
                "delay-asymmetry-ns" => constants.delay_asymmetry_ns = nanos()?,
                _ => return Ok(false),
            }
            settings.constants.insert((*name).to_owned(), constants);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let found = value.as_integer()?;
    i64::from_str_radix(found.as_str(), found.radix()).ok()
}

fn float(value: &DeValue<'_>) -> Option<f64> {
    if let Some(found) = value.as_float() {
        return found.as_str().parse().ok();
    }
    integer(value).map(|whole| whole as f64)
}

fn strings(value: &DeValue<'_>) -> Option<Vec<String>> {
    let DeValue::Array(values) = value else { return None };
    values.iter().map(|one| one.get_ref().as_str().map(str::to_owned)).collect()
}

fn parsed<T: clap::ValueEnum>(word: &str) -> Option<T> {
    T::from_str(word, false).ok()
}

/// A clock identity in the spelling of SDP, with dashes or colons between the octets.
pub fn identity(text: &str) -> Option<ClockIdentity> {
    let mut octets = [0; 8];
    let mut parts = text.split(['-', ':']);
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *octet = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(ClockIdentity(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (Settings, Result<Vec<String>, String>) {
        let mut settings = Settings::default();
        let result = read(Path::new("clock.conf"), text, &mut settings);
        let words = |remarks: Vec<Remark>| remarks.iter().map(ToString::to_string).collect();
        (settings, result.map(words).map_err(|remark| remark.to_string()))
    }

    #[test]
    fn the_installed_example_gives_the_defaults_and_names_every_key() {
        let example = include_str!("../../data/clock.conf");
        assert_eq!(read_text(example), (Settings::default(), Ok(Vec::new())));
        // Each commented-out setting is a valid line too, and a key of the merged result.
        let active: String = example
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') && !setting.is_empty() => setting,
                _ => line,
            })
            .fold(String::new(), |text, line| text + line + "\n");
        let (settings, warnings) = read_text(&active);
        assert_eq!(warnings, Ok(Vec::new()));
        for line in settings.to_toml().lines().filter_map(|line| line.split_once(" = ")) {
            assert!(active.lines().any(|known| known.starts_with(line.0)), "{} is missing", line.0);
        }
    }

    #[test]
    fn the_merged_result_reads_back_as_itself() {
        let text = r#"
            interfaces = ["eth0", "enp3s0"]
            sources = ["system", "ptp"]
            domain = 0x7f
            lead = "last-resort"
            identity = "00:10:20:ff:fe:30:40:50"
            hardware-timestamps = "off"
            oscillator = "compensated"
            state = "/tmp/with \"quotes\""
            [free]
            frequency-offset-ppm = 80
            epoch = 541_868
            [interface."eth0.5"]
            delay-asymmetry-ns = -7200
        "#;
        let (settings, warnings) = read_text(text);
        assert_eq!(warnings, Ok(Vec::new()));
        assert_eq!(settings.constants["eth0.5"].delay_asymmetry_ns, -7200);
        assert_eq!((settings.trim_ppm, settings.epoch), (80.0, Epoch::Seconds(541_868)));
        assert_eq!(read_text(&settings.to_toml()), (settings, Ok(Vec::new())));
    }

    #[test]
    fn unknown_keys_are_warnings_with_their_line() {
        let (settings, warnings) =
            read_text("domain = 3\ncolour = \"red\"\n[free]\nfoo = 1\n[x.y.z]\na = 1\n");
        assert_eq!(settings.domain, 3);
        let expected = [
            "clock.conf:2: unknown key \"colour\" is ignored",
            "clock.conf:4: unknown key \"free.foo\" is ignored",
            "clock.conf:5: unknown key \"x.y.z\" is ignored",
        ];
        assert_eq!(warnings, Ok(expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, message) in [
            ("\ndomain = 128", "clock.conf:2: domain is 128, it can be 0 to 127"),
            ("lead = \"maybe\"", "clock.conf:1: lead must be \"never\", \"last-resort\" or \"always\""),
            (
                "sources = []",
                "clock.conf:1: sources must be a list of \"ptp\", \"phc\", \"system\" and \"free\"",
            ),
            ("ttl = \"x\"", "clock.conf:1: ttl must be a whole number"),
            ("interfaces = [\"a/b\"]", "clock.conf:1: \"a/b\" is not the name of a network interface"),
            (
                "[free]\nfrequency-offset-ppm = nan",
                "clock.conf:2: free.frequency-offset-ppm must be a number from -1000 to 1000",
            ),
            (
                "identity = \"00-10\"",
                "clock.conf:1: identity must be eight octets as \"00-10-20-FF-FE-30-40-50\"",
            ),
        ] {
            assert_eq!(read_text(text).1, Err(message.to_owned()));
        }
        assert!(read_text("domain = \n").1.expect_err("not TOML").starts_with("clock.conf:1: "));
    }
}
