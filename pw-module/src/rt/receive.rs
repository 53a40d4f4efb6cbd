//! A node that brings a stream in: drains its sockets, places packets, reads at the graph's position.

use std::sync::Arc;

use wireloom_rtp::{LockCheck, OffsetLearner, PlanarMut, Punctuality, RtpPacket, Timeline, Verdict};
use wireloom_units::{MediaIndex, Rate, Samples};
use wireloom_wanted::{ClockRelation, Heard, Mode};

use super::report::Notes;
use super::{Adaptive, Report, World};
use crate::ffi::{BATCH, MediaSocket, Ports, Position};

/// What is told to the main loop is told this many times a second.
const REPORTS_A_SECOND: u32 = 10;

/// How often a node that is active gives a sender that is late more latency: each time is a crossfade.
const MAX_RAISES: u32 = 4;
/// Frames that the ring holds besides the longest latency: what a computer that catches up has already received.
const SPARE: u32 = 4096;

/// What a receive node is made of.
pub(crate) struct ReceiveConfig {
    /// The ring that packets are placed in.
    pub timeline: Timeline,
    /// Samples a second of the stream.
    pub rate: Rate,
    /// RTP timestamp minus media clock, if the description says it.
    pub offset: Option<u32>,
    /// How the sender's clock relates to ours, as far as known.
    pub relation: ClockRelation,
    /// Latency class, in samples.
    pub latency: u32,
    /// Frames of a packet as described.
    pub packet_frames: u32,
    /// Datagrams that one cycle takes from one socket at most, but for what fills the last [`BATCH`]: what the longest
    /// quantum and 200 ms can hold.
    pub max_datagrams: usize,
    /// What is told to the main loop.
    pub report: Arc<Report>,
}

/// The cycle side of a receive node.
pub(crate) struct Receive {
    config: ReceiveConfig,
    sockets: Vec<MediaSocket>,
    adaptive: Option<Box<Adaptive>>,
    learner: OffsetLearner,
    check: LockCheck,
    misfit: bool,
    punctuality: Punctuality,
    /// Frames that packets come after they could have, as far as the latency covers it.
    delay: u32,
    /// Packets are late all the time: by how many frames.
    late_by: Option<Samples>,
    raises: u32,
    mode: Option<Mode>,
    latency: u32,
    packet_frames: u32,
    expected: Option<(u32, MediaIndex)>,
    /// Jumps of the network's clock so far; what was learned about a sender holds until the next.
    jumps: u32,
    since_report: u32,
    since_window: u32,
}

impl Receive {
    pub(crate) fn new(config: ReceiveConfig) -> Self {
        let mut this = Self {
            sockets: Vec::new(),
            adaptive: None,
            learner: OffsetLearner::default(),
            check: LockCheck::new(config.rate),
            misfit: false,
            punctuality: Punctuality::new(config.rate, false),
            delay: 0,
            late_by: None,
            raises: 0,
            mode: None,
            latency: config.latency,
            packet_frames: config.packet_frames,
            expected: None,
            jumps: 0,
            since_report: 0,
            since_window: 0,
            config,
        };
        this.config.report.set_latency(this.latency);
        this.timeline_offset_as_described();
        this
    }

    /// Listens to `sockets` from now on (none: to nothing); returns those used before, to be closed on the main loop.
    pub(crate) fn set_sockets(&mut self, sockets: Vec<MediaSocket>) -> Vec<MediaSocket> {
        self.expected = None;
        if sockets.is_empty() {
            self.latency = self.config.latency; // an inactive node forgets what a quantum or a sender asked for
            (self.delay, self.late_by, self.raises) = (0, None, 0);
            self.mode = None;
            self.config.report.set_mode(None);
            self.config.report.set_latency(self.latency);
        }
        std::mem::replace(&mut self.sockets, sockets)
    }

    /// Gives it what playing a foreign clock needs; returns what it had.
    pub(crate) fn set_adaptive(&mut self, adaptive: Option<Box<Adaptive>>) -> Option<Box<Adaptive>> {
        std::mem::replace(&mut self.adaptive, adaptive)
    }

