//! One node that exists because somebody wants it: keeps what is in step with what is wanted.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wireloom_wanted::{Direction, Node, Show, State, StateReport};

use crate::ffi::{
    self, Context, Dictionary, Level, MainEvent, MediaSocket, NodeConfig, Patch, Senders, StreamNode,
    WorldCell,
};
use crate::limits::descriptors_suffice;
use crate::membership::{Renewal, Silence};
use crate::observer::Observer;
use crate::rt::{Logic, Report};
use crate::{properties, stream};

/// Without a packet for so long, a stream that ran is silent.
const SILENT_AFTER: Duration = Duration::from_secs(1);
/// What could not be opened is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Keep-alives are sent no more often than nodes are looked after.
const MIN_KEEPALIVE_MS: u32 = 200;
/// Descriptors that one node needs: PipeWire's own and one for each leg, twice.
const DESCRIPTORS: u64 = 16;

/// What slots share.
pub(crate) struct Surroundings {
    pub context: Context,
    pub world: Box<WorldCell>,
    pub changed: Rc<MainEvent>,
    pub patch: Rc<Patch>,
    pub senders: Senders,
}

/// A node and everything that belongs to it.
pub(crate) struct Slot {
    id: String,
    wanted: Node,
    /// Labels and class that the node was made with; they cannot change on a living one.
    made_with: (Vec<String>, Show),
    /// It comes from the module's arguments; the metadata has no say.
    pub fixed: bool,
    stream: StreamNode,
    report: Arc<Report>,
    open: Option<Open>,
    retry_at: Option<Instant>,
    error: Option<String>,
    observer: Observer,
    told: Option<StateReport>,
    told_latency: u32,
    /// Global id of its Device object.
    device: Option<u32>,
}

/// Sockets are open.
struct Open {
    /// Second handles of receiving sockets, for memberships, and when to renew these.
    memberships: Vec<(MediaSocket, Silence)>,
    /// Place in the pacer, of a stream that is sent.
    place: Option<usize>,
    packets: u64,
    changed_at: Instant,
    kept_alive_at: Option<Instant>,
    heard: bool,
    linked: bool,
    /// It has been settled once since it was opened.
    begun: bool,
}

impl Slot {
    /// Makes the node `id`, which belongs to the Device object with the global id `device`. Errors are in words, for
    /// the user.
    pub(crate) fn new(
        id: &str,
        wanted: Node,
        device: Option<u32>,
        fixed: bool,
        around: &Surroundings,
    ) -> Result<Self, String> {
        descriptors_suffice(DESCRIPTORS)?;
        let report = Arc::new(Report::default());
        let (logic, direction, latency) = match wanted.direction {
            Direction::Receive => {
                let receive = stream::receive(&wanted, &report).map_err(|e| e.to_string())?;
                (Logic::Receive(Box::new(receive)), ffi::Direction::Output, wanted.latency)
            }
            Direction::Transmit => {
                let latency = wanted.media.samples_per_packet + wanted.latency;
                let transmit = stream::transmitter(&wanted, &report).map_err(|e| e.to_string())?;
                (Logic::Transmit(Box::new(transmit)), ffi::Direction::Input, latency)
            }
        };
        let config = NodeConfig {
            props: properties::node(id, &wanted, device, around.context.data_loop_name()),
            direction,
            ports: properties::ports(&wanted),
            desktop: properties::is_device(&wanted),
            rate: wanted.media.rate,
            latency,
        };
        let (changed, patch) = (Rc::clone(&around.changed), Rc::clone(&around.patch));
        let stream = StreamNode::new(&around.context, config, logic, &around.world, changed, patch).map_err(
            |code| format!("PipeWire refused the node: {}", std::io::Error::from_raw_os_error(-code)),
        )?;
        Ok(Self {
            id: id.to_owned(),
            made_with: (wanted.channels.clone(), wanted.show),
            wanted,
            fixed,
            stream,
            report,
            open: None,
            retry_at: None,
            error: None,
            observer: Observer::default(),
            told: None,
            told_latency: latency,
            device,
        })
    }

    /// Tells clients which Device object the node belongs to.
    pub(crate) fn set_device(&mut self, device: Option<u32>) {
        if self.device == device {
            return;
        }
        self.device = device;
        let mut props = Dictionary::default();
        props.set("device.id", &device.map(|id| id.to_string()).unwrap_or_default());
        self.stream.update_properties(&props);
    }

    /// Whether PipeWire has taken the node away.
    pub(crate) fn is_gone(&self) -> bool {
        self.stream.is_gone()
    }

