//! Targets of `wireloom-rtp`: packets, a whole timeline, and RTCP.

use wireloom_rtp::{
    Encoding, HEADER_BYTES, Placement, RtpHeader, RtpPacket, Steering, SteeringConfig, Timeline,
    TimelineConfig, rtcp, write_header,
};
use wireloom_units::{Channels, MediaIndex, Rate, Samples, Ssrc};

/// Reads a packet; what was read, written again, reads the same.
pub fn packet(bytes: &[u8]) {
    let Ok(packet) = RtpPacket::parse(bytes) else { return };
    let RtpPacket { sequence, time, ssrc, payload_type, payload, .. } = packet;
    let mut again = write_header(&RtpHeader { sequence, time, ssrc, payload_type }).to_vec();
    again.extend_from_slice(payload);
    assert!(again.len() <= bytes.len().max(HEADER_BYTES));
    assert_eq!(RtpPacket::parse(&again), Ok(RtpPacket { marker: false, ..packet }));
}

/// Plays a stream of hostile packets: the first octets choose the format, then every piece is a packet, its
/// first octets how it departs from the one before.
///
/// Whatever comes, a read fills every frame, counts it, and stays within full scale; a steering that is fed the
/// same packets keeps its ratio where a resampler can follow.
pub fn timeline(bytes: &[u8]) {
    let Some((&[choice, count, step], pieces)) = bytes.split_first_chunk::<3>() else { return };
    let encoding = [Encoding::L16, Encoding::L24, Encoding::L32, Encoding::AM824][usize::from(choice % 4)];
    let channels = Channels::new(u16::from(count % 4) + 1).expect("1 to 4");
    let mut timeline = Timeline::new(TimelineConfig {
        encoding,
        channels,
        rate: Rate::HZ_48000,
        payload_type: 97,
        offset: (choice & 0x80 == 0).then_some(u32::from(choice)),
        capacity: Samples(256),
        history: Samples(u32::from(choice & 0x40)),
    })
    .expect("256 frames");
    let mut out = vec![vec![f32::NAN; 48]; usize::from(channels.count())];
    let mut now = MediaIndex(u64::from(step) << 24);
    let mut header = RtpHeader { sequence: 0, time: now.media_time(0), ssrc: Ssrc(7), payload_type: 97 };
    let frame = encoding.bytes_per_frame(channels);
    let mut steering = Steering::new(SteeringConfig {
        stream_rate: Rate::HZ_48000,
        graph_rate: Rate::HZ_48000,
        latency: Samples(u32::from(count) * 8),
    });
    let mut taken = 0;
    for piece in pieces.chunks(3 + frame * usize::from(step % 16 + 1)) {
        let &[odd, jump, ..] = piece else { break };
        let payload = piece.get(2 + usize::from(odd == 0)..).unwrap_or_default();
        let whole = if odd & 1 == 0 { payload.len() } else { payload.len() / frame * frame };
        let mut datagram = write_header(&header).to_vec();
        datagram.extend_from_slice(&payload[..whole]);
        let placement = timeline.handle_datagram(now, jump % 5, &datagram);
        taken += u64::from(matches!(placement, Placement::Placed | Placement::Waiting));

        let read = timeline.read(now.offset_by(-64), Samples(48), &mut out[..]);
        assert_eq!(read.fresh + read.gap, 48);
        assert!(out.iter().flatten().all(|sample| sample.abs() <= 1.0), "unwritten or beyond full scale");
        out.iter_mut().for_each(|channel| channel.fill(f32::NAN));

        let frames = (whole / frame) as u32;
        if placement.is_heard() {
            steering.handle_packet(now, header.time, Samples(frames));
        }
        if let Some(step) = steering.poll_step(now, Samples(48)) {
            assert!((step.ratio - 1.0).abs() < 0.0016, "the ratio is {}", step.ratio);
            steering.consumed(Samples(48));
        }

        header.sequence = header.sequence.wrapping_add(if odd & 2 == 0 { 1 } else { u16::from(jump) });
        header.time = header.time.plus(Samples(if odd & 4 == 0 { frames } else { u32::from(jump) << 6 }));
        header.ssrc = Ssrc(7 + u32::from(odd & 24 == 24));
        header.payload_type = 97 + u8::from(odd & 96 == 96);
        now = now.offset_by(if odd & 128 == 0 { i64::from(frames) } else { i64::from(jump) * 64 - 1000 });
        match odd {
            0xfe => timeline.set_offset(u32::from(jump)),
            0xfd => timeline.forget_offset(),
            0xfc => drop(timeline.read_fading(now, now.offset_by(-40), Samples(48), &mut out[..])),
            _ => {}
        }
    }
    assert!(timeline.counters().packets >= taken);
}

/// Reads RTCP to its end; a sender report, written again, reads the same.
pub fn rtcp(bytes: &[u8]) {
    let mut buffer = [0; 320];
    for parsed in rtcp::parse(bytes) {
        match parsed {
            Ok(rtcp::RtcpPacket::SenderReport(report)) => {
                let length = rtcp::write_sender_report(&report, b"x", &mut buffer).expect("has room");
                let again = rtcp::parse(&buffer[..length]).next();
                assert_eq!(again, Some(Ok(rtcp::RtcpPacket::SenderReport(report))));
            }
            Ok(rtcp::RtcpPacket::Bye(sources)) => assert!(sources.iter().count() <= 31),
            _ => {}
        }
    }
}

#[cfg(test)]
mod fuzzed {
    use crate::mutate::drive;

    #[test]
    fn rtp_packets() {
        drive("rtp", super::packet);
    }

    #[test]
    fn rtp_timelines() {
        drive("rtp", super::timeline);
    }

    #[test]
    fn rtcp_compounds() {
        drive("rtp", super::rtcp);
    }
}