    /// The description changed what is known about the sender's clock, but not the media.
    pub(crate) fn set_clock(&mut self, relation: ClockRelation, offset: Option<u32>) {
        if (relation, offset) == (self.config.relation, self.config.offset) {
            return;
        }
        // A stream whose offset was learned keeps it: learning anew is silence for as long as it takes.
        if offset != self.config.offset && self.mode != Some(Mode::Adaptive) {
            self.mode = None; // chosen anew in the next cycle
        }
        self.config.relation = relation;
        self.config.offset = offset;
        self.check = LockCheck::new(self.config.rate);
        self.misfit = false;
    }

    /// Asks for another latency class, in samples.
    pub(crate) fn set_latency(&mut self, latency: u32) {
        self.config.latency = latency;
        self.latency = self.latency.max(latency);
    }

    fn timeline_offset_as_described(&mut self) {
        match self.config.offset {
            Some(offset) => self.config.timeline.set_offset(offset),
            None => self.config.timeline.forget_offset(),
        }
    }

    /// How the stream is to be read in this cycle.
    fn choose(&self, ours: bool, graph_rate: u32) -> Mode {
        let foreign =
            !ours || graph_rate != self.config.rate.hz() || self.config.relation == ClockRelation::Other;
        // Until it can be resampled, a sender whose clock has turned out to be another is played as it was.
        if foreign || self.misfit && self.is_ready(graph_rate) {
            Mode::Adaptive
        } else if self.config.offset.is_some() {
            Mode::Locked
        } else {
            Mode::Learned
        }
    }

    fn is_ready(&self, graph_rate: u32) -> bool {
        self.adaptive.as_ref().is_some_and(|adaptive| adaptive.is_for(graph_rate))
    }

    fn change_mode(&mut self, mode: Mode, now: MediaIndex) {
        let before = self.mode.replace(mode);
        self.config.report.set_mode(Some(mode));
        if before == Some(mode) {
            return;
        }
        self.punctuality = Punctuality::new(self.config.rate, mode == Mode::Adaptive);
        match mode {
            Mode::Locked => self.timeline_offset_as_described(),
            Mode::Learned => {
                self.learner = OffsetLearner::default();
                self.config.timeline.forget_offset();
            }
            Mode::Adaptive => {
                let heard = before.and(self.config.timeline.offset()).zip(self.expected);
                match (&mut self.adaptive, heard) {
                    (Some(adaptive), Some((offset, (_, next)))) => {
                        let at = next.offset_by(-i64::from(self.latency));
                        adaptive.take_over(now, offset, at, Samples(self.latency));
                    }
                    (adaptive, _) => {
                        self.config.timeline.forget_offset();
                        if let Some(adaptive) = adaptive {
                            adaptive.steering.restart();
                        }
                    }
                }
            }
        }
    }

    /// One cycle.
    pub(crate) fn process(&mut self, world: &mut World, position: &Position, ports: &mut Ports<'_>) {
        let now = MediaIndex(position.index);
        let mode = self.choose(world.drives(position), position.rate);
        if self.mode != Some(mode) {
            self.change_mode(mode, now);
        }
        let continues = self.expected == Some((position.clock_id, now));
        if !continues && self.expected.is_some() && mode != Mode::Adaptive {
            // The graph jumped: what waits in the queue is placed by the new position.
            self.config.timeline.seek(now.offset_by(-i64::from(self.latency)));
        }
        let jumps = world.clock_status().jumps;
        if std::mem::replace(&mut self.jumps, jumps) != jumps {
            // The clock's count jumped, and with it every offset that was compared with it. Cycles that were only
            // left out change nothing.
            self.check = LockCheck::new(self.config.rate);
            if mode == Mode::Learned {
                self.learner = OffsetLearner::default();
                self.config.timeline.forget_offset();
            }
        }
        self.expected = Some((position.clock_id, now.plus(Samples(position.frames))));
        self.drain(world, position);
        if !self.play(now, position, ports) {
            ports.silence();
        }
        self.tell(position);
    }