    /// Whether it takes part in the graph now, and so needs looking after.
    pub(crate) fn is_busy(&self) -> bool {
        self.open.is_some() || self.retry_at.is_some() || self.stream.links() > 0
    }

    /// Counters, as the metadata object carries them.
    pub(crate) fn stats(&self) -> wireloom_wanted::Stats {
        self.report.stats()
    }

    /// Takes over `wanted`. Returns false when that needs another node: this one is to be dropped and made anew.
    pub(crate) fn want(&mut self, wanted: Node, around: &Surroundings) -> bool {
        let old = &self.wanted;
        if *old == wanted {
            return true;
        }
        let same_ports = old.direction == wanted.direction && old.channels.len() == wanted.channels.len();
        if !same_ports {
            return false;
        }
        let media_changed = old.media.encoding != wanted.media.encoding
            || old.media.rate != wanted.media.rate
            || old.media.samples_per_packet != wanted.media.samples_per_packet
            || old.media.payload_type != wanted.media.payload_type
            || old.legs != wanted.legs
            || old.dscp != wanted.dscp
            || old.announced != wanted.announced
            || old.copies.as_ref().map(|copies| copies.port)
                != wanted.copies.as_ref().map(|copies| copies.port)
            || (wanted.direction == Direction::Transmit
                && (old.media.offset != wanted.media.offset || old.media.ssrc != wanted.media.ssrc));
        let clock = (wanted.clock, wanted.media.offset);
        let latency = (old.latency != wanted.latency).then_some(wanted.latency);
        let copies_changed = old.copies != wanted.copies;
        self.wanted = wanted;
        self.stream.update_properties(&properties::texts(&self.wanted));
        if media_changed {
            self.close(around);
            self.error = None;
            if self.wanted.direction == Direction::Receive {
                // Counting begins anew, and so must what is compared with it: else no packet passes for one.
                self.report = Arc::default();
                self.observer = Observer::default();
                match stream::receive(&self.wanted, &self.report) {
                    Ok(mut new) => drop(self.stream.with_logic(|logic| {
                        if let Logic::Receive(old) = logic {
                            std::mem::swap(&mut **old, &mut new);
                        }
                        new
                    })),
                    Err(error) => self.error = Some(error.to_string()),
                }
            }
        } else {
            if let Some(place) = self.open.as_ref().and_then(|open| open.place).filter(|_| copies_changed) {
                let copies = stream::copies(&self.wanted);
                let loop_ = around.context.data_loop();
                drop(around.world.with(loop_, |world| world.pacer().set_copies(place, copies)));
            }
            self.stream.with_logic(|logic| {
                if let Logic::Receive(receive) = logic {
                    receive.set_clock(clock.0, clock.1);
                    if let Some(latency) = latency {
                        receive.set_latency(latency);
                    }
                }
            });
        }
        true
    }

    /// Whether labels or class have changed and nobody is linked any more, so that the node can be made anew.
    pub(crate) fn waits_for_remake(&self, around: &Surroundings) -> bool {
        let (channels, show) = &self.made_with;
        let differs = *channels != self.wanted.channels || *show != self.wanted.show;
        differs && self.stream.links() == 0 && around.patch.links_of(&properties::node_name(&self.id)) == 0
    }

    /// What the node is to be.
    pub(crate) fn wanted(&self) -> &Node {
        &self.wanted
    }

    /// Brings the node in step: sockets, activity, memberships. Call after every change and regularly while busy.
    pub(crate) fn settle(&mut self, now: Instant, around: &Surroundings) {
        let linked = self.stream.links() > 0;
        let sending = self.wanted.direction == Direction::Transmit && self.wanted.announced;
        let active = linked || sending;
        let has_way = !self.wanted.legs.is_empty() || self.wanted.copies.is_some();
        let run = active && !self.wanted.offline && has_way;
        if run && self.open.is_none() && self.retry_at.is_none_or(|at| now >= at) {
            self.open(now, around);
        } else if !run && (self.open.is_some() || self.retry_at.is_some()) {
            self.close(around);
            self.error = None;
        }
        self.stream.set_active(linked);
        self.fall_silent(linked, around);
        self.supply_resampler();
        self.mend_memberships(now);
        self.keep_alive(now);
        self.observe(now);
        let latency = self.report.latency();
        if self.wanted.direction == Direction::Receive && latency != 0 && latency != self.told_latency {
            self.told_latency = latency;
            self.stream.set_latency(latency);
        }
        if self.stream.has_failed() {
            self.error =
                Some("Wireloom's own code failed here; the stream is muted (please report this)".to_owned());
        }
    }

    fn observe(&mut self, now: Instant) {
        if self.wanted.direction == Direction::Receive && self.open.is_some() {
            self.observer.look(now, &self.report.stats(), self.report.notes(), self.report.heard());
        } else {
            self.observer = Observer::default();
        }
    }

