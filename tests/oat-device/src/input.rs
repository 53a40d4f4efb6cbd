use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::rc::Rc;

use anyhow::Context;
use wireloom_oat::control::{Code, Fault, InputState, InputStatus, Source};
use wireloom_oat::{
    DEFAULT_LEASE_S, Form, Offer, RECEIVE_PORTS, Subscription, SubscriptionConfig, SubscriptionEvent,
    SubscriptionState, check_packet, form,
};
use wireloom_rtp::RtpPacket;
use wireloom_units::{Channels, MediaTime, Nanos, Samples};

use crate::media;

/// Without a packet for so long, the audio has stopped.
const STALLED: Nanos = Nanos::from_secs(1);
/// Longer holes are not filled with silence but are a new beginning.
const LONGEST_HOLE: i32 = 48_000;
/// Octets of a sample.
const SAMPLE: usize = 3;

/// An input: plays what it is told, into a file.
pub struct Input {
    pub name: String,
    pub channels: Channels,
    address: Ipv4Addr,
    /// Hears unicast streams; subscriptions leave from it.
    socket: Rc<UdpSocket>,
    port: u16,
    record: File,
    playing: Option<Playing>,
    status: InputStatus,
}

/// A source on its way.
struct Playing {
    /// Of a multicast stream.
    group: Option<UdpSocket>,
    subscription: Option<Subscription>,
    payload_type: u8,
    heard_at: Option<Nanos>,
    sequence: Option<u16>,
    next: Option<MediaTime>,
}

/// What a source is, read.
struct Plan {
    address: SocketAddrV4,
    multicast: bool,
    sid: u32,
    channels: u16,
    payload_type: u8,
}

