use super::octets::{Putter, Taker};
use super::{Announce, Header, MessageType, PortIdentity, Timestamp, Tlvs, WireError};

/// One PTPv2 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// The common header.
    pub header: Header,
    /// The fixed part after it.
    pub body: Body,
    /// What follows that, inside messageLength.
    pub tlvs: Tlvs<'a>,
}

/// The fixed part of each type of message (IEEE 1588-2008 §13.5 to §13.13, §15.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// When it left, or about when if the twoStep flag is set.
    Sync {
        /// originTimestamp.
        origin: Timestamp,
    },
    /// A follower asks when this arrives.
    DelayReq {
        /// originTimestamp, usually zero.
        origin: Timestamp,
    },
    /// A neighbour asks when this arrives.
    PdelayReq {
        /// originTimestamp, usually zero.
        origin: Timestamp,
        /// Reserved, kept.
        reserved: [u8; 10],
    },
    /// When a Pdelay_Req arrived.
    PdelayResp {
        /// requestReceiptTimestamp.
        receipt: Timestamp,
        /// requestingPortIdentity.
        requester: PortIdentity,
    },
    /// When the Sync of the same sequenceId left.
    FollowUp {
        /// preciseOriginTimestamp.
        origin: Timestamp,
    },
    /// When a Delay_Req arrived.
    DelayResp {
        /// receiveTimestamp.
        receipt: Timestamp,
        /// requestingPortIdentity.
        requester: PortIdentity,
    },
    /// When a Pdelay_Resp left.
    PdelayRespFollowUp {
        /// responseOriginTimestamp.
        origin: Timestamp,
        /// requestingPortIdentity.
        requester: PortIdentity,
    },
    /// A master describes its grandmaster.
    Announce(Announce),
    /// Negotiation, in TLVs.
    Signaling {
        /// targetPortIdentity.
        target: PortIdentity,
    },
    /// Reading or writing of data sets, in a TLV.
    Management(Management),
}

/// The fixed part of a Management message (IEEE 1588-2008 table 37).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Management {
    /// targetPortIdentity.
    pub target: PortIdentity,
    /// startingBoundaryHops.
    pub starting_hops: u8,
    /// boundaryHops.
    pub hops: u8,
    /// actionField in the low nibble: 0 GET, 1 SET, 2 RESPONSE, 3 COMMAND, 4 ACKNOWLEDGE.
    pub action: u8,
    /// Reserved, kept.
    pub reserved: u8,
}

impl Body {
    /// The type of message this is the body of.
    pub const fn kind(&self) -> MessageType {
        match self {
            Self::Sync { .. } => MessageType::Sync,
            Self::DelayReq { .. } => MessageType::DelayReq,
            Self::PdelayReq { .. } => MessageType::PdelayReq,
            Self::PdelayResp { .. } => MessageType::PdelayResp,
            Self::FollowUp { .. } => MessageType::FollowUp,
            Self::DelayResp { .. } => MessageType::DelayResp,
            Self::PdelayRespFollowUp { .. } => MessageType::PdelayRespFollowUp,
            Self::Announce(_) => MessageType::Announce,
            Self::Signaling { .. } => MessageType::Signaling,
            Self::Management(_) => MessageType::Management,
        }
    }

    fn parse(kind: MessageType, octets: &mut Taker<'_>) -> Result<Self, WireError> {
        Ok(match kind {
            MessageType::Sync => Self::Sync { origin: Timestamp::parse(octets)? },
            MessageType::DelayReq => Self::DelayReq { origin: Timestamp::parse(octets)? },
            MessageType::PdelayReq => {
                Self::PdelayReq { origin: Timestamp::parse(octets)?, reserved: octets.take()? }
            }
            MessageType::PdelayResp => Self::PdelayResp {
                receipt: Timestamp::parse(octets)?,
                requester: PortIdentity::parse(octets)?,
            },
            MessageType::FollowUp => Self::FollowUp { origin: Timestamp::parse(octets)? },
            MessageType::DelayResp => Self::DelayResp {
                receipt: Timestamp::parse(octets)?,
                requester: PortIdentity::parse(octets)?,
            },
            MessageType::PdelayRespFollowUp => Self::PdelayRespFollowUp {
                origin: Timestamp::parse(octets)?,
                requester: PortIdentity::parse(octets)?,
            },
            MessageType::Announce => Self::Announce(Announce::parse(octets)?),
            MessageType::Signaling => Self::Signaling { target: PortIdentity::parse(octets)? },
            MessageType::Management => Self::Management(Management {
                target: PortIdentity::parse(octets)?,
                starting_hops: octets.u8()?,
                hops: octets.u8()?,
                action: octets.u8()?,
                reserved: octets.u8()?,
            }),
        })
    }

    fn emit(&self, octets: &mut Putter<'_>) {
        match self {
            Self::Sync { origin } | Self::DelayReq { origin } | Self::FollowUp { origin } => {
                origin.emit(octets)
            }
            Self::PdelayReq { origin, reserved } => {
                origin.emit(octets);
                octets.put(reserved);
            }
            Self::PdelayResp { receipt: time, requester }
            | Self::DelayResp { receipt: time, requester }
            | Self::PdelayRespFollowUp { origin: time, requester } => {
                time.emit(octets);
                requester.emit(octets);
            }
            Self::Announce(announce) => announce.emit(octets),
            Self::Signaling { target } => target.emit(octets),
            Self::Management(management) => {
                management.target.emit(octets);
                let Management { starting_hops, hops, action, reserved, .. } = *management;
                octets.put(&[starting_hops, hops, action, reserved]);
            }
        }
    }
}

impl<'a> Message<'a> {
    /// Checks the whole message once; nothing after this can fail.
    ///
    /// Octets behind messageLength (padding of short frames) are ignored. Source: IEEE 1588-2008 clause 13.
    pub fn parse(octets: &'a [u8]) -> Result<Self, WireError> {
        let (header, kind, body) = Header::parse(octets)?;
        let mut taker = Taker::new(body);
        let body = Body::parse(kind, &mut taker)?;
        Ok(Self { header, body, tlvs: Tlvs::parse(taker.rest())? })
    }

    /// Octets of the message on the wire.
    pub const fn length(&self) -> usize {
        self.body.kind().length() + self.tlvs.octets().len()
    }

    /// Writes the message to the beginning of `octets` and says how long it is.
    ///
    /// Errors: `Space` if it does not fit.
    pub fn emit(&self, octets: &mut [u8]) -> Result<usize, WireError> {
        let length = self.length();
        let space = WireError::Space { needed: length, got: octets.len() };
        let announced = u16::try_from(length).map_err(|_| space)?;
        let mut putter = Putter::new(octets.get_mut(..length).ok_or(space)?);
        self.header.emit(self.body.kind(), announced, &mut putter);
        self.body.emit(&mut putter);
        putter.put(self.tlvs.octets());
        Ok(length)
    }
}