    fn open(&mut self, now: Instant, around: &Surroundings) {
        self.retry_at = None;
        let opened = descriptors_suffice(2 * (self.wanted.legs.len() as u64 + 1)).and_then(|()| {
            match self.wanted.direction {
                Direction::Receive => self.open_receive(),
                Direction::Transmit => self.open_transmit(around).map(|place| (Vec::new(), Some(place))),
            }
        });
        match opened {
            Ok((memberships, place)) => {
                self.error = None;
                let packets = self.report.packets();
                let watched = |socket| (socket, Silence::new(now, packets));
                self.open = Some(Open {
                    memberships: memberships.into_iter().map(watched).collect(),
                    place,
                    packets,
                    changed_at: now,
                    kept_alive_at: None,
                    heard: false,
                    linked: false,
                    begun: false,
                });
            }
            Err(error) => {
                if self.error.as_ref() != Some(&error) {
                    ffi::log(Level::Warn, &format!("{}: {error}", self.id));
                }
                self.error = Some(error);
                self.retry_at = Some(now + RETRY_AFTER);
            }
        }
    }

    fn open_receive(&self) -> Result<(Vec<MediaSocket>, Option<usize>), String> {
        let sockets = stream::receive_sockets(&self.wanted).map_err(|e| e.to_string())?;
        let second: Result<Vec<_>, _> = sockets.iter().map(MediaSocket::try_clone).collect();
        let second = second.map_err(|e| e.to_string())?;
        drop(self.stream.with_logic(|logic| match logic {
            Logic::Receive(receive) => receive.set_sockets(sockets),
            _ => sockets,
        }));
        Ok((second, None))
    }

    fn open_transmit(&self, around: &Surroundings) -> Result<usize, String> {
        let slot = stream::transmit(&self.wanted, &self.report, &around.senders);
        let slot = Box::new(slot.map_err(|e| e.to_string())?);
        let place = around.world.with(around.context.data_loop(), |world| world.pacer().insert(slot));
        let place = place.map_err(|_| "too many streams are being sent already".to_owned())?;
        self.stream.with_logic(|logic| {
            if let Logic::Transmit(transmit) = logic {
                transmit.set_slot(Some(place));
            }
        });
        Ok(place)
    }

    fn close(&mut self, around: &Surroundings) {
        self.retry_at = None;
        let Some(open) = self.open.take() else { return };
        let sockets = self.stream.with_logic(|logic| match logic {
            Logic::Receive(receive) => receive.set_sockets(Vec::new()),
            Logic::Transmit(transmit) => {
                transmit.set_slot(None);
                Vec::new()
            }
            Logic::Driver => Vec::new(),
        });
        drop(sockets);
        if let Some(place) = open.place {
            drop(around.world.with(around.context.data_loop(), |world| world.pacer().remove(place)));
        }
    }

    /// Lets the pacer go on with silence when the last link of a stream that is sent has gone. The graph need not run
    /// for silence, and on PipeWire 0.3.65 it does not.
    fn fall_silent(&mut self, linked: bool, around: &Surroundings) {
        let Some(open) = &mut self.open else { return };
        let was_linked = std::mem::replace(&mut open.linked, linked);
        if let Some(place) = open.place.filter(|_| !linked && (was_linked || !open.begun)) {
            around.world.with(around.context.data_loop(), |world| world.pacer().fall_silent(place));
        }
        open.begun = true;
    }

    /// A stream of another clock asks for a resampler, which only the main loop can make.
    fn supply_resampler(&mut self) {
        let Some(rate) = self.report.wants_adaptive() else { return };
        let supplied = match self.wanted.direction {
            Direction::Receive => stream::adaptive(&self.wanted, rate).map(|adaptive| {
                let adaptive = Some(Box::new(adaptive));
                drop(self.stream.with_logic(|logic| match logic {
                    Logic::Receive(receive) => receive.set_adaptive(adaptive),
                    _ => adaptive,
                }));
            }),
            Direction::Transmit => stream::resend(&self.wanted, rate).map(|resend| {
                let resend = Some(Box::new(resend));
                drop(self.stream.with_logic(|logic| match logic {
                    Logic::Transmit(transmit) => transmit.set_resend(resend),
                    _ => resend,
                }));
            }),
        };
        if let Err(error) = supplied {
            self.error = Some(error.to_string());
        }
    }

