use alloc::vec::Vec;
use core::fmt;

/// Something in a description that is not as it should be and did not prevent reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// The line it was found in, counted from 1; none when it concerns the whole text or something missing.
    pub line: Option<u16>,
    /// What was found.
    pub finding: Finding,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        self.finding.fmt(f)
    }
}

macro_rules! findings {
    ($($(#[doc = $doc:literal])+ $name:ident $(($kind:ty))? => $text:literal,)+) => {
        /// What a [`Warning`] is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Finding {
            $($(#[doc = $doc])+ $name $(($kind))?,)+
        }

        impl fmt::Display for Finding {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(findings!(@pattern $name value $(($kind))?) => findings!(@write f $text value $(($kind))?),)+
                }
            }
        }
    };
    (@pattern $name:ident $value:ident) => { Self::$name };
    (@pattern $name:ident $value:ident ($kind:ty)) => { Self::$name($value) };
    (@write $f:ident $text:literal $value:ident) => { $f.write_str($text) };
    (@write $f:ident $text:literal $value:ident ($kind:ty)) => { write!($f, $text, $value) };
}

findings! {
    /// More than 8 KiB.
    TooLong => "description has more than 8192 octets, only the first of them were read",
    /// More than 512 lines.
    TooManyLines => "more than 512 lines, the rest was not read",
    /// More than 16 media sections.
    TooManySections => "more than 16 media sections, the rest was not read",
    /// More than 64 attributes in one section.
    TooManyAttributes => "more than 64 attributes in one section, the rest of them was not read",
    /// A line above 2 KiB.
    LongLine => "line is longer than 2048 octets and was skipped",
    /// Neither UTF-8 nor marked as anything else.
    NotUtf8 => "not all of the text is UTF-8, the rest is read as Latin-1",
    /// Not of the form `letter=value`.
    NotALine => "not an SDP line (letter=value), skipped",
    /// A line that every description must have is missing.
    Missing(char) => "required line {}= is missing",
    /// A line that may occur once occurs again in the same section; the first one counts.
    Repeated(char) => "another {}= line, the first one counts",
    /// `o=` does not have six fields.
    Origin => "origin is not \"user id version IN IP4 address\"",
    /// `m=audio` that cannot be read.
    MediaLine => "media line is not \"audio port RTP/AVP payload-types\", section skipped",
    /// An audio section that cannot be played beside others that can.
    Section(crate::Reason) => "section skipped: {}",
    /// The payload type of `m=` has no usable `rtpmap`, another one has.
    PayloadTypeMismatch(u8) => "payload type {} is described but not listed in m=, packets decide",
    /// The payload types of redundant legs differ.
    LegPayloadType => "payload type differs from the first leg's",
    /// An `rtpmap` that describes nothing that can be carried.
    Codec => "codec not carried or out of range",
    /// No channel count in `rtpmap`.
    ChannelCountMissing => "rtpmap without a channel count means 1 channel",
    /// No channel count in the `rtpmap` of a static payload type that has more than one.
    ChannelCountOfType(u16) => "rtpmap without a channel count, its payload type has {} channels",
    /// AM824 comes in pairs.
    OddAm824(u16) => "AM824 with an odd number of channels ({}), read as raw",
    /// A rate of the 1000/1001 family.
    PulledRate(u32) => "rate {} Hz is a pull-up or pull-down rate, will be resampled",
    /// `ptime` is no number of milliseconds that makes sense.
    PacketTime => "packet time is not usable, packets decide",
    /// Neither ptime nor framecount.
    PacketTimeMissing => "no packet time, 1 ms or what fits is assumed until packets decide",
    /// Two `ptime` that differ.
    PacketTimeTwice => "packet times contradict each other, packets decide",
    /// `framecount` and `ptime` disagree; the frames that framecount says.
    FrameCount(u32) => "framecount {} contradicts the packet time, which counts",
    /// `framecount` cannot be read.
    FrameCountUnreadable => "framecount is not a number of frames",
    /// No `ts-refclk` at all.
    NoReferenceClock => "no reference clock is named",
    /// `ts-refclk` of no known form.
    ReferenceClock => "reference clock is not understood",
    /// Clock identity of six octets.
    ShortClockIdentity => "clock identity has six octets, widened to eight",
    /// Clock identity that no clock has.
    PlaceholderClock => "clock identity is a placeholder, the sender is not locked",
    /// `mediaclk` offset out of range or contradicting.
    MediaClock => "media clock offset is not usable, learned from packets",
    /// No `mediaclk`, or one without an offset.
    NoMediaClock => "no media clock offset, learned from packets",
    /// `sync-time` taken instead.
    SyncTime => "no media clock offset, sync-time taken as the offset",
    /// Something behind the address of a connection line.
    Address => "what follows the address is not understood, ignored",
    /// Layered addresses.
    Layers => "several layered addresses, the first one is used",
    /// TTL outside 0..=255.
    Ttl => "TTL is not a number from 0 to 255, ignored",
    /// Leading zeros.
    LeadingZeros => "address with leading zeros, read as decimal",
    /// PulseAudio's and PipeWire's default group.
    LinkLocalGroup => "group 224.0.0.56 is link-local and not forwarded by routers",
    /// Unicast destination equal to the sender.
    SenderAddress => "unicast address of the sender: the stream must be asked for",
    /// Unicast offer.
    SipOffer => "unicast offer of the sender: needs an invitation (SIP)",
    /// Unicast destination.
    Unicast => "unicast destination: playable only on the host with that address",
    /// A port range.
    PortRange => "range of ports, the first one is used",
    /// An odd RTP port.
    OddPort(u16) => "port {} is odd, RTP ports are even",
    /// A `source-filter` that cannot be read.
    SourceFilter => "source filter is not understood, ignored",
    /// A `source-filter` for another destination.
    SourceFilterElsewhere => "source filter names another destination, ignored",
    /// A `source-filter` with more than eight senders.
    TooManySources => "more than 8 sources in the filter, the rest is ignored",
    /// An `ssrc` line without a number of 32 bits.
    Ssrc => "SSRC is not a number from 0 to 4294967295, ignored",
    /// `group:DUP` names a `mid` that no section has.
    GroupMemberMissing => "group names a section that is not there",
    /// More than four legs.
    TooManyLegs => "more than 4 redundant legs, the rest is left out",
    /// Two legs with the same destination and source.
    SameLeg => "redundant leg with the same source and destination, left out",
    /// A leg whose format differs from the first.
    LegFormat => "format differs from the first leg's, read as a stream of its own",
    /// `i=` lists another number of names.
    ChannelNames => "channel names do not match the channel count, ignored",
    /// `channel-order` covers more channels than there are.
    ChannelOrder => "channel order does not match the channel count, ignored",
    /// Stream is paused.
    Inactive => "stream is marked inactive",
    /// `hkep` (VSF TR-10-5).
    Hdcp => "protection by HDCP is possible, what is protected plays as noise",
    /// `clock-deviation`.
    ClockDeviation => "sender's clock deviates from nominal, will be resampled",
}

/// Collects warnings, at most so many that a hostile text cannot fill memory with them.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<Warning>);

impl Notes {
    pub(crate) fn add(&mut self, line: impl Into<Option<u16>>, finding: Finding) {
        let warning = Warning { line: line.into(), finding };
        if self.0.len() < MAX_WARNINGS && !self.0.contains(&warning) {
            self.0.push(warning);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Warning> {
        self.0.iter()
    }

    pub(crate) fn take(self) -> Vec<Warning> {
        self.0
    }
}

const MAX_WARNINGS: usize = 64; // a person reads the first few

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn warnings_say_where_and_what() {
        let warning = Warning { line: Some(13), finding: Finding::Repeated('t') };
        assert_eq!(warning.to_string(), "line 13: another t= line, the first one counts");
        let warning = Warning { line: None, finding: Finding::Missing('o') };
        assert_eq!(warning.to_string(), "required line o= is missing");
    }
}