    /// Takes every datagram that waits, up to the bound, and places it.
    fn drain(&mut self, world: &mut World, position: &Position) {
        let (inbox, arrivals) = world.receiving(position);
        for leg in 0..self.sockets.len() {
            let mut taken = 0;
            while taken < self.config.max_datagrams {
                let Some(socket) = self.sockets.get(leg) else { break };
                let count = inbox.fill(socket);
                for arrival in inbox.arrivals() {
                    let at = arrival.realtime.map_or(MediaIndex(position.index), |t| arrivals.index_at(t));
                    self.place(at, leg as u8, arrival.bytes);
                }
                taken += count;
                if count < BATCH {
                    break;
                }
            }
        }
    }

    fn place(&mut self, arrived: MediaIndex, leg: u8, bytes: &[u8]) {
        let timeline = &mut self.config.timeline;
        let adaptive = self.adaptive.as_deref_mut().filter(|_| self.mode == Some(Mode::Adaptive));
        let now = adaptive.as_ref().map_or(arrived, |adaptive| adaptive.steering.index_at(arrived));
        let placement = timeline.handle_datagram(now, leg, bytes);
        if !placement.is_heard() {
            return;
        }
        let Ok(packet) = RtpPacket::parse(bytes) else { return };
        let stream = timeline.stream();
        let frames = stream.frames_per_packet.unwrap_or(Samples(self.packet_frames));
        self.packet_frames = frames.0;
        let restarted = placement == wireloom_rtp::Placement::Restart;
        match (self.mode, adaptive) {
            (Some(Mode::Adaptive), Some(adaptive)) => {
                if restarted {
                    adaptive.steering.handle_restart(arrived, packet.time, frames);
                }
                adaptive.steering.handle_packet(arrived, packet.time, frames);
                if let Some(offset) = adaptive.steering.offset() {
                    timeline.set_offset(offset);
                }
            }
            (Some(Mode::Learned), _) => {
                if restarted {
                    self.learner = OffsetLearner::default();
                    self.check = LockCheck::new(self.config.rate);
                    timeline.forget_offset();
                }
                if timeline.offset().is_none()
                    && let Some(offset) = self.learner.handle_packet(arrived, packet.time, frames)
                {
                    timeline.set_offset(offset);
                }
            }
            _ => {}
        }
        // On a clock that is ours the latency is a promise; elsewhere nothing says when packets leave.
        if restarted {
            self.punctuality = Punctuality::new(self.config.rate, self.mode == Some(Mode::Adaptive));
        } else if matches!(self.mode, Some(Mode::Learned | Mode::Adaptive))
            && let (Some(offset), Some(next)) = (timeline.offset(), timeline.next())
        {
            let index = now.nearest(packet.time, offset);
            let delay = now.since(index.plus(frames));
            self.late_by = self.punctuality.handle_packet(index, delay, index.since(next)).or(self.late_by);
        }
        // Whoever is said to share our clock is believed; whoever may is watched.
        if self.config.relation == ClockRelation::Unknown
            && matches!(self.mode, Some(Mode::Locked | Mode::Learned))
            && let Some(offset) = timeline.offset()
        {
            let index = arrived.nearest(packet.time, offset);
            self.misfit |= self.check.handle_packet(arrived, index, frames) == Verdict::Other;
        }
    }

    /// The latency that this cycle needs: more than the class when the quantum is long, because what it plays last must
    /// have arrived when it begins, or when the sender's packets come late all the time.
    fn needed(&mut self, position: &Position) -> u32 {
        // What a cycle takes of the stream, in its own samples.
        let cycle = u64::from(position.frames) * u64::from(self.config.rate.hz());
        let cycle = cycle.div_ceil(u64::from(position.rate.max(1)));
        let usual = u32::try_from(cycle).unwrap_or(u32::MAX).saturating_add(2 * self.packet_frames);
        let most = self.config.timeline.room().0.saturating_sub(SPARE);
        if let Some(Samples(delay)) = self.late_by.take()
            && self.raises < MAX_RAISES
            && self.latency < most
        {
            self.raises += 1;
            // Late though the latency should do: a packet more.
            let least = (self.latency + self.packet_frames).saturating_sub(usual);
            self.delay = self.delay.max(delay).max(least);
        }
        self.latency.max(usual).max(usual.saturating_add(self.delay).min(most))
    }

