//! OAT-CTL of the device: from a request to an answer.

use wireloom_oat::control::{
    Code, Device as Told, Fault, InputState, Ptp, Reply, Request, Side, Stream, Transport,
};

use crate::announce;
use crate::device::Device;
use crate::output::PAYLOAD_TYPE;

impl Device {
    /// Does what is asked.
    pub fn answer(&mut self, request: Request) -> Reply {
        self.try_answer(request).unwrap_or_else(Reply::from)
    }

    fn try_answer(&mut self, request: Request) -> Result<Reply, Fault> {
        let now = self.clock.uptime();
        Ok(match request {
            Request::Device => Reply::json(200, &self.told()),
            Request::Rename(name) => {
                self.name = name;
                Reply::json(200, &self.told())
            }
            Request::Streams => Reply::json(200, &self.streams()),
            Request::Description(id) => {
                let output = self.outputs.iter().find(|output| self.id("tx", &output.name) == id);
                let text = output.and_then(|output| announce::text(&self.speaker(), output));
                Reply::description(&text.ok_or_else(not_found)?)
            }
            Request::Input(id) => {
                let index = self.input(&id)?;
                Reply::json(200, &self.inputs.get(index).ok_or_else(not_found)?.status())
            }
            Request::Play { input, source } => {
                println!("told what to play on {input}");
                if self.locked {
                    return Err(Fault::new(Code::Policy, "its user has locked the inputs"));
                }
                let (index, transaction) = (self.input(&input)?, self.transaction());
                let input = self.inputs.get_mut(index).ok_or_else(not_found)?;
                input.play(now, source, transaction)?;
                Reply::json(202, &serde_json::json!({ "state": InputState::Connecting }))
            }
            Request::Stop(id) => {
                println!("told to stop {id}");
                let index = self.input(&id)?;
                self.inputs.get_mut(index).ok_or_else(not_found)?.stop(now);
                Reply::nothing()
            }
        })
    }

    fn id(&self, side: &str, name: &str) -> String {
        format!("{}/{side}/{}", self.host, name.to_lowercase().replace(' ', "-"))
    }

    /// Which input has this id.
    fn input(&self, id: &str) -> Result<usize, Fault> {
        let found = self.inputs.iter().position(|input| self.id("rx", &input.name) == id);
        found.ok_or_else(not_found)
    }

    fn told(&self) -> Told {
        let gm = self.clock.grandmaster();
        let mut roles = Vec::new();
        if !self.outputs.is_empty() {
            roles.push("source".to_owned());
        }
        if !self.inputs.is_empty() {
            roles.push("sink".to_owned());
        }
        Told {
            id: self.host.clone(),
            name: self.name.clone(),
            model: wireloom_oat::default_device_name(&self.host)
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
            host: self.host.clone(),
            address: vec![self.address.to_string()],
            mac: None,
            roles,
            ptp: Some(Ptp {
                state: if gm.is_some() { "slave" } else { "listening" }.to_owned(),
                gm: gm.map(|identity| identity.to_string()).unwrap_or_default(),
                priority1: 160,
            }),
            last_seen_s: 0,
            online: true,
        }
    }

    fn streams(&self) -> Vec<Stream> {
        let outputs = self.outputs.iter().map(|output| Stream {
            ptime_ms: f64::from(output.frames.0) / 48.0,
            port: output.port(),
            pt: PAYLOAD_TYPE,
            sid: output.sid,
            ..self.stream(Side::Tx, "tx", &output.name, output.channels.count())
        });
        let inputs = self.inputs.iter().map(|input| Stream {
            port: input.port(),
            ..self.stream(Side::Rx, "rx", &input.name, input.channels.count())
        });
        outputs.chain(inputs).collect()
    }

    fn stream(&self, direction: Side, side: &str, name: &str, channels: u16) -> Stream {
        Stream {
            id: self.id(side, name),
            device: self.host.clone(),
            name: name.to_owned(),
            direction,
            channels,
            labels: wireloom_oat::channel_labels(name, channels),
            rate: 48_000,
            encoding: "L24".to_owned(),
            ptime_ms: 0.0,
            transport: Transport::Unicast,
            address: self.address.to_string(),
            port: 0,
            pt: 0,
            sid: 0,
            sdp: None,
        }
    }
}

fn not_found() -> Fault {
    Fault::new(Code::NotFound, "this device has no such stream")
}