impl Input {
    pub fn new(address: Ipv4Addr, folder: &Path, name: &str, channels: Channels) -> anyhow::Result<Self> {
        let socket = media::bind(address, RECEIVE_PORTS)?;
        let file = folder.join(format!("{name}.l24"));
        Ok(Self {
            name: name.to_owned(),
            channels,
            address,
            port: socket.local_addr()?.port(),
            socket: Rc::new(socket),
            record: File::create(&file).with_context(|| file.display().to_string())?,
            playing: None,
            status: InputStatus::default(),
        })
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub const fn status(&self) -> &InputStatus {
        &self.status
    }

    /// Plays `source` from now on, in place of what it played. Errors: it cannot; what it played goes on.
    pub fn play(&mut self, now: Nanos, source: Source, transaction: u32) -> Result<(), Fault> {
        if self.status.source.as_ref() == Some(&source) {
            return Ok(());
        }
        let format = |text: &str| Fault::new(Code::Format, text);
        let plan = self.plan(&source)?;
        if plan.channels != self.channels.count() {
            let text = format!("{} channels do not fit an input of {}", plan.channels, self.channels.count());
            return Err(format(&text));
        }
        let group = if plan.multicast {
            let group = media::join(self.address, plan.address);
            Some(group.map_err(|error| Fault::new(Code::NoCapacity, &error.to_string()))?)
        } else {
            None
        };
        self.stop(now);
        let subscription = (!plan.multicast).then(|| {
            let config = SubscriptionConfig {
                sender: plan.address,
                stream: plan.sid,
                port: self.port,
                flags: wireloom_oat::FLAG_ANY_PACKET_TIME,
                lease_s: DEFAULT_LEASE_S,
                transaction,
            };
            Subscription::new(now, config)
        });
        self.status =
            InputStatus { state: InputState::Connecting, source: Some(source), ..InputStatus::default() };
        self.playing = Some(Playing {
            group,
            subscription,
            payload_type: plan.payload_type,
            heard_at: None,
            sequence: None,
            next: None,
        });
        self.speak();
        Ok(())
    }

    /// Plays nothing any more.
    pub fn stop(&mut self, now: Nanos) {
        if let Some(subscription) = self.playing.as_mut().and_then(|playing| playing.subscription.as_mut()) {
            subscription.handle_end(now);
            // The rest of the farewell does not wait for the next look: a device that is switched off says it too.
            while let Some(due) = subscription.poll_timeout() {
                while let Some((to, bytes)) = subscription.poll_transmit() {
                    let _ = self.socket.send_to(&bytes, to);
                }
                subscription.handle_timeout(due);
            }
            self.speak();
        }
        (self.playing, self.status) = (None, InputStatus::default());
    }

    /// Takes what has arrived and does what is due.
    pub fn run(&mut self, now: Nanos) {
        let Some(mut playing) = self.playing.take() else {
            media::drain(&self.socket, |_, _| {}); // the last packets of a flow that has ended
            return;
        };
        let mut subscription = playing.subscription.take();
        let socket = Rc::clone(&self.socket);
        media::drain(&socket, |from, bytes| {
            let answered =
                subscription.as_mut().is_some_and(|it| it.handle_datagram(now, from, bytes).is_ok());
            let expected = subscription.as_ref().is_some_and(|it| it.config().sender.ip() == from.ip());
            if !answered && expected {
                self.take(now, &mut playing, bytes);
            }
        });
        if let Some(group) = playing.group.take() {
            media::drain(&group, |_, bytes| self.take(now, &mut playing, bytes));
            playing.group = Some(group);
        }
        let silent = playing.heard_at.is_none_or(|heard| now.since(heard) >= STALLED);
        if silent && self.status.state == InputState::Active {
            self.status.state = InputState::Stalled;
        }
        if let Some(subscription) = &mut subscription {
            if silent && playing.heard_at.is_some() {
                subscription.handle_stalled(now);
            }
            subscription.handle_timeout(now);
            self.follow(subscription);
        }
        playing.subscription = subscription;
        self.playing = Some(playing);
        self.speak();
    }

    /// What became of the subscription.
    fn follow(&mut self, subscription: &mut Subscription) {
        match subscription.poll_event() {
            Some(SubscriptionEvent::Refused(reason)) => {
                (self.status.state, self.status.error) = (InputState::Failed, reason.to_string());
            }
            Some(SubscriptionEvent::Unreachable) => {
                (self.status.state, self.status.error) =
                    (InputState::Failed, "the sender does not answer".to_owned());
            }
            Some(SubscriptionEvent::Granted { .. }) if self.status.state == InputState::Failed => {
                (self.status.state, self.status.error) = (InputState::Connecting, String::new());
            }
            _ => {}
        }
        debug_assert!(subscription.state() != SubscriptionState::Ended);
    }

    fn speak(&mut self) {
        let subscription = self.playing.as_mut().and_then(|playing| playing.subscription.as_mut());
        if let Some(subscription) = subscription {
            while let Some((to, bytes)) = subscription.poll_transmit() {
                let _ = self.socket.send_to(&bytes, to); // lost ones are repeated
            }
        }
    }

    /// Writes a packet to the file, silence for what is missing before it.
    fn take(&mut self, now: Nanos, playing: &mut Playing, bytes: &[u8]) {
        let Ok(packet) = RtpPacket::parse(bytes) else { return };
        let frame = SAMPLE * usize::from(self.channels.count());
        if packet.payload_type != playing.payload_type
            || packet.payload.is_empty()
            || packet.payload.len() % frame != 0
        {
            return;
        }
        playing.heard_at = Some(now);
        self.status.state = InputState::Active;
        let frames = Samples(u32::try_from(packet.payload.len() / frame).unwrap_or(0));
        let ahead = playing.next.map_or(0, |next| packet.time.since(next));
        if ahead < 0 && ahead > -LONGEST_HOLE {
            self.status.late += 1;
            return;
        }
        if let Some(last) = playing.sequence {
            self.status.lost += u64::from(packet.sequence.wrapping_sub(last).wrapping_sub(1));
        }
        if (1..LONGEST_HOLE).contains(&ahead) {
            let silence = vec![0; frame * ahead.unsigned_abs() as usize];
            let _ = self.record.write_all(&silence); // a full disk shows itself as a file that does not grow
        }
        let _ = self.record.write_all(packet.payload);
        (playing.sequence, playing.next) = (Some(packet.sequence), Some(packet.time.plus(frames)));
        self.status.packets += 1;
    }

    fn plan(&self, source: &Source) -> Result<Plan, Fault> {
        let format = |text: String| Fault::new(Code::Format, &text);
        match source {
            Source::Stream { host, port, sid, channels, pt } => {
                let host: Ipv4Addr =
                    host.parse().map_err(|_| format(format!("{host} is no IPv4 address")))?;
                Ok(Plan {
                    address: SocketAddrV4::new(host, *port),
                    multicast: false,
                    sid: *sid,
                    channels: *channels,
                    payload_type: *pt,
                })
            }
            Source::Described { sdp } => {
                let parsed =
                    wireloom_sdp::read(sdp.as_bytes()).map_err(|refusal| format(refusal.to_string()))?;
                let [stream] = parsed.streams.as_slice() else {
                    return Err(format("a description of one stream is needed".to_owned()));
                };
                let leg =
                    stream.legs.first().ok_or_else(|| format("the stream has no address".to_owned()))?;
                let IpAddr::V4(address) = leg.address else {
                    return Err(format("IPv4 only".to_owned()));
                };
                let sender: Vec<IpAddr> = stream.origin.ip().into_iter().collect();
                let form = form(leg.address, &sender, &[self.address.into()]);
                let multicast = match form {
                    Form::Multicast => true,
                    Form::Subscribe(_) => false,
                    Form::Pushed | Form::Elsewhere(_) => {
                        return Err(format(format!("the stream is sent to {address}")));
                    }
                };
                if stream.encoding != wireloom_sdp::Encoding::L24 || stream.rate.hz() != 48_000 {
                    return Err(format("only L24 at 48000 Hz is played".to_owned()));
                }
                check_packet(stream.channels, stream.samples_per_packet)
                    .map_err(|error| format(error.to_string()))?;
                let sid = stream.vendor.oat.parse::<Offer>().map_or(0, |offer| offer.stream);
                Ok(Plan {
                    address: SocketAddrV4::new(address, leg.port),
                    multicast,
                    sid,
                    channels: stream.channels.count(),
                    payload_type: stream.payload_type,
                })
            }
        }
    }
}