    /// Plays what is due in the cycle that begins at `now`, or says that there is nothing to be played.
    fn play(&mut self, now: MediaIndex, position: &Position, out: &mut impl PlanarMut) -> bool {
        let frames = position.frames;
        let old = self.latency;
        self.latency = self.needed(position);
        let timeline = &mut self.config.timeline;
        if self.mode == Some(Mode::Adaptive) {
            self.config.report.set_latency(self.latency + Adaptive::DELAY);
            let Some(adaptive) = self.adaptive.as_mut() else { return false };
            adaptive.steering.set_latency(Samples(self.latency));
            if self.latency > old {
                adaptive.steering.starved(); // at once, not little by little
            }
            let ready = adaptive.is_for(position.rate);
            return ready && adaptive.process(timeline, now, frames, out).is_some();
        }
        let at = |latency: u32| now.offset_by(-i64::from(latency));
        if self.latency > old {
            self.config.report.set_latency(self.latency);
            timeline.read_fading(at(old), at(self.latency), Samples(frames), out);
        } else {
            timeline.read(at(self.latency), Samples(frames), out);
        }
        true
    }

    fn tell(&mut self, position: &Position) {
        let report = &self.config.report;
        report.add_cycle();
        self.since_report = self.since_report.saturating_add(position.frames);
        self.since_window = self.since_window.saturating_add(position.frames);
        if self.since_report < position.rate / REPORTS_A_SECOND {
            return;
        }
        self.since_report = 0;
        report.set_counters(&self.config.timeline.counters());
        let stream = self.config.timeline.stream();
        report.set_notes(Notes {
            payload_type_adopted: stream.payload_type_adopted,
            format_contradicts: stream.format_contradicts,
            not_pcm: stream.not_pcm,
            raised: self.delay > 0,
        });
        if let (Some(ssrc), Some(frames)) = (stream.ssrc, stream.frames_per_packet) {
            let payload_type = stream.payload_type;
            report.set_heard(Heard { ssrc: ssrc.0, payload_type, frames: frames.0 });
        }
        let wants = self.misfit || self.mode == Some(Mode::Adaptive);
        report.set_wants_adaptive(wants && !self.is_ready(position.rate), position.rate);
        if self.since_window >= position.rate {
            self.since_window = 0;
            report.set_window(&self.config.timeline.take_window());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use wireloom_clock_page::ClockPair;
    use wireloom_rtp::{Encoding, TimelineConfig};
    use wireloom_units::Channels;
    use wireloom_wanted::{Leg, Node};

    use super::*;
    use crate::ffi::TimerFd;
    use crate::rt::{GraphClock, Pacer};
    use crate::stream;

    fn receive(offset: Option<u32>) -> Receive {
        let timeline = Timeline::new(TimelineConfig {
            encoding: Encoding::L24,
            channels: Channels::new(2).expect("two"),
            rate: Rate::HZ_48000,
            payload_type: 98,
            offset,
            capacity: Samples(1024),
            history: Samples(0),
        });
        Receive::new(ReceiveConfig {
            timeline: timeline.expect("small"),
            rate: Rate::HZ_48000,
            offset,
            relation: ClockRelation::Same,
            latency: 144,
            packet_frames: 48,
            max_datagrams: 8,
            report: Arc::default(),
        })
    }

    /// What a cycle does before it looks at packets.
    fn begin_cycle(receive: &mut Receive) -> Option<Mode> {
        let mode = receive.choose(true, 48_000);
        if receive.mode != Some(mode) {
            receive.change_mode(mode, MediaIndex(0));
        }
        receive.mode
    }

    #[test]
    fn another_grandmaster_does_not_make_a_stream_learn_its_offset_again() {
        let mut receive = receive(None);
        assert_eq!(begin_cycle(&mut receive), Some(Mode::Learned));
        receive.config.timeline.set_offset(1234);
        for relation in [ClockRelation::Unknown, ClockRelation::Same] {
            receive.set_clock(relation, None);
            assert_eq!(begin_cycle(&mut receive), Some(Mode::Learned));
            assert_eq!(receive.config.timeline.offset(), Some(1234));
        }
        receive.set_clock(ClockRelation::Other, None);
        assert_eq!(begin_cycle(&mut receive), Some(Mode::Adaptive));
    }

    #[test]
    fn a_clock_that_turns_out_to_be_another_is_played_on_without_a_gap() {
        let mut receive = receive(None);
        assert_eq!(begin_cycle(&mut receive), Some(Mode::Learned));
        receive.config.timeline.set_offset(1234);
        receive.misfit = true;
        assert_eq!(begin_cycle(&mut receive), Some(Mode::Learned), "nothing resamples yet");
        let (stereo, rate) = (Channels::new(2).expect("two"), Rate::HZ_48000);
        let adaptive = Adaptive::new(stereo, rate, rate, Samples(144), 1024).expect("made");
        receive.set_adaptive(Some(Box::new(adaptive)));
        receive.expected = Some((7, MediaIndex(96_000)));
        assert_eq!(begin_cycle(&mut receive), Some(Mode::Adaptive));
        assert_eq!(receive.config.timeline.offset(), Some(1234), "what has come is kept");
        let steering = &mut receive.adaptive.as_mut().expect("given").steering;
        let step = steering.poll_step(MediaIndex(0), Samples(64)).expect("it goes on");
        assert_eq!((step.at, step.jumped), (MediaIndex(96_000 - 144), false));
    }

    #[test]
    fn an_offset_that_is_described_anew_is_taken() {
        let mut receive = receive(Some(7));
        assert_eq!(begin_cycle(&mut receive), Some(Mode::Locked));
        receive.set_clock(ClockRelation::Same, Some(9));
        assert_eq!(begin_cycle(&mut receive), Some(Mode::Locked));
        assert_eq!(receive.config.timeline.offset(), Some(9));
        receive.set_clock(ClockRelation::Same, None);
        assert_eq!(begin_cycle(&mut receive), Some(Mode::Learned));
        assert_eq!(receive.config.timeline.offset(), None);
    }

    #[test]
    fn a_cycle_takes_what_200_ms_hold_and_leaves_the_rest_to_the_next() {
        let host = Ipv4Addr::new(127, 0, 0, 4);
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let port = sender.local_addr().expect("bound").port();
        let mut node: Node = serde_json::from_str(Node::EXAMPLE).expect("example");
        node.media.samples_per_packet = 192;
        node.legs = vec![Leg::to(host.into(), port)];
        let mut receive = stream::receive(&node, &Arc::default()).expect("made");
        receive.set_sockets(stream::receive_sockets(&node).expect("opens"));

        let pair = ClockPair { clock: 1_000_000_000, raw: 1_000_000_000, span_ns: 50 };
        let [driver, pacer] = [(); 2].map(|()| TimerFd::new().expect("a timer"));
        let mut world = World::new(GraphClock::new(pair, pair, None), driver, Pacer::new(pacer, 1));
        let position = Position { frames: 256, rate: 48_000, rate_diff: 1.0, ..Position::default() };
        // 9600 and 4096 frames are 71 packets, and two more: three batches.
        let bound = 3 * BATCH as u64;
        for _ in 0..bound + 20 {
            sender.send_to(b"not RTP", (host, port)).expect("sent");
        }
        let taken = [(); 3].map(|()| {
            receive.drain(&mut world, &position);
            receive.config.timeline.counters().not_rtp
        });
        assert_eq!(taken, [bound, bound + 20, bound + 20]);
    }
}

#[cfg(test)]
#[path = "receive_tests.rs"]
mod late_senders;
