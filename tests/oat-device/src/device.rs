use std::net::Ipv4Addr;

use anyhow::Context;
use wireloom_oat::{SenderConfig, SenderEvent, SubscriptionSender, default_device_name};
use wireloom_units::{Channels, ClockIdentity, Nanos};

use crate::Arguments;
use crate::announce::{self, Announcements, Speaker};
use crate::clock::Clock;
use crate::input::Input;
use crate::output::Output;

/// The clock page is looked at so often.
const LOOK: Nanos = Nanos::from_millis(250);

/// A device and all it has.
pub struct Device {
    pub address: Ipv4Addr,
    pub host: String,
    pub name: String,
    pub control_port: u16,
    pub clock: Clock,
    pub outputs: Vec<Output>,
    pub inputs: Vec<Input>,
    /// Nobody else may say what inputs play.
    pub locked: bool,
    sender: SubscriptionSender,
    announcements: Announcements,
    announced: Option<(String, Option<ClockIdentity>)>,
    looked: Option<Nanos>,
    transaction: u32,
}

impl Device {
    pub fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let Arguments { address, host, name, .. } = arguments;
        // Different on every device; nobody in the lab guesses.
        let seed = u32::from(*address).wrapping_mul(0x9e37_79b9);
        let mut key = [0; 16];
        key.iter_mut().zip(seed.to_be_bytes().iter().cycle()).for_each(|(octet, value)| *octet = *value);
        let mut sender = SubscriptionSender::new(&SenderConfig::new(key));
        let channels = |count: &u16| Channels::new(*count).context("a number of channels");
        let mut outputs = Vec::new();
        for (sid, (name, count)) in (1..).zip(&arguments.outputs) {
            let output = Output::new(*address, sid, seed >> 8, name, channels(count)?)?;
            sender.offer(output.offered())?;
            outputs.push(output);
        }
        let input =
            |(name, count): &(String, u16)| Input::new(*address, &arguments.record, name, channels(count)?);
        Ok(Self {
            address: *address,
            host: host.clone(),
            name: name.clone().unwrap_or_else(|| default_device_name(host)),
            control_port: arguments.control_port,
            clock: Clock::new(&arguments.clock_page),
            outputs,
            inputs: arguments.inputs.iter().map(input).collect::<anyhow::Result<_>>()?,
            locked: arguments.locked,
            sender,
            announcements: Announcements::new(*address, seed)?,
            announced: None,
            looked: None,
            transaction: seed,
        })
    }

    /// Looks at everything once.
    pub fn run_once(&mut self) {
        let now = self.clock.uptime();
        if self.looked.is_none_or(|looked| now.since(looked) >= LOOK) {
            self.looked = Some(now);
            self.clock.look();
            self.announce(now);
        }
        self.sender.handle_timeout(now);
        for output in &mut self.outputs {
            output.hear(now, &mut self.sender);
        }
        if let Some(media) = self.clock.now() {
            for output in &mut self.outputs {
                output.send(media, &self.sender);
            }
        }
        for input in &mut self.inputs {
            input.run(now);
        }
        while let Some(event) = self.sender.poll_event() {
            match event {
                SenderEvent::Started(copy) => println!("stream {} to {}", copy.stream, copy.to),
                SenderEvent::Stopped(copy, why) => {
                    println!("stream {} no more to {}: {why:?}", copy.stream, copy.to)
                }
            }
        }
        self.announcements.run(now);
    }

    /// Another number for every series of questions.
    pub fn transaction(&mut self) -> u32 {
        self.transaction = self.transaction.wrapping_add(0x0101_0101);
        self.transaction
    }

    /// How it is named in announcements.
    pub fn speaker(&self) -> Speaker<'_> {
        Speaker {
            host: &self.host,
            name: &self.name,
            address: self.address,
            control_port: self.control_port,
            grandmaster: self.clock.grandmaster(),
        }
    }

    /// Says goodbye.
    pub fn leave(mut self) {
        let mut now = self.clock.uptime();
        self.inputs.iter_mut().for_each(|input| input.stop(now));
        for output in &self.outputs {
            self.announcements.withdraw(now, output);
        }
        // Three deletions, some tens of milliseconds apart, sent without waiting.
        while let Some(due) = self.announcements.next().filter(|due| due.since(now) < Nanos::from_secs(1)) {
            now = now.plus(Nanos(1)).max(due);
            self.announcements.run(now);
        }
    }

    /// Announces again what has another name or another clock.
    fn announce(&mut self, now: Nanos) {
        let present = (self.name.clone(), self.clock.grandmaster());
        if self.announced.as_ref() == Some(&present) {
            return;
        }
        for output in &self.outputs {
            let speaker = Speaker {
                host: &self.host,
                name: &self.name,
                address: self.address,
                control_port: self.control_port,
                grandmaster: present.1,
            };
            let description = announce::description(&speaker, output);
            self.announcements.say(now, output, description);
        }
        self.announced = Some(present);
    }
}
