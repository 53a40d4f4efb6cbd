//! A sender so light that it does not matter what else the computer measures: all packets of a millisecond go out in
//! one system call. It is also the studio's clock: it publishes the line that its timestamps are taken from.

use std::io::IoSlice;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use wireloom_clock_page::{Line, LineState, Source, Writer, raw_now, realtime_raw_pair};
use wireloom_rtp::{RtpHeader, write_header};
use wireloom_units::{ClockIdentity, MediaIndex, Rate, Samples, Ssrc, TaiTime};

use crate::streams::{BYTES, FRAMES, PAYLOAD_TYPE, StreamPlan};

/// TAI minus UTC since 2017.
const TAI_MINUS_UTC_NS: i64 = 37_000_000_000;
/// The page's heartbeat is due each 250 ms; packets are sent each millisecond.
const BEAT_PACKETS: u64 = 200;
/// Every this many packets each stream is announced again; a receiver that was late hears it then.
const ANNOUNCE_PACKETS: u64 = 500;
/// A sender that was held up for longer jumps ahead.
const REPLAY_FRAMES: i64 = 9600;

/// Sends `streams` streams from the host with address `origin` until it is killed, publishing its clock at `page`.
pub fn run(streams: usize, origin: Ipv4Addr, page: &Path) -> Result<()> {
    let mut clock = Clock::new(page)?;
    let socket = UdpSocket::bind((origin, 0)).context("binding the sender's socket")?;
    socket.set_multicast_ttl_v4(32)?;
    let plans: Vec<StreamPlan> = (0..streams).map(StreamPlan::new).collect();
    let mut packets: Vec<Vec<u8>> = plans.iter().map(|plan| packet(plan.number)).collect();
    let addresses: Vec<Option<SockaddrIn>> =
        plans.iter().map(|plan| Some(SockaddrIn::from(plan.address))).collect();
    let mut headers = MultiHeaders::preallocate(streams, None);
    let no_control: [ControlMessage<'_>; 0] = [];

    let mut next = clock.now().next_multiple_of(Samples(FRAMES));
    for count in 0_u64.. {
        if count.is_multiple_of(BEAT_PACKETS) {
            clock.beat();
        }
        if count.is_multiple_of(ANNOUNCE_PACKETS) {
            announce(&socket, &plans, origin)?;
        }
        // The packet with the frames m .. m+n-1 leaves at m+n.
        let due = next.plus(Samples(FRAMES));
        let wait = due.since(clock.now());
        if wait > 0 {
            std::thread::sleep(Duration::from_nanos(Rate::HZ_48000.nanos_of(wait.cast_unsigned())));
        } else if wait < -REPLAY_FRAMES {
            next = clock.now().next_multiple_of(Samples(FRAMES));
            continue;
        }
        for (plan, packet) in plans.iter().zip(&mut packets) {
            let header = RtpHeader {
                sequence: count as u16,
                time: next.media_time(0),
                ssrc: Ssrc(plan.number as u32 + 1),
                payload_type: PAYLOAD_TYPE,
            };
            packet[..12].copy_from_slice(&write_header(&header));
        }
        let slices: Vec<[IoSlice<'_>; 1]> = packets.iter().map(|packet| [IoSlice::new(packet)]).collect();
        let mut from = 0;
        while from < streams {
            let (slices, to) = (&slices[from..], &addresses[from..]);
            let sent = sendmmsg(socket.as_raw_fd(), &mut headers, slices, to, no_control, MsgFlags::empty())
                .context("sending")?
                .count();
            from += sent.max(1);
        }
        next = due;
    }
    Ok(())
}

/// A packet of noise: nothing that is measured depends on what is in it.
fn packet(stream: usize) -> Vec<u8> {
    let mut state = stream as u32 + 1;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    noise.take(BYTES).collect()
}

/// Announces every stream, by SAP (RFC 2974), on the port that its receiver listens to.
fn announce(socket: &UdpSocket, plans: &[StreamPlan], origin: Ipv4Addr) -> Result<()> {
    for plan in plans {
        let mut datagram = vec![0x20, 0, 0, plan.number as u8 + 1];
        datagram.extend(origin.octets());
        datagram.extend(b"application/sdp\0");
        datagram.extend(plan.description(origin).bytes());
        socket.send_to(&datagram, plan.announced_to).context("announcing")?;
    }
    Ok(())
}

/// CLOCK_MONOTONIC_RAW, presented as a PTP domain that this computer is locked to.
struct Clock {
    writer: Writer,
    line: Line,
}

impl Clock {
    fn new(page: &Path) -> Result<Self> {
        let mut writer = Writer::create(page)?;
        let now = realtime_raw_pair();
        let line = Line {
            source: Source::PtpV2(0),
            state: LineState::Locked,
            generation: 1,
            base: now.raw,
            time: TaiTime::from_nanos(now.clock + TAI_MINUS_UTC_NS),
            rate: 0,
            error_bound_ns: 1_000,
            leader: ClockIdentity::from_mac([0, 0, 0x5e, 0, 0x53, 1]),
        };
        writer.publish(&line)?;
        writer.beat(now.raw);
        Ok(Self { writer, line })
    }

    fn now(&self) -> MediaIndex {
        Rate::HZ_48000.index_at(self.line.at(raw_now()))
    }

    fn beat(&mut self) {
        self.writer.beat(raw_now());
    }
}
