//! Another program has the port of announcements to itself.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use anyhow::ensure;

use crate::agent::{Agent, ask};
use crate::host::Host;
use crate::peers::RtpStream;
use crate::peers::announcer::Announcer;
use crate::pipewire::PipeWireOptions;
use crate::process::Process;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

const NAME: &str = "Stage box";
const PORT: u16 = 9875;
/// Takes a UDP port without sharing it.
const OCCUPIER: &str = "import socket,sys,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
    s.bind(('',int(sys.argv[1])))\nprint('ready',flush=True)\ntime.sleep(3600)\n";

/// The agent starts, says what is wrong, and hears announcements once the port is free.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, computer) = (studio.host("stage")?, studio.host("computer")?);
    let occupier = occupy(&computer)?;
    let _graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let mut agent = Agent::start(&computer, products, "")?;
    let mut announcer = Announcer::start(&stage)?;
    announcer.announce(&RtpStream::standard(1, 2).named_description(stage.address(), NAME, ""))?;
    let said = wait::until("the agent saying what is wrong", SOON, || {
        agent.process.is_alive()?;
        Ok(Some(remark(&computer, products)?).filter(|said| said.contains("9875")))
    })?;
    ensure!(heard(&computer, products)? == 0, "a stream is heard by a port that is not ours");
    drop(occupier);
    wait::until("the announced stream", SOON * 2, || {
        agent.process.is_alive()?;
        announcer.announce(&RtpStream::standard(1, 2).named_description(stage.address(), NAME, ""))?;
        Ok((heard(&computer, products)? == 1).then_some(()))
    })?;
    let after = remark(&computer, products)?;
    ensure!(!after.contains("9875"), "it still complains: {after}");
    Ok(said.trim().to_owned())
}

fn occupy(host: &Host) -> anyhow::Result<Process> {
    let mut occupier =
        host.spawn("/usr/bin/python3", ["-c".to_owned(), OCCUPIER.to_owned(), PORT.to_string()])?;
    occupier.says("ready", SOON)?;
    Ok(occupier)
}

/// What `wireloom list` says on its error channel.
fn remark(host: &Host, products: &Products) -> anyhow::Result<String> {
    host.run(
        "sh",
        [
            OsStr::new("-c"),
            OsStr::new("exec \"$0\" list 2>&1 >/dev/null"),
            products.program("wireloom").as_ref(),
        ],
    )
}

/// How many streams the agent knows.
fn heard(host: &Host, products: &Products) -> anyhow::Result<usize> {
    Ok(ask(host, products, &["list"])?["streams"].as_array().map_or(0, Vec::len))
}
