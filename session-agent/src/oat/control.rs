//! Devices of OAT that can be told what to play: finds their inputs, follows what they play, carries out orders.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info};
use wireloom_oat::control::{self, AnswerError, Call, Code, InputState, InputStatus, Request, Side, Source};
use wireloom_route::{Outcome, Takes};
use wireloom_units::{Channels, Samples};
use wireloom_wanted::{Encoding, Media, Protocol};

use super::announced::{ask, token};
use super::http;
use crate::executor::{Change, Link, Order, Playing, PlayingWhat, Receiver, Told};

/// What an input plays is looked at so often: a route made on the device appears within two seconds.
const LOOK: Duration = Duration::from_secs(1);
/// Every so many looks, which inputs there are.
const LIST_EVERY: u32 = 10;
/// So many looks without an answer, and the device has left.
const LEFT_AFTER: u32 = 5;
/// Inputs of one device.
const MAX_INPUTS: usize = 64;
/// Orders that wait for one device.
const WAITING: usize = 64;

/// Who can be controlled, and which stream is whose.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Address and port of the control interface, by device.
    pub devices: BTreeMap<String, SocketAddrV4>,
    /// Ids of streams by the address and port that is asked for them.
    pub streams: BTreeMap<SocketAddrV4, String>,
}

/// What carries requests to devices.
pub trait Carrier: Clone + Send + Sync + 'static {
    /// Asks the device at `address`: status and body, or in words why there is no answer.
    fn ask(
        &self,
        address: SocketAddrV4,
        call: Call,
    ) -> impl Future<Output = Result<(u16, Bytes), String>> + Send;
}

/// A network.
#[derive(Debug, Clone, Copy)]
pub struct Http;

impl Carrier for Http {
    async fn ask(&self, address: SocketAddrV4, call: Call) -> Result<(u16, Bytes), String> {
        http::call(address, &call).await.map_err(|error| error.to_string())
    }
}

/// Controls the devices of `plan` by `carrier` until the agent ends.
pub async fn run(carrier: impl Carrier, mut link: Link, mut plan: watch::Receiver<Plan>) {
    let (owner_sender, mut owners) = mpsc::channel(256);
    let mut attended: BTreeMap<String, Attended> = BTreeMap::new();
    let mut owner_of: BTreeMap<String, String> = BTreeMap::new();
    loop {
        tokio::select! {
            biased; // whose input it is, is known before there is an order for it
            changed = plan.changed() => {
                if changed.is_err() {
                    return;
                }
                let wanted = plan.borrow_and_update().devices.clone();
                let (told, owners) = (&link.told, &owner_sender);
                follow(&mut attended, &wanted, |device, address, orders| {
                    let plan = plan.clone();
                    let (carrier, told, owners) = (carrier.clone(), told.clone(), owners.clone());
                    Attendant { carrier, device, address, told, plan, owners, inputs: BTreeMap::new(), missed: false }.run(orders)
                });
                let gone = owner_of.iter().filter(|(_, device)| !attended.contains_key(*device));
                let gone: Vec<_> = gone.map(|(receiver, _)| receiver.clone()).collect();
                for receiver in gone {
                    owner_of.remove(&receiver);
                    let _ = link.told.send(Told::ReceiverLeft(receiver)).await; // the agent is ending
                }
            }
            Some((receiver, device)) = owners.recv() => drop(match device {
                Some(device) => owner_of.insert(receiver, device),
                None => owner_of.remove(&receiver),
            }),
            order = link.orders.recv() => {
                let Some(order) = order else { return };
                let device = owner_of.get(&order.receiver).and_then(|device| attended.get(device));
                let (id, count) = (order.order, order.changes.len());
                if device.is_none_or(|device| device.orders.try_send(order).is_err()) {
                    let failed = vec![Outcome::Failed("It has just left.".to_owned()); count];
                    let _ = link.told.send(Told::Answer { order: id, outcomes: failed }).await;
                }
            }
        }
    }
}

/// A device with its task.
struct Attended {
    address: SocketAddrV4,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn follow<F: Future<Output = ()> + Send + 'static>(
    attended: &mut BTreeMap<String, Attended>,
    wanted: &BTreeMap<String, SocketAddrV4>,
    attend: impl Fn(String, SocketAddrV4, mpsc::Receiver<Order>) -> F,
) {
    attended.retain(|device, known| wanted.get(device) == Some(&known.address));
    for (device, address) in wanted {
        if !attended.contains_key(device) {
            let (orders, receiver) = mpsc::channel(WAITING);
            let task = tokio::spawn(attend(device.clone(), *address, receiver));
            attended.insert(device.clone(), Attended { address: *address, orders, task });
        }
    }
}

