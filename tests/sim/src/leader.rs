use wireloom_ptp::PortIdentity;
use wireloom_ptp::v2::{
    Announce, Body, ClockQuality, Correction, Flags, Header, LOG_INTERVAL_UNUSED, Message, Timestamp, Tlvs,
};
use wireloom_units::{ClockIdentity, TaiTime};

use crate::{Oscillator, Random, Stamper, True};

/// A grandmaster that holds no election: it sends, until told not to.
#[derive(Debug, Clone)]
pub struct ScriptedLeader {
    /// Its port.
    pub identity: PortIdentity,
    /// Its clock: nanoseconds of its time.
    pub clock: Oscillator,
    /// Its timestamps.
    pub stamper: Stamper,
    /// priority1.
    pub priority1: u8,
    /// Interval of Announce, as log2 of seconds.
    pub log_announce: i8,
    /// Interval of Sync, as log2 of seconds.
    pub log_sync: i8,
    /// The delay request interval that it asks for.
    pub log_delay_req: i8,
    /// Whether it sends anything.
    pub alive: bool,
    /// Sends the precise time in the Sync itself.
    pub one_step: bool,
    sequence: u16,
}

impl ScriptedLeader {
    /// Grandmaster number `number` whose perfect clock read `epoch` ns at the beginning.
    pub fn new(number: u8, epoch: i64) -> Self {
        Self {
            identity: PortIdentity {
                clock: ClockIdentity([0, 0x1d, 0xc1, 0xff, 0xfe, 0, 0, number]),
                port: 1,
            },
            clock: Oscillator::new(0.0, epoch, number.into()),
            stamper: Stamper::SOFTWARE,
            priority1: 128,
            log_announce: 0,
            log_sync: -3,
            log_delay_req: -3,
            alive: true,
            one_step: false,
            sequence: 0,
        }
    }

    fn message(&self, body: Body, flags: Flags, sequence: u16, log_interval: i8) -> Vec<u8> {
        let header = Header {
            flags,
            source: self.identity,
            sequence,
            control: body.kind().control(),
            log_interval,
            ..Header::default()
        };
        let mut octets = vec![0; 64];
        let length =
            Message { header, body, tlvs: Tlvs::default() }.emit(&mut octets).expect("at most 64 octets");
        octets.truncate(length);
        octets
    }

    pub(crate) fn announce(&mut self) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let announce = Announce {
            origin: Timestamp::default(),
            utc_offset: 37,
            reserved: 0,
            priority1: self.priority1,
            quality: ClockQuality { class: 6, accuracy: 0x21, variance: 0x4e5d },
            priority2: 128,
            grandmaster: self.identity.clock,
            steps_removed: 0,
            time_source: 0x20,
        };
        let flags = Flags::PTP_TIMESCALE.with(Flags::UTC_OFFSET_VALID, true);
        self.message(Body::Announce(announce), flags, self.sequence, self.log_announce)
    }

    /// A Sync that leaves at `now`, and its Follow_Up.
    pub(crate) fn sync(&mut self, now: True, random: &mut Random) -> (Vec<u8>, Option<Vec<u8>>) {
        self.sequence = self.sequence.wrapping_add(1);
        let origin = self.stamp(now, random);
        if self.one_step {
            return (
                self.message(Body::Sync { origin }, Flags::default(), self.sequence, self.log_sync),
                None,
            );
        }
        let blank = Body::Sync { origin: Timestamp::default() };
        let sync = self.message(blank, Flags::TWO_STEP, self.sequence, self.log_sync);
        let follow_up =
            self.message(Body::FollowUp { origin }, Flags::default(), self.sequence, self.log_sync);
        (sync, Some(follow_up))
    }

    /// The answer to a message that arrived at `now`, if it was a delay request.
    pub(crate) fn answer(&mut self, now: True, bytes: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        let request = Message::parse(bytes).ok()?;
        if !self.alive || !matches!(request.body, Body::DelayReq { .. }) {
            return None;
        }
        let receipt = self.stamp(now, random);
        let body = Body::DelayResp { receipt, requester: request.header.source };
        let log = if self.log_delay_req < 8 { self.log_delay_req } else { LOG_INTERVAL_UNUSED };
        let mut octets = self.message(body, Flags::default(), request.header.sequence, log);
        octets[8..16].copy_from_slice(&Correction::ZERO.to_wire().to_be_bytes());
        Some(octets)
    }

    fn stamp(&mut self, now: True, random: &mut Random) -> Timestamp {
        Timestamp::from_tai(TaiTime::from_nanos(self.stamper.stamp(self.clock.read(now), random)))
    }
}
