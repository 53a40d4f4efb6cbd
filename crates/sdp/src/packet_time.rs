use wireloom_units::{Nanos, Rate, Samples};

/// Reads a `ptime` or `maxptime` value: decimal milliseconds above 0 and at most 100.
///
/// A comma as decimal point and the unit `ms` are understood; more than six decimals are cut. Senders that print
/// microseconds (`1000`, `125`) are left to the packets.
pub(crate) fn parse_milliseconds(text: &str) -> Option<Nanos> {
    let text = text.strip_suffix("ms").unwrap_or(text).trim();
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || whole.len() > 4 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = fraction.bytes().chain(core::iter::repeat(b'0')).take(6);
    let fraction = digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let time = Nanos(whole * 1_000_000 + fraction);
    (time > Nanos::ZERO && time <= LONGEST).then_some(time)
}

/// The frames of a packet that lasts `time`; `None` when it is less than half a frame.
///
/// Packet times are printed with two to eleven digits, so the nearest usual count within half a frame
/// is meant; at 44.1 kHz and its multiples the figure is often that of 48 kHz. Source: AES67 §7.2.
pub(crate) fn frames(time: Nanos, rate: Rate) -> Option<Samples> {
    let hz = u64::from(rate.hz());
    if let Some(frames) = usual(time.0 * hz) {
        return Some(frames);
    }
    // Printed for the base rate: `1` at 44.1 kHz is 48 frames, `0.12` is 6 at 48 kHz, therefore 24 at 192 kHz.
    let multiple = (rate.hz() + 24_000) / 48_000;
    if let Some(base) = usual(time.0 * 48_000)
        && USUAL.contains(&(base.0 * multiple))
    {
        return Some(Samples(base.0 * multiple));
    }
    let rounded = (time.0 * hz + 500_000_000) / 1_000_000_000;
    u32::try_from(rounded).ok().filter(|&frames| frames > 0).map(Samples)
}

/// Frames of the required packet time of 1 ms: 48 at 44.1 and 48 kHz, 96 at 88.2 and 96 kHz, ... (AES67 §7.2.1); of
/// more channels than fit into a packet so long, the largest usual part that does. `frame` is the octets of a frame,
/// `largest` those of a payload.
pub(crate) fn default_frames(rate: Rate, frame: u32, largest: u32) -> Samples {
    let whole = frames(Nanos::from_millis(1), rate).unwrap_or(Samples(48));
    let fits = |count: &&u32| **count <= whole.0 && count.saturating_mul(frame) <= largest;
    USUAL.iter().rev().find(fits).map_or(whole, |&count| Samples(count))
}

/// Reads `framecount`: `<n>`, or `<a>-<b>`, of which the count nearest to `preferred` is taken (RAVENNA).
pub(crate) fn parse_frame_count(text: &str, preferred: Samples) -> Option<Samples> {
    let count = |text: &str| text.trim().parse().ok().filter(|&count| (1..=MAX_FRAMES).contains(&count));
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (count(low)?, count(high)?);
    (low <= high).then(|| Samples(preferred.0.clamp(low, high)))
}

/// The usual count that `frames` / 10^9 is within half a frame of.
fn usual(nano_frames: u64) -> Option<Samples> {
    let near = |&&count: &&u32| (u64::from(count) * 1_000_000_000).abs_diff(nano_frames) <= 500_000_000;
    USUAL.iter().find(near).map(|&count| Samples(count))
}

const LONGEST: Nanos = Nanos::from_millis(100); // no datagram carries as much linear audio
const USUAL: [u32; 14] = [4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384];
const MAX_FRAMES: u32 = 4096; // L16 mono in the largest datagram accepted (8960 octets)

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printed_packet_time_gives_the_frames_meant() {
        for (text, hz, expected) in [
            ("1", 48_000, 48),
            ("1.000000", 48_000, 48),
            ("1ms", 48_000, 48),
            ("1,0", 48_000, 48),
            ("0.12", 48_000, 6),
            ("0.125", 48_000, 6),
            ("0.13", 48_000, 6),
            (".25", 48_000, 12),
            ("0.33", 48_000, 16),
            ("0.333", 48_000, 16),
            ("0.08", 48_000, 4),
            ("0.083", 48_000, 4),
            ("0.167", 48_000, 8),
            ("1.33", 48_000, 64),
            ("1.333333", 48_000, 64),
            ("2", 48_000, 96),
            ("4", 48_000, 192),
            ("5", 48_000, 240),
            ("0.021", 48_000, 1),
            ("1.09", 44_100, 48),
            ("1.088", 44_100, 48),
            ("1.088435", 44_100, 48),
            ("1.08843537415", 44_100, 48),
            ("1", 44_100, 48),
            ("0.12", 44_100, 6),
            ("0.125", 44_100, 6),
            ("0.14", 44_100, 6),
            ("0.09", 44_100, 4),
            ("0.333", 44_100, 16),
            ("4", 44_100, 192),
            ("4.354", 44_100, 192),
            ("1", 88_200, 96),
            ("1.09", 88_200, 96),
            ("0.12", 96_000, 12),
            ("0.125", 96_000, 12),
            ("0.33", 96_000, 32),
            ("1", 96_000, 96),
            ("0.12", 192_000, 24),
            ("0.33", 192_000, 64),
            ("1", 192_000, 192),
            ("1", 176_400, 192),
            ("10", 48_000, 480),
            ("1", 47_952, 48),
        ] {
            let time = parse_milliseconds(text).expect("a packet time");
            let rate = Rate::from_hz(hz).expect("valid in this table");
            assert_eq!(frames(time, rate), Some(Samples(expected)), "{text} at {hz}");
        }
    }

    #[test]
    fn senseless_packet_times_are_ignored() {
        for text in [
            "",
            "-1",
            "nan",
            "inf",
            "1e9",
            "1e0",
            "0",
            "0.0",
            "0.0000001",
            ".",
            "101",
            "125",
            "1000",
            "99999999999999999999",
            "x",
        ] {
            assert_eq!(parse_milliseconds(text), None, "{text}");
        }
        assert_eq!(frames(Nanos(1), Rate::HZ_48000), None);
    }

    #[test]
    fn frame_counts_are_numbers_or_ranges() {
        let parse = |text| parse_frame_count(text, Samples(48)).map(|frames| frames.0);
        assert_eq!(["6", "6-192", "64-192", "6 - 16"].map(parse), [Some(6), Some(48), Some(64), Some(16)]);
        assert_eq!(["", "0", "-6", "48-6", "5000", "x"].map(parse), [None; 6]);
    }
}