/// Follows one device.
struct Attendant<C> {
    carrier: C,
    device: String,
    address: SocketAddrV4,
    told: mpsc::Sender<Told>,
    plan: watch::Receiver<Plan>,
    /// Whose an input is; nobody's when it left.
    owners: mpsc::Sender<(String, Option<String>)>,
    /// By the id that the core knows them by.
    inputs: BTreeMap<String, Input>,
    /// It did not answer since it was last looked at.
    missed: bool,
}

struct Input {
    /// The device's own id of it.
    id: String,
    facts: Receiver,
    /// What the core was told that it plays.
    plays: Option<Vec<Playing>>,
}

impl<C: Carrier> Attendant<C> {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut looks, mut silent) = (0_u32, 0);
        loop {
            let result = tokio::select! {
                biased;
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    self.carry_out(order).await;
                    self.look(true).await
                }
                _ = look.tick() => {
                    let list = looks % LIST_EVERY == 0;
                    looks = looks.wrapping_add(1);
                    if !list && self.inputs.is_empty() {
                        continue; // it has none, or it is no device of OAT at all: whoever it is, we are no burden
                    }
                    match if list { self.list().await } else { Ok(()) } {
                        Ok(()) => self.look(false).await,
                        Err(why) => Err(why),
                    }
                }
            };
            match result {
                Ok(()) => (silent, self.missed) = (0, false),
                Err(why) => {
                    self.missed = true;
                    debug!("OAT device at {}: {why}", self.address);
                    silent += 1;
                    if silent == LEFT_AFTER {
                        info!("OAT device at {} cannot be controlled any more: {why}", self.address);
                        self.leave(|_| true).await;
                        looks = 0; // all is told again when it returns
                    }
                }
            }
        }
    }

    /// Which inputs there are.
    async fn list(&mut self) -> Result<(), String> {
        let (status, body) = self.ask(&Request::Device).await?;
        let device = control::read_device(status, &body).map_err(|error| error.to_string())?;
        let (status, body) = self.ask(&Request::Streams).await?;
        let streams = control::read_streams(status, &body).map_err(|error| error.to_string())?;
        let inputs = streams.into_iter().filter(|stream| stream.direction == Side::Rx).take(MAX_INPUTS);
        let mut there = Vec::new();
        for stream in inputs {
            let Some(mut facts) = receiver(&self.device, *self.address.ip(), &device.name, &stream) else {
                continue;
            };
            facts.epoch = self.inputs.get(&facts.id).map_or(0, |known| known.facts.epoch);
            there.push(facts.id.clone());
            let known = self.inputs.get(&facts.id).is_some_and(|input| input.facts == facts);
            if !known {
                let _ = self.owners.send((facts.id.clone(), Some(self.device.clone()))).await;
                let _ = self.told.send(Told::Receiver(Box::new(facts.clone()))).await;
                self.inputs.insert(facts.id.clone(), Input { id: stream.id, facts, plays: None });
            }
        }
        self.leave(|id| !there.contains(id)).await;
        Ok(())
    }

    /// What every input plays; all is told again when it was just changed, else what is new.
    async fn look(&mut self, again: bool) -> Result<(), String> {
        let inputs: Vec<_> = self.inputs.iter().map(|(id, input)| (id.clone(), input.id.clone())).collect();
        for (receiver, id) in inputs {
            let (status, body) = self.ask(&Request::Input(id)).await?;
            let status = control::read_input(status, &body).map_err(|error| error.to_string())?;
            let Some(input) = self.inputs.get_mut(&receiver) else { continue };
            let plays = plays(&status, input.facts.channels.len(), &self.plan.borrow().streams);
            if self.missed && forgot(input.plays.as_deref(), &plays) {
                input.facts.epoch += 1;
                let _ = self.told.send(Told::Receiver(Box::new(input.facts.clone()))).await;
            }
            if again || input.plays.as_ref() != Some(&plays) {
                input.plays = Some(plays.clone());
                let _ = self.told.send(Told::Plays { id: receiver, inputs: plays }).await;
            }
        }
        Ok(())
    }

    async fn leave(&mut self, is_gone: impl Fn(&String) -> bool) {
        let gone: Vec<_> = self.inputs.keys().filter(|id| is_gone(id)).cloned().collect();
        for id in gone {
            self.inputs.remove(&id);
            let _ = self.owners.send((id.clone(), None)).await;
            let _ = self.told.send(Told::ReceiverLeft(id)).await;
        }
    }

    async fn carry_out(&mut self, order: Order) {
        let outcomes = match self.inputs.get(&order.receiver).map(|input| input.id.clone()) {
            Some(input) => {
                let outcome = match plan_change(&input, &order.changes) {
                    Ok(request) => self.change(&request).await,
                    Err(why) => Outcome::Refused(why),
                };
                vec![outcome; order.changes.len()]
            }
            None => vec![Outcome::Failed("This input has just left.".to_owned()); order.changes.len()],
        };
        let _ = self.told.send(Told::Answer { order: order.order, outcomes }).await;
    }

    async fn change(&self, request: &Request) -> Outcome {
        let answer = self.ask(request).await;
        match answer.map(|(status, body)| control::read_done(status, &body)) {
            Ok(Ok(())) => Outcome::Done,
            Ok(Err(AnswerError::Refused(fault))) => match fault.error {
                Code::Format | Code::Policy | Code::NotFound => {
                    Outcome::Refused(AnswerError::Refused(fault).to_string())
                }
                Code::Busy | Code::NoCapacity | Code::Unreachable => {
                    Outcome::Failed(AnswerError::Refused(fault).to_string())
                }
            },
            Ok(Err(error)) => Outcome::Failed(error.to_string()),
            Err(why) => Outcome::Failed(why),
        }
    }

    async fn ask(&self, request: &Request) -> Result<(u16, Bytes), String> {
        self.carrier.ask(self.address, request.call()).await
    }
}

