use wireloom_units::MediaIndex;

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Placement {
    /// Its samples are where its timestamp points.
    Placed,
    /// Placed, and the first of a sender that is new or restarted: what was learned about the old one
    /// (offset, steering) no longer holds.
    Restart,
    /// Taken, but the stream's offset is not known yet, so it has no place.
    Waiting,
    /// Its samples were due before it came.
    Late,
    /// Its samples are due too far in the future.
    Early,
    /// It came before: again, or over another leg.
    Duplicate,
    /// Its payload does not fit the format.
    BadSize,
    /// It has another payload type.
    BadPayloadType,
    /// It is of a sender that is not listened to.
    Foreign,
    /// Sequence and timestamp do not continue the sender's; placed from the next packet on that agrees with it.
    Unconfirmed,
    /// It is not RTP.
    NotRtp,
}

impl Placement {
    /// Whether it is a packet of the sender that is listened to, with a time to learn from.
    pub const fn is_heard(self) -> bool {
        matches!(self, Self::Placed | Self::Restart | Self::Waiting | Self::Late | Self::Early)
    }
}

/// What happened since a timeline exists; the names are those of `wireloom_wanted::Stats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Packets that were taken: placed, or waiting for an offset.
    pub packets: u64,
    /// Sequence numbers that have not come, on no leg.
    pub lost: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Packets that came twice (ST 2022-7 copies included).
    pub duplicates: u64,
    /// Packets that came after their samples were due.
    pub late: u64,
    /// Packets too far in the future.
    pub early: u64,
    /// Packets of a size that does not fit the format.
    pub bad_size: u64,
    /// Packets with another payload type.
    pub bad_payload_type: u64,
    /// Datagrams that are not RTP.
    pub not_rtp: u64,
    /// Packets of a sender that is not listened to.
    pub foreign: u64,
    /// Times the sender restarted or jumped.
    pub restarts: u64,
    /// Frames that were played as silence because nothing was there, from the first frame that was heard on.
    pub gap_frames: u64,
    /// Times playing changed from sound to a gap.
    pub gaps: u64,
}

/// What one leg of a stream brought (ST 2022-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LegCounters {
    /// Packets that came over this leg, copies included.
    pub received: u64,
    /// Sequence numbers that have not come over this leg.
    pub lost: u64,
    /// Packets that came twice over this leg.
    pub duplicates: u64,
    /// Packets that came over this leg and, so far, over no other.
    pub only_here: u64,
    /// How much later than the first leg this one brings its copies; absent before the first copy.
    pub differential: Option<Differential>,
    /// When the last packet came, on the media clock; absent before the first.
    pub heard: Option<MediaIndex>,
}

/// Path differential of a leg against the first arrival, in samples (ST 2022-7 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Differential {
    /// Smallest.
    pub min: u32,
    /// Mean.
    pub mean: u32,
    /// Largest.
    pub max: u32,
}

/// What one read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Read {
    /// Frames with samples of the stream.
    pub fresh: u32,
    /// Frames of silence because nothing was there.
    pub gap: u32,
}

/// Extremes since the last look at them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Window {
    /// Frames between a packet's first sample and the next one to be played when it came, at the tightest;
    /// negative is late. Absent when no packet came while playing.
    pub margin: Option<i64>,
    /// Largest absolute sample that was played; 1.0 is full scale.
    pub peak: f32,
}

impl Window {
    /// [`Window::peak`] in millionths of full scale, as `wireloom_wanted::Stats` carries it.
    pub fn peak_millionths(&self) -> u32 {
        (self.peak * 1e6) as u32
    }
}
