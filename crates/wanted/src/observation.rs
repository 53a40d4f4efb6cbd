use serde::{Deserialize, Serialize};

/// What the packets of a stream say about themselves, where that is known; the description may say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Synchronisation source of the sender that is listened to (RFC 3550 section 5.1).
    pub ssrc: u32,
    /// Payload type that is taken.
    pub payload_type: u8,
    /// Frames in a packet.
    pub frames: u32,
}

/// What is odd about what arrives. Found once a second, kept for some seconds after it was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// Datagrams come, but none is RTP.
    NotRtp,
    /// Packets come, but all have another payload type than described.
    BadPayloadType,
    /// Packets come, but their size does not fit the described format.
    BadSize,
    /// A second sender's packets come to the same address.
    Foreign,
    /// A tenth of the packets or more come after their samples were due.
    Late,
    /// Packets came late all the time, as of a sender in bursts, and the latency was raised for them.
    Raised,
    /// A tenth of the packets or more are stamped too far in the future.
    Early,
    /// Timestamps and sizes contradict each other: other channels or another encoding than described.
    Contradicts,
    /// AM824 whose channel status says that it is no PCM audio.
    NotPcm,
    /// All samples have been exactly 0 for two seconds or more.
    Zero,
    /// Something that a newer module found.
    #[serde(other)]
    Unknown,
}