/// An input, in the core's words; `None` when no packet of that many channels fits.
fn receiver(key: &str, address: Ipv4Addr, device: &str, stream: &control::Stream) -> Option<Receiver> {
    let channels = Channels::new(stream.channels)?;
    let frames = wireloom_oat::default_frames(channels);
    wireloom_oat::check_packet(channels, frames).ok()?;
    let labels = if stream.labels.len() == usize::from(stream.channels) {
        stream.labels.clone()
    } else {
        wireloom_oat::channel_labels(&stream.name, stream.channels)
    };
    let Samples(samples_per_packet) = frames;
    Some(Receiver {
        id: crate::model::stable_id(&format!("oat input\t{key}\t{}", stream.id)),
        name: format!("{device} : {}", stream.name),
        device: Some(key.to_owned()),
        address: address.to_string(),
        protocol: Protocol::Oat,
        channels: labels,
        direct: vec![token(usize::from(stream.channels))],
        media: Media {
            encoding: Encoding::L24,
            rate: 48_000,
            samples_per_packet,
            payload_type: 97,
            offset: Some(0),
            ssrc: None,
        },
        epoch: 0,
        takes: Takes::Streams,
        batch: 0,
    })
}

/// What an input plays, channel by channel.
fn plays(status: &InputStatus, channels: usize, streams: &BTreeMap<SocketAddrV4, String>) -> Vec<Playing> {
    let Some(source) = &status.source else { return Vec::new() };
    let what = |channel: u16| match source {
        Source::Stream { host, port, .. } => {
            let host = host.parse().ok()?;
            Some(from_sender(SocketAddrV4::new(host, *port), streams, channel))
        }
        Source::Described { sdp } => {
            let parsed = wireloom_sdp::read(sdp.as_bytes()).ok()?;
            let stream = parsed.streams.first()?;
            let leg = stream.legs.first()?;
            let sender = stream.origin.ip().and_then(|origin| ask(stream, origin));
            Some(match sender {
                Some(ask) => from_sender(ask.sender, streams, channel),
                None => PlayingWhat::Address { address: leg.address, port: leg.port, channel },
            })
        }
    };
    let audio = status.state == InputState::Active;
    let channels = u16::try_from(channels).unwrap_or(0);
    (0..channels).filter_map(|input| Some(Playing { input, what: what(input)?, audio })).collect()
}

/// Whether a device that did not answer for a moment was switched off meanwhile: it plays nothing where it played
/// something. What somebody else told it in that moment is another source, not nothing.
fn forgot(before: Option<&[Playing]>, now: &[Playing]) -> bool {
    now.is_empty() && before.is_some_and(|before| !before.is_empty())
}

fn from_sender(sender: SocketAddrV4, streams: &BTreeMap<SocketAddrV4, String>, channel: u16) -> PlayingWhat {
    match streams.get(&sender) {
        Some(id) => PlayingWhat::Stream { id: id.clone(), channel },
        None => PlayingWhat::Sender { host: IpAddr::V4(*sender.ip()), session: None, channel },
    }
}

