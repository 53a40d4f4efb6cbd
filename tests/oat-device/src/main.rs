//! A device of OpenAudioTools for the lab, because no real one exists yet: it announces its outputs by SAP, serves them
//! by OAT-SUB, plays on its inputs what OAT-CTL tells it, and writes that to files for a test to judge.
//!
//! Its outputs carry a `PositionCode` whose frame number is the media clock's, read from a clock page; so whoever
//! receives knows which sample belongs where. It runs as firmware would: one loop that looks at everything each
//! millisecond.
#![forbid(unsafe_code)]

mod announce;
mod clock;
mod control;
mod device;
mod http;
mod input;
mod media;
mod output;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

/// A simulated device of OpenAudioTools. Ctrl-C withdraws its streams and ends it.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Its IPv4 address.
    #[arg(long)]
    address: Ipv4Addr,
    /// Host name, as OAT devices have: syntee-a3f2.
    #[arg(long)]
    host: String,
    /// What its user calls it; else it is called after its host.
    #[arg(long)]
    name: Option<String>,
    /// An output: name and channels, "Out 1-2:2"; can be given several times.
    #[arg(long = "output", value_parser = port)]
    outputs: Vec<(String, u16)>,
    /// An input, likewise.
    #[arg(long = "input", value_parser = port)]
    inputs: Vec<(String, u16)>,
    /// Refuses to be told what its inputs play.
    #[arg(long)]
    locked: bool,
    /// Port of its control interface.
    #[arg(long, default_value_t = 80)]
    control_port: u16,
    /// The clock page that it follows.
    #[arg(long, default_value = "/run/wireloom/clock")]
    clock_page: PathBuf,
    /// Where each input writes what it plays: big-endian 24-bit samples, a file named after the input.
    #[arg(long)]
    record: PathBuf,
}

fn port(text: &str) -> Result<(String, u16), String> {
    let (name, channels) = text.rsplit_once(':').ok_or("a port is given as NAME:CHANNELS")?;
    match channels.parse() {
        Ok(channels @ (2 | 8 | 16)) if !name.is_empty() => Ok((name.to_owned(), channels)),
        _ => Err("a port has a name and 2, 8 or 16 channels".to_owned()),
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let listener =
        TcpListener::bind((arguments.address, arguments.control_port)).context("binding the control port")?;
    let (requests, incoming) = mpsc::sync_channel(16);
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("control".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                result = http::serve(listener, requests) => eprintln!("the control interface ended: {result:?}"),
                _ = tokio::signal::ctrl_c() => {}
            }
        });
        asked.store(true, Ordering::Relaxed);
    })?;
    let mut device = device::Device::new(&arguments)?;
    println!("ready");
    while !stop.load(Ordering::Relaxed) {
        device.run_once();
        while let Ok(request) = incoming.try_recv() {
            let http::Pending { request, reply } = request;
            let _ = reply.send(device.answer(request)); // who asked may have gone
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    device.leave();
    Ok(())
}
