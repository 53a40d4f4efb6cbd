use std::io::Write;
use std::process::ChildStdin;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use wireloom_wanted::{Key, Link, LinkEnd, Route, RouteOrigin, RouteState, pair_id};

use crate::host::Host;
use crate::process::Process;
use crate::products::Products;
use crate::wait::{self, SOON};

/// The lab in the agent's place: writes the agent's keys of the metadata object and reads the module's.
#[derive(Debug)]
pub struct StandIn {
    process: Process,
    input: ChildStdin,
}

impl StandIn {
    /// Connects to the PipeWire of `host`, whose daemon has loaded our module.
    pub fn start(host: &Host, products: &Products) -> anyhow::Result<Self> {
        let mut process = host.spawn(products.program("wireloom-lab-patcher"), ["keys"])?;
        process.says("ready", SOON)?;
        let input = process.stdin().context("a piped input")?;
        Ok(Self { process, input })
    }

    /// Sets a key.
    pub fn set(&mut self, key: &Key, value: &impl Serialize) -> anyhow::Result<()> {
        writeln!(self.input, "{key} {}", serde_json::to_string(value)?)?;
        Ok(())
    }

    /// Removes a key.
    pub fn delete(&mut self, key: &Key) -> anyhow::Result<()> {
        writeln!(self.input, "{key}")?;
        Ok(())
    }

    /// Every value that the key has had, oldest first; `None` where it was removed.
    pub fn history(&self, key: &Key) -> Vec<Option<Value>> {
        let key = key.to_string();
        let log = self.process.log();
        log.lines()
            .filter_map(|line| {
                let (name, value) = line.split_once(' ').map_or((line, None), |(k, v)| (k, Some(v)));
                (name == key).then(|| value.and_then(|value| serde_json::from_str(value).ok()))
            })
            .collect()
    }

    /// What `link.<id>` says about a pair of ports: whether it is wanted, if there is the key.
    pub fn want(&self, output: &LinkEnd, input: &LinkEnd) -> Option<bool> {
        let last = self.history(&Key::Link(pair_id(output, input))).pop().flatten()?;
        serde_json::from_value::<Link>(last).ok().map(|link| link.want)
    }

    /// Waits until `link.<id>` says so.
    pub fn wait_for_want(
        &mut self,
        output: &LinkEnd,
        input: &LinkEnd,
        want: Option<bool>,
    ) -> anyhow::Result<()> {
        wait::until(&format!("want {want:?} for {output:?} to {input:?}"), SOON, || {
            self.process.is_alive()?;
            Ok((self.want(output, input) == want).then_some(()))
        })
    }

    /// Says how the route between two ports is.
    pub fn set_route(
        &mut self,
        output: &LinkEnd,
        input: &LinkEnd,
        origin: RouteOrigin,
        state: RouteState,
        error: &str,
    ) -> anyhow::Result<()> {
        let (output, input) = (output.clone(), input.clone());
        let key = Key::Route(pair_id(&output, &input));
        self.set(&key, &Route { output, input, origin, state, error: error.to_owned() })
    }

    /// Takes the route away.
    pub fn delete_route(&mut self, output: &LinkEnd, input: &LinkEnd) -> anyhow::Result<()> {
        self.delete(&Key::Route(pair_id(output, input)))
    }
}
