//! Once made, nothing allocates or frees: the real-time thread runs all of this.

mod world;

use assert_no_alloc::{AllocDisabler, assert_no_alloc};
use wireloom_rtp::{
    Encoding, LockCheck, OffsetLearner, Packetizer, PacketizerConfig, Placement, RtpPacket, Steering,
    SteeringConfig, rtcp,
};
use wireloom_units::{MediaIndex, Rate, Samples, Ssrc};
use world::{Arrival, Random, Source, Weather};

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

const ENCODINGS: [Encoding; 4] = [Encoding::L16, Encoding::L24, Encoding::L32, Encoding::AM824];

#[test]
fn receiving_under_loss_reordering_copies_and_restarts_never_allocates() {
    for encoding in ENCODINGS {
        let mut random = Random(7);
        let source = Source { encoding, channels: 8, frames: 24, ..Source::stereo(48) };
        let other = Source { ssrc: 0xbad, ..source };
        let start = 1 << 32;
        let weather = Weather { delay: 5, jitter: 30, loss: 0.02, duplicates: 0.05, reorder: 3 };
        let mut arrivals = weather.pass(&source.stream(start, 65_000, 3_000), &mut random);
        let legs = weather.pass(&source.stream(start, 65_000, 3_000), &mut random);
        arrivals.extend(legs.into_iter().map(|arrival| Arrival { leg: 1, ..arrival }));
        arrivals.extend(weather.pass(&other.stream(start + 1_000, 5, 4_000), &mut random));
        arrivals.sort_by_key(|arrival| arrival.at);
        let mut timeline = source.timeline(2048);
        let mut out = [[0.0_f32; 48]; 8];
        let rate = Rate::HZ_48000;
        let mut steering =
            Steering::new(SteeringConfig { stream_rate: rate, graph_rate: rate, latency: Samples(200) });
        let mut learner = OffsetLearner::default();
        let mut check = LockCheck::new(rate);
        let heard = assert_no_alloc(|| {
            let mut waiting = arrivals.iter().peekable();
            let mut heard = 0;
            for cycle in 0..2_200 {
                let position = start + cycle * 48;
                while let Some(arrival) = waiting.next_if(|arrival| arrival.at <= position) {
                    let now = MediaIndex(arrival.at);
                    let placement = timeline.handle_datagram(now, arrival.leg, &arrival.bytes);
                    let Ok(packet) = RtpPacket::parse(&arrival.bytes) else { continue };
                    if placement == Placement::Restart {
                        steering.restart();
                    }
                    if placement.is_heard() {
                        steering.handle_packet(now, packet.time, Samples(24));
                        learner.handle_packet(now, packet.time, Samples(24));
                        check.handle_packet(now, now.nearest(packet.time, 0), Samples(24));
                    }
                }
                heard += timeline.read(MediaIndex(position - 200), Samples(48), &mut out).fresh;
                let (from, to) = (MediaIndex(position - 152), MediaIndex(position - 172));
                heard += timeline.read_fading(from, to, Samples(16), &mut out).fresh;
                steering.poll_step(MediaIndex(position), Samples(48));
                steering.consumed(Samples(48));
                if cycle % 700 == 699 {
                    timeline.set_offset(cycle as u32);
                    timeline.set_offset(0);
                    timeline.seek(MediaIndex(position));
                }
            }
            let peak = timeline.take_window().peak;
            assert!(peak > 0.0 && timeline.counters().packets > 0 && timeline.stream().ssrc.is_some());
            heard
        });
        assert!(heard > 50_000, "{heard}");
    }
}

#[test]
fn sending_never_allocates() {
    for encoding in ENCODINGS {
        let source = Source { encoding, channels: 8, frames: 24, ..Source::stereo(48) };
        let mut sender = Packetizer::new(PacketizerConfig {
            encoding,
            channels: source.channels(),
            rate: Rate::HZ_48000,
            frames_per_packet: Samples(24),
            payload_type: 97,
            ssrc: Ssrc(1),
            first_sequence: 0,
            offset: 0,
            capacity: Samples(512),
        })
        .expect("fits");
        let input = [[0.25_f32; 64]; 8];
        let mut buffer = [0; 1500];
        let sent = assert_no_alloc(|| {
            let mut sent = 0;
            for cycle in 0..5_000 {
                let at = cycle * 64 + if cycle > 2_000 { 1_000 } else { 0 };
                sender.write(MediaIndex(at), Samples(64), &input);
                while sender.poll_packet(MediaIndex(at + 64), &mut buffer).is_some() {
                    sent += 1;
                }
            }
            let length = rtcp::write_bye(Ssrc(1), &mut buffer).expect("room");
            assert_eq!(rtcp::parse(&buffer[..length]).count(), 2);
            sender.restart();
            sent
        });
        assert!(sent > 13_000, "{sent}");
    }
}
