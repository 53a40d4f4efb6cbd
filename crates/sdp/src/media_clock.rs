use alloc::string::String;

/// How RTP timestamps relate to the media clock (`mediaclk`, RFC 7273 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MediaClock {
    /// RTP timestamp = media clock + offset, modulo 2^32 (`direct=`).
    Direct(u32),
    /// The sender's RTP clock runs by itself (`sender`), or follows an AVB stream (`IEEE1722=`).
    Sender,
    /// Nothing usable is said: the offset is learned from packets.
    #[default]
    Unknown,
}

impl MediaClock {
    /// The offset when one was announced.
    pub const fn offset(self) -> Option<u32> {
        match self {
            Self::Direct(offset) => Some(offset),
            Self::Sender | Self::Unknown => None,
        }
    }

    /// Reads a `mediaclk` value. The second part is the ratio of `rate=<n>/<d>`, when it is not 1.
    ///
    /// `None` in the first part when the form is unknown or the offset is out of range.
    pub(crate) fn parse(value: &str) -> (Option<Self>, bool) {
        let value = without_blanks_around_equals(value);
        let words = || value.split(|c: char| c.is_whitespace() || c == ';');
        let rates = words().filter_map(|word| strip_name(word, "rate="));
        let deviates = rates.filter_map(|rate| rate.split_once('/')).any(|(n, d)| is_deviation(n, d));
        let clock = words().find_map(|word| {
            if word.eq_ignore_ascii_case("sender") || strip_name(word, "IEEE1722=").is_some() {
                return Some(Some(Self::Sender));
            }
            if word.eq_ignore_ascii_case("direct") {
                return Some(Some(Self::Unknown)); // the offset may be left out
            }
            // `offset=` is the spelling of the drafts before RFC 7273.
            let number = strip_name(word, "direct=").or_else(|| strip_name(word, "offset="))?;
            Some(parse_offset(number).map(Self::Direct))
        });
        (clock.flatten(), deviates)
    }
}

/// Reads a `clock-deviation` value, `<n>/<d>` (RAVENNA): whether it is anything but 1.
pub(crate) fn says_deviation(value: &str) -> bool {
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let ratio = value.split_once('/').map(|(n, d)| (number(n), number(d)));
    ratio.is_none_or(|(n, d)| n.is_none() || n != d)
}

/// Whether the ratio is other than 1 and near it: some senders write the sample rate as one (`48000/1`).
fn is_deviation(numerator: &str, denominator: &str) -> bool {
    let [numerator, denominator] =
        [numerator, denominator].map(|text| text.trim().parse::<u32>().unwrap_or(0));
    let (low, high) = (numerator.min(denominator), numerator.max(denominator));
    low != high && u64::from(high) < 2 * u64::from(low)
}

/// 32 bits unsigned; negative values are taken modulo 2^32.
pub(crate) fn parse_offset(text: &str) -> Option<u32> {
    let number: i64 = text.trim().parse().ok()?;
    match u32::try_from(number) {
        Ok(offset) => Some(offset),
        Err(_) if number < 0 => u32::try_from(number.rem_euclid(1 << 32)).ok(),
        Err(_) => None,
    }
}

/// `direct = 0` is one word, as in `ts-refclk`.
fn without_blanks_around_equals(value: &str) -> String {
    let mut joined = String::with_capacity(value.len());
    for (at, side) in value.split('=').enumerate() {
        if at > 0 {
            joined.truncate(joined.trim_end().len());
            joined.push('=');
        }
        joined.push_str(if at > 0 { side.trim_start() } else { side });
    }
    joined
}

fn strip_name<'a>(word: &'a str, name: &str) -> Option<&'a str> {
    let (head, tail) = word.split_at_checked(name.len())?;
    head.eq_ignore_ascii_case(name).then_some(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_mediaclk() {
        for (text, clock, deviates) in [
            ("direct=0", Some(MediaClock::Direct(0)), false),
            ("direct=3158064976", Some(MediaClock::Direct(3_158_064_976)), false),
            ("direct=-1", Some(MediaClock::Direct(u32::MAX)), false),
            ("direct=0 rate=48000", Some(MediaClock::Direct(0)), false),
            ("direct = 5  rate =1000/1001", Some(MediaClock::Direct(5)), true),
            ("id=src:00:1d:c1 direct\t= 5", Some(MediaClock::Direct(5)), false),
            ("direct=5; rate=1000/1001", Some(MediaClock::Direct(5)), true),
            ("direct=0 rate=48000/1", Some(MediaClock::Direct(0)), false),
            ("direct=0 rate=1/48000", Some(MediaClock::Direct(0)), false),
            ("direct=0 rate=48000/48000", Some(MediaClock::Direct(0)), false),
            ("direct=0 rate=x/1", Some(MediaClock::Direct(0)), false),
            ("direct=0 rate=48000/47952", Some(MediaClock::Direct(0)), true),
            ("direct=0 rate=1000/1001", Some(MediaClock::Direct(0)), true),
            ("id=src:00:1d:c1 direct=5", Some(MediaClock::Direct(5)), false),
            ("offset=963214424", Some(MediaClock::Direct(963_214_424)), false),
            ("sender", Some(MediaClock::Sender), false),
            ("IEEE1722=38-D6-6D-8E-D2-78-13-2F", Some(MediaClock::Sender), false),
            ("direct=4294967296", None, false),
            ("direct=18446744073709551616", None, false),
            ("direct", Some(MediaClock::Unknown), false),
            ("direct rate=1000/1001", Some(MediaClock::Unknown), true),
            ("direct=", None, false),
            ("", None, false),
        ] {
            assert_eq!(MediaClock::parse(text), (clock, deviates), "{text}");
        }
    }
}
