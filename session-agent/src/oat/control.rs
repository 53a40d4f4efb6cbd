//! Devices of OAT that can be told what to play: finds their inputs, follows what they play, carries out orders.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info};
use wireloom_oat::Offer;
use wireloom_oat::control::{self, AnswerError, Call, Code, InputState, InputStatus, Request, Side, Source};
use wireloom_route::{Outcome, Takes};
use wireloom_units::{Channels, Samples};
use wireloom_wanted::{Encoding, Media, Protocol};

use super::announced::token;
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
    /// Ids of streams by where they are had: the address and port that is asked for them and their number there, or
    /// their group.
    pub streams: Streams,
}

/// As in a [`Plan`].
type Streams = BTreeMap<Place, String>;
type Place = (SocketAddrV4, u32);

impl Plan {
    fn place_of(&self, id: &str) -> Option<Place> {
        self.streams.iter().find(|(_, known)| *known == id).map(|(place, _)| *place)
    }

    /// What `input` plays that says `status`; and whether that is what it was given while the stream is had elsewhere by
    /// now: its sender has another address or port, or it has another group. Nobody decided that but the sender.
    fn what_plays(&self, status: &InputStatus, input: &Input) -> (Vec<Playing>, bool) {
        let count = input.facts.channels.len();
        let mut source = status.source.as_ref();
        let mut found = plays(status, source, count, &self.streams);
        if found.is_empty() {
            source = status.believed(input.given.as_ref().map(|given| &given.source));
            found = plays(status, source, count, &self.streams);
        }
        let Some(given) = input.given.as_ref().filter(|given| source == Some(&given.source)) else {
            return (found, false);
        };
        let moved = |before: Place| self.place_of(&given.stream).is_some_and(|place| place != before);
        let has_moved = given.had_at.is_some_and(moved);
        // Others may be had at the same place, or be in the same description.
        if !has_moved && !given.stream.is_empty() {
            for playing in &mut found {
                playing.what = PlayingWhat::Stream { id: given.stream.clone(), channel: playing.input };
            }
        }
        (found, has_moved)
    }
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
    /// What this computer gave it last.
    given: Option<Given>,
}

