use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use anyhow::Context;
use socket2::SockRef;
use wireloom_sdp::{Description, Encoding, Flavour, Leg, MediaClock, RefClk, SapAnnouncer, write};
use wireloom_units::{ClockIdentity, Nanos, Rate};

use crate::output::{Output, PAYLOAD_TYPE};

const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 255), 9875);

/// Announces the outputs.
pub struct Announcements {
    announcer: SapAnnouncer,
    socket: UdpSocket,
}

impl Announcements {
    pub fn new(address: Ipv4Addr, seed: u32) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((address, 0)).context("binding the announcement socket")?;
        let options = SockRef::from(&socket);
        options.set_multicast_if_v4(&address)?;
        options.set_multicast_ttl_v4(32)?;
        Ok(Self { announcer: SapAnnouncer::new(seed.into()), socket })
    }

    /// Announces `output` as it is now.
    pub fn say(&mut self, now: Nanos, output: &Output, description: Description) {
        // An output that cannot be described is not announced; its packets are checked when it is made.
        let _ = self.announcer.handle_change(now, output.sid.into(), description, Flavour::Neutral);
    }

    /// Withdraws the stream.
    pub fn withdraw(&mut self, now: Nanos, output: &Output) {
        self.announcer.handle_withdrawal(now, output.sid.into());
    }

    /// Sends what is due.
    pub fn run(&mut self, now: Nanos) {
        self.announcer.handle_timeout(now);
        while let Some(outgoing) = self.announcer.poll_transmit() {
            let _ = self.socket.send_to(&outgoing.bytes, GROUP); // repeated anyway
        }
    }

    /// When something is due next.
    pub fn next(&self) -> Option<Nanos> {
        self.announcer.poll_timeout()
    }
}

/// The device as its announcements name it.
pub struct Speaker<'a> {
    pub host: &'a str,
    pub name: &'a str,
    pub address: Ipv4Addr,
    pub control_port: u16,
    pub grandmaster: Option<ClockIdentity>,
}

/// What is announced of `output`: the sender's own address in `c=`, as OAT does it.
pub fn description(speaker: &Speaker<'_>, output: &Output) -> Description {
    let offer = wireloom_oat::Offer {
        stream: output.sid,
        subscription: true,
        control_port: Some(speaker.control_port),
    };
    let clock = |identity: ClockIdentity| RefClk::Ptp {
        version: wireloom_sdp::PtpVersion::V2,
        identity: Some(identity),
        domain: Some(0),
        widened: false,
    };
    Description {
        user: speaker.host.to_owned(),
        session_id: output.session_id,
        version: output.session_id,
        origin: speaker.address.into(),
        name: wireloom_oat::session_name(speaker.name, &output.name),
        labels: Vec::new(),
        encoding: Encoding::L24,
        rate: Rate::HZ_48000,
        channels: output.channels,
        payload_type: PAYLOAD_TYPE,
        samples_per_packet: output.frames,
        legs: vec![Leg {
            address: speaker.address.into(),
            port: output.port(),
            ttl: None,
            sources: Vec::new(),
            excluded: Vec::new(),
            near: None,
        }],
        refclk: speaker.grandmaster.map(clock),
        media_clock: MediaClock::Direct(0),
        paused: false,
        oat: offer.to_string(),
    }
}

/// The same as text, for `GET /streams/{id}/sdp`.
pub fn text(speaker: &Speaker<'_>, output: &Output) -> Option<String> {
    write(&description(speaker, output), Flavour::Neutral).ok()
}