    fn mend_memberships(&mut self, now: Instant) {
        let Some(open) = &mut self.open else { return };
        let packets = self.report.packets();
        if packets != open.packets {
            open.packets = packets;
            open.changed_at = now;
            open.heard = true;
        }
        for (socket, silence) in &mut open.memberships {
            let Some(renewal) = silence.poll(now, packets, socket.is_source_specific()) else { continue };
            if let Err(error) = socket.rejoin(renewal == Renewal::AnySource) {
                silence.handle_refusal();
                ffi::log(Level::Debug, &format!("{}: {error}", self.id));
            }
        }
    }

    /// Sends the datagram that keeps a flow alive, from the very socket that the flow comes to.
    fn keep_alive(&mut self, now: Instant) {
        let (Some(open), Some(keepalive)) = (&mut self.open, &self.wanted.keepalive) else { return };
        let Some((socket, _)) = open.memberships.first() else { return };
        let interval = Duration::from_millis(u64::from(keepalive.interval_ms.max(MIN_KEEPALIVE_MS)));
        if open.kept_alive_at.is_some_and(|at| now.duration_since(at) < interval) {
            return;
        }
        open.kept_alive_at = Some(now);
        let Some(bytes) = keepalive.octets() else {
            self.error = Some("the keep-alive of this stream is no hexadecimal text".to_owned());
            return;
        };
        if let Err(error) = socket.send_to(&bytes, keepalive.to) {
            ffi::log(Level::Debug, &format!("{}: keep-alive: {error}", self.id));
        }
    }

    /// How the node is, in a word and a sentence.
    fn state(&self, now: Instant) -> StateReport {
        let links = self.stream.links();
        let (state, error) = if let Some(error) = &self.error {
            (State::Error, error.clone())
        } else if self.wanted.offline {
            (State::Offline, "the device has left the network".to_owned())
        } else if let Some(open) = &self.open {
            self.open_state(open, now)
        } else if links > 0 && self.wanted.legs.is_empty() {
            let text = match self.wanted.direction {
                Direction::Receive => "the device has not said yet where it sends to",
                Direction::Transmit => "the device has not been told yet what to listen to",
            };
            (State::Waiting, text.to_owned())
        } else {
            (State::Idle, String::new())
        };
        StateReport {
            state,
            error,
            mode: self.report.mode().filter(|_| self.open.is_some()),
            port: if self.open.is_some() { self.port() } else { 0 },
            latency: if self.wanted.direction == Direction::Receive {
                self.report.latency()
            } else {
                self.wanted.media.samples_per_packet
            },
            links,
            heard: self.observer.heard(),
            findings: self.observer.findings(),
        }
    }

    /// The port that it is received at or sent to; of a stream that is sent to who asks, the one that is asked.
    fn port(&self) -> u16 {
        let copies = self.wanted.copies.as_ref().map(|copies| copies.port);
        self.wanted.legs.first().map(|leg| leg.port).or(copies).unwrap_or(0)
    }

    fn open_state(&self, open: &Open, now: Instant) -> (State, String) {
        let notes = self.report.notes();
        let receiving = self.wanted.direction == Direction::Receive;
        let nobody_asks = self.wanted.copies.as_ref().is_some_and(|copies| copies.to.is_empty());
        if nobody_asks && self.wanted.legs.is_empty() {
            return (State::Waiting, "nobody asks for it".to_owned());
        }
        if !open.heard {
            let text = if receiving { "no packet has arrived yet" } else { "" };
            return (State::Waiting, text.to_owned());
        }
        if receiving && now.duration_since(open.changed_at) >= SILENT_AFTER {
            return (State::Silent, "packets arrived, then stopped".to_owned());
        }
        let text = if notes.format_contradicts {
            "the packets contradict the description: other channels or another encoding"
        } else if notes.not_pcm {
            "the stream carries data that is not PCM audio; it is muted"
        } else if notes.payload_type_adopted {
            "the packets have another payload type than described"
        } else {
            ""
        };
        (State::Running, text.to_owned())
    }

    /// What was told about its state is no longer there.
    pub(crate) fn tell_again(&mut self) {
        self.told = None;
    }

    /// What is new about the node's state since the last call; also told to clients through its properties.
    pub(crate) fn take_news(&mut self, now: Instant) -> Option<StateReport> {
        let state = self.state(now);
        if self.told.as_ref() == Some(&state) {
            return None;
        }
        let mut props = Dictionary::default();
        props.set("wireloom.state", properties::state(state.state));
        props.set("wireloom.mode", properties::mode(state.mode));
        props.set("wireloom.error", &state.error);
        self.stream.update_properties(&props);
        self.told = Some(state.clone());
        Some(state)
    }

    /// Closes everything and takes the node out of the graph.
    pub(crate) fn remove(mut self, around: &Surroundings) {
        self.stream.set_active(false);
        self.close(around);
    }
}