/// What an input was told to play.
struct Given {
    /// Id of the stream; empty when this computer sends it to this input alone.
    stream: String,
    source: Source,
    /// Where the stream was had then.
    had_at: Option<Place>,
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
                let given = self.inputs.remove(&facts.id).and_then(|before| before.given);
                self.inputs.insert(facts.id.clone(), Input { id: stream.id, facts, plays: None, given });
            }
        }
        self.leave(|id| !there.contains(id)).await;
        Ok(())
    }

    /// What every input plays; all is told again when it was just changed, else what is new. One that gives no answer
    /// of sense does not hide the others.
    async fn look(&mut self, again: bool) -> Result<(), String> {
        let (mut answered, mut trouble) = (false, None);
        let inputs: Vec<_> = self.inputs.iter().map(|(id, input)| (id.clone(), input.id.clone())).collect();
        for (receiver, id) in inputs {
            let (status, body) = self.ask(&Request::Input(id)).await?;
            let status = match control::read_input(status, &body) {
                Ok(status) => status,
                Err(error) => {
                    trouble = Some(error.to_string());
                    continue;
                }
            };
            answered = true;
            let Some(input) = self.inputs.get_mut(&receiver) else { continue };
            let (plays, has_moved) = self.plan.borrow().what_plays(&status, input);
            if has_moved || self.missed && forgot(input.plays.as_deref(), &plays) {
                input.facts.epoch += 1;
                let _ = self.told.send(Told::Receiver(Box::new(input.facts.clone()))).await;
            }
            if has_moved {
                input.given = None; // it is told anew
            }
            if again || has_moved || input.plays.as_ref() != Some(&plays) {
                input.plays = Some(plays.clone());
                let _ = self.told.send(Told::Plays { id: receiver, inputs: plays }).await;
            }
        }
        trouble.filter(|_| !answered).map_or(Ok(()), Err)
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
        let stream = order.changes.iter().find_map(|change| Some(change.play.as_ref()?.stream.clone()));
        let had_at = stream.as_ref().and_then(|id| self.plan.borrow().place_of(id));
        let outcomes = match self.inputs.get(&order.receiver).map(|input| input.id.clone()) {
            Some(input) => {
                let outcome = match plan_change(&input, &order.changes) {
                    Ok(request) => {
                        let outcome = self.change(&request).await;
                        if let (Outcome::Done, Some(input)) = (&outcome, self.inputs.get_mut(&order.receiver))
                        {
                            input.given = match (request, stream) {
                                (Request::Play { source, .. }, Some(stream)) => {
                                    Some(Given { stream, source, had_at })
                                }
                                _ => None,
                            };
                        }
                        outcome
                    }
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
        let stops = matches!(request, Request::Stop(_));
        match answer.map(|(status, body)| control::read_done(status, &body)) {
            Ok(Ok(())) => Outcome::Done,
            // What plays nothing has nothing to be deleted.
            Ok(Err(AnswerError::Status(404 | 410))) if stops => Outcome::Done,
            Ok(Err(AnswerError::Refused(fault))) if stops && fault.error == Code::NotFound => Outcome::Done,
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

/// What an input that plays `source` plays, channel by channel.
fn plays(status: &InputStatus, source: Option<&Source>, channels: usize, streams: &Streams) -> Vec<Playing> {
    let Some(source) = source else { return Vec::new() };
    let what = |channel: u16| match source {
        Source::Stream { host, port, sid, .. } => {
            let host = host.parse().ok()?;
            Some(from_sender(SocketAddrV4::new(host, *port), *sid, streams, channel))
        }
        Source::Described { sdp } => {
            let parsed = wireloom_sdp::read(sdp.as_bytes()).ok()?;
            let stream = parsed.streams.first()?;
            let leg = stream.legs.first()?;
            let number = stream.vendor.oat.parse::<Offer>().unwrap_or_default().stream;
            Some(match leg.address {
                IpAddr::V4(sender) => {
                    from_sender(SocketAddrV4::new(sender, leg.port), number, streams, channel)
                }
                address => PlayingWhat::Address { address, port: leg.port, channel },
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

/// The stream `number` of `sender`; 0 is the one of its port.
fn from_sender(sender: SocketAddrV4, number: u32, streams: &Streams, channel: u16) -> PlayingWhat {
    let mut of_port = streams.range((sender, 0)..=(sender, u32::MAX));
    let only = of_port.next().filter(|_| of_port.next().is_none());
    let only = only.filter(|((_, known), _)| number == 0 || *known == 0).map(|(_, id)| id);
    match streams.get(&(sender, number)).or(only) {
        Some(id) => PlayingWhat::Stream { id: id.clone(), channel },
        None => PlayingWhat::Address { address: IpAddr::V4(*sender.ip()), port: sender.port(), channel },
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

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

    /// A device by the letter of the proposal: it does not say what an input plays, has nothing to delete where nothing
    /// plays, and does not speak of one of its inputs at all.
    #[derive(Clone, Default)]
    struct Terse(Arc<AtomicUsize>);

    impl Carrier for Terse {
        async fn ask(&self, _: SocketAddrV4, call: Call) -> Result<(u16, Bytes), String> {
            let plays = self.0.load(Ordering::Relaxed) > 0;
            let (status, body) = match (call.method, call.path.rsplit('/').next()) {
                ("PUT", _) => {
                    self.0.store(1, Ordering::Relaxed);
                    (204, "")
                }
                ("DELETE", _) if !plays => (404, "<html>"),
                ("DELETE", _) => {
                    self.0.store(0, Ordering::Relaxed);
                    (204, "")
                }
                (_, Some("device")) => (200, control::Device::EXAMPLE),
                (_, Some("streams")) => (
                    200,
                    r#"[{"id":"0","name":"Out of order","direction":"rx","channels":2},
                        {"id":"1","name":"In","direction":"rx","channels":1}]"#,
                ),
                (_, Some("0")) => (500, "oops"),
                _ if plays => (200, r#"{"state":"active","packets":48000}"#),
                _ => (200, r#"{"state":"idle"}"#),
            };
            Ok((status, Bytes::from_static(body.as_bytes())))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_does_not_say_what_it_plays_plays_what_it_was_told() {
        let (mut executors, mut told) = Executors::new();
        let sender: SocketAddrV4 = "192.0.2.21:50001".parse().expect("valid");
        let devices = BTreeMap::from([("terse".to_owned(), "192.0.2.31:80".parse().expect("valid"))]);
        let streams = BTreeMap::from([((sender, 0), "s-1".to_owned())]);
        let (plans, plan) = watch::channel(Plan::default());
        tokio::spawn(run(Terse::default(), executors.add(Protocol::Oat), plan));
        plans.send_replace(Plan { devices, streams });
        let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.21\r\ns=x\r\nc=IN IP4 192.0.2.21\r\nt=0 0\r\n\
                   m=audio 50001 RTP/AVP 97\r\na=rtpmap:97 L24/48000/1\r\n";
        let what = PlayingWhat::Stream { id: "s-1".into(), channel: 0 };
        let on = [Playing { input: 0, what, audio: true }];
        let play = Play { stream: "s-1".into(), channel: 0, sdp: sdp.into() };
        let mut receiver = String::new();
        for (order, play, plays) in [(1, Some(play), &on[..]), (2, None, &[][..]), (3, None, &[][..])] {
            if order == 1 {
                receiver = loop {
                    if let Told::Plays { id, inputs } = told.recv().await.expect("it goes on") {
                        assert_eq!(inputs, []);
                        break id;
                    }
                };
            }
            let changes = vec![Change { input: 0, play }];
            let order = CommandId(order);
            let given = Order { order, receiver: receiver.clone(), protocol: Protocol::Oat, changes };
            executors.give(given).expect("is taken");
            let mut outcomes = None;
            let seen = loop {
                match told.recv().await.expect("it goes on") {
                    Told::Answer { outcomes: answer, .. } => outcomes = Some(answer),
                    Told::Plays { inputs, .. } if outcomes.is_some() => break inputs,
                    _ => {}
                }
            };
            assert_eq!((outcomes, &seen[..]), (Some(vec![Outcome::Done]), plays), "{order:?}");
        }
    }

    /// A device with one input that says what it was told.
    #[derive(Clone, Default)]
    struct Echo(Arc<Mutex<String>>);

    impl Carrier for Echo {
        async fn ask(&self, _: SocketAddrV4, call: Call) -> Result<(u16, Bytes), String> {
            let mut source = self.0.lock().expect("no test thread panicked");
            let body = match (call.method, call.path.rsplit('/').next()) {
                ("PUT", _) => {
                    *source = call.body;
                    String::new()
                }
                (_, Some("device")) => control::Device::EXAMPLE.to_owned(),
                (_, Some("streams")) => {
                    r#"[{"id":"1","name":"In","direction":"rx","channels":1}]"#.to_owned()
                }
                _ if source.is_empty() => r#"{"state":"idle"}"#.to_owned(),
                _ => format!(r#"{{"state":"active","source":{source}}}"#),
            };
            Ok((200, body.into()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_plays_a_stream_that_is_had_elsewhere_by_now_is_told_anew() {
        let (mut executors, mut told) = Executors::new();
        let devices = BTreeMap::from([("echo".to_owned(), "192.0.2.31:80".parse().expect("valid"))]);
        let at = |address: &str| {
            let key = (address.parse().expect("valid"), 0);
            Plan { devices: devices.clone(), streams: BTreeMap::from([(key, "s-1".to_owned())]) }
        };
        let (plans, plan) = watch::channel(Plan::default());
        tokio::spawn(run(Echo::default(), executors.add(Protocol::Oat), plan));
        for (group, elsewhere) in [("192.0.2.21", "192.0.2.51"), ("239.69.1.1/32", "239.69.1.2")] {
            plans.send_replace(at(&format!("{}:50001", group.trim_end_matches("/32"))));
            let (receiver, before) = loop {
                if let Told::Receiver(facts) = told.recv().await.expect("it goes on") {
                    break (facts.id.clone(), facts.epoch);
                }
            };
            let sdp = format!(
                "v=0\r\no=- 1 1 IN IP4 192.0.2.21\r\ns=x\r\nc=IN IP4 {group}\r\nt=0 0\r\n\
                 m=audio 50001 RTP/AVP 97\r\na=rtpmap:97 L24/48000/1\r\n"
            );
            let play = Play { stream: "s-1".into(), channel: 0, sdp: sdp.into() };
            let changes = vec![Change { input: 0, play: Some(play) }];
            let order = Order { order: CommandId(1), receiver, protocol: Protocol::Oat, changes };
            executors.give(order).expect("is taken");
            let what = PlayingWhat::Stream { id: "s-1".into(), channel: 0 };
            loop {
                let news = told.recv().await.expect("it goes on");
                if matches!(news, Told::Plays { inputs, .. } if inputs.iter().any(|it| it.what == what)) {
                    break;
                }
            }
            // The stream moves: the device has another start number, so that nobody is believed to have changed it.
            plans.send_replace(at(&format!("{elsewhere}:50001")));
            loop {
                match told.recv().await.expect("it goes on") {
                    Told::Receiver(facts) => {
                        assert_eq!(facts.epoch, before + 1);
                        break;
                    }
                    Told::Plays { inputs, .. } => {
                        assert!(inputs.iter().all(|it| it.what == what), "{inputs:?}: somebody else's doing");
                    }
                    _ => {}
                }
            }
            // It leaves, and is found again for the next round.
            plans.send_replace(Plan::default());
            while !matches!(told.recv().await.expect("it goes on"), Told::ReceiverLeft(_)) {}
        }
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
        let streams = BTreeMap::from([((sender, 2), "s-1".to_owned())]);
        let status = |source| InputStatus {
            state: InputState::Active,
            source: Some(source),
            ..InputStatus::default()
        };
        let plays = |status: &InputStatus, channels, streams: &Streams| {
            super::plays(status, status.source.as_ref(), channels, streams)
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
        let elsewhere = |port, sid| {
            let source = Source::Stream { host: "192.0.2.21".into(), port, sid, channels: 1, pt: 97 };
            plays(&status(source), 1, &streams)[0].what.clone()
        };
        let unknown = |port| PlayingWhat::Address { address: IpAddr::from(*sender.ip()), port, channel: 0 };
        assert_eq!(elsewhere(50_002, 2), unknown(50_002), "another port is another stream");
        assert_eq!(elsewhere(50_001, 3), unknown(50_001), "and so is another number");
        let two = BTreeMap::from([((sender, 2), "s-1".to_owned()), ((sender, 3), "s-2".to_owned())]);
        let third = Source::Stream { host: "192.0.2.21".into(), port: 50_001, sid: 3, channels: 1, pt: 97 };
        let found = plays(&status(third), 1, &two);
        assert_eq!(found[0].what, PlayingWhat::Stream { id: "s-2".into(), channel: 0 });
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