/// The one request that makes all `changes`: an input of OAT plays a whole stream, or nothing.
fn plan_change(input: &str, changes: &[Change]) -> Result<Request, String> {
    let mut plays = changes.iter().filter_map(|change| Some((change.input, change.play.as_ref()?)));
    let Some((_, first)) = plays.clone().next() else { return Ok(Request::Stop(input.to_owned())) };
    if plays.any(|(channel, play)| play.stream != first.stream || play.channel != channel) {
        return Err("This input plays whole streams, channel by channel.".to_owned());
    }
    let source = Source::Described { sdp: first.sdp.to_string() };
    Ok(Request::Play { input: input.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use wireloom_route::CommandId;

    use super::*;
    use crate::executor::{Executors, Play};

    /// A device whose input is another one whenever it is asked which there are.
    #[derive(Clone, Default)]
    struct Fickle(Arc<AtomicUsize>);

    impl Carrier for Fickle {
        async fn ask(&self, _: SocketAddrV4, call: Call) -> Result<(u16, Bytes), String> {
            let body = match call.path.rsplit('/').next() {
                Some("device") => control::Device::EXAMPLE.to_owned(),
                Some("streams") => {
                    let number = self.0.fetch_add(1, Ordering::Relaxed);
                    format!(r#"[{{"id":"{number}","name":"In","direction":"rx","channels":2}}]"#)
                }
                _ => r#"{"state":"idle"}"#.to_owned(),
            };
            Ok((200, body.into()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_remembers_whose_an_input_was_that_left() {
        let (mut executors, mut told) = Executors::new();
        let (plans, plan) = watch::channel(Plan::default());
        tokio::spawn(run(Fickle::default(), executors.add(Protocol::Oat), plan));
        let devices = BTreeMap::from([("fickle".to_owned(), "192.0.2.31:80".parse().expect("valid"))]);
        plans.send_replace(Plan { devices, ..Plan::default() });
        let left = loop {
            if let Told::ReceiverLeft(id) = told.recv().await.expect("it goes on") {
                break id;
            }
        };
        let changes = vec![Change { input: 0, play: None }];
        let order = Order { order: CommandId(1), receiver: left, protocol: Protocol::Oat, changes };
        executors.give(order).expect("is taken");
        let outcomes = loop {
            if let Told::Answer { outcomes, .. } = told.recv().await.expect("it goes on") {
                break outcomes;
            }
        };
        assert_eq!(outcomes, [Outcome::Failed("It has just left.".to_owned())], "no device was asked");
    }

    fn play(input: u16, stream: &str, channel: u16) -> Change {
        let play = Play { stream: stream.to_owned(), channel, sdp: "v=0".into() };
        Change { input, play: Some(play) }
    }

    #[test]
    fn changes_of_an_input_are_one_request_or_none() {
        let whole = [play(0, "s-1", 0), play(1, "s-1", 1)];
        let source = Source::Described { sdp: "v=0".to_owned() };
        assert_eq!(plan_change("in", &whole), Ok(Request::Play { input: "in".to_owned(), source }));
        let nothing = [Change { input: 0, play: None }, Change { input: 1, play: None }];
        assert_eq!(plan_change("in", &nothing), Ok(Request::Stop("in".to_owned())));
        assert!(plan_change("in", &[play(0, "s-1", 1)]).is_err(), "crossed");
        assert!(plan_change("in", &[play(0, "s-1", 0), play(1, "s-2", 1)]).is_err(), "of two streams");
    }

    #[test]
    fn a_device_that_was_off_for_a_moment_has_forgotten() {
        let what = PlayingWhat::Stream { id: "s-1".into(), channel: 0 };
        let something = [Playing { input: 0, what, audio: true }];
        assert!(forgot(Some(&something), &[]));
        assert!(!forgot(Some(&[]), &[]) && !forgot(None, &[]) && !forgot(Some(&something), &something));
    }

    #[test]
    fn what_an_input_plays_is_found_by_sender_or_group() {
        let sender: SocketAddrV4 = "192.0.2.21:50001".parse().expect("valid");
        let streams = BTreeMap::from([(sender, "s-1".to_owned())]);
        let status = |source| InputStatus {
            state: InputState::Active,
            source: Some(source),
            ..InputStatus::default()
        };
        let told = Source::Stream { host: "192.0.2.21".into(), port: 50_001, sid: 2, channels: 2, pt: 97 };
        let found = plays(&status(told), 2, &streams);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].what, PlayingWhat::Stream { id: "s-1".into(), channel: 1 });
        assert!(found[0].audio);

        let sdp = |address: &str| {
            format!(
                "v=0\r\no=- 1 1 IN IP4 192.0.2.21\r\ns=x\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
                 m=audio 50001 RTP/AVP 97\r\na=rtpmap:97 L24/48000/2\r\n"
            )
        };
        let described = |address| plays(&status(Source::Described { sdp: sdp(address) }), 1, &streams);
        assert_eq!(described("192.0.2.21")[0].what, PlayingWhat::Stream { id: "s-1".into(), channel: 0 });
        let group = PlayingWhat::Address { address: IpAddr::from([239, 69, 1, 1]), port: 50_001, channel: 0 };
        assert_eq!(described("239.69.1.1/32")[0].what, group);
        for odd in [
            Source::Described { sdp: "rubbish".into() },
            Source::Stream { host: "x".into(), port: 1, sid: 0, channels: 2, pt: 97 },
        ] {
            assert!(plays(&status(odd), 2, &streams).is_empty());
        }
        assert!(plays(&InputStatus::default(), 2, &streams).is_empty());
    }
}
