//! OpenAudioTools: streams of this computer that others ask for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use wireloom_clock_page::LineState;

use crate::agent::{self, Agent};
use crate::clock::Clock;
use crate::host::Host;
use crate::oat_device::OatDevice;
use crate::peers::RtpStream;
use crate::peers::hostile::Attack;
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::timer::{BareTimer, STALL};
use crate::wait::{self, SOON};

/// Frames that must be right in one run.
const FRAMES: u64 = 240_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 6;
/// So long no agent runs: nearly as long as a lease.
const AWAY: Duration = Duration::from_secs(25);
const PPM: f64 = 80.0;
const LOCK: Duration = Duration::from_secs(40);
const NAME: &str = "Playback";

/// A device asks for a stream of ours and plays every sample; a second one comes and goes; the agent is away for 25 s;
/// the device is killed and its lease ends. Of strangers that forge a sender each question costs one answer of 48
/// octets.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, desk) = (studio.host("leader")?, studio.host("desk")?);
    let (stage, computer) = (studio.host("stage")?, studio.host("computer")?);
    let mut clock = Clock::leader(&leader, products, 0, 100, PPM)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut followers = [
        Clock::follower(&desk, products, 0)?,
        Clock::follower(&stage, products, 0)?,
        Clock::follower(&computer, products, 0)?,
    ];
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let mut agent = Agent::start(&computer, products, "")?;
    for follower in &mut followers {
        follower.wait_for(LineState::Locked, LOCK)?;
    }
    let mut mixer =
        OatDevice::start(&desk, products, "mixtee-01b7", &["--name", "FOH", "--input", "In 1-2:2"])?;
    let mut synth = OatDevice::start(&stage, products, "syntee-a3f2", &["--input", "Return:2"])?;

    let create = ["stream", "create", NAME, "--channels", "2", "--flavour", "oat"];
    computer.run(products.program("wireloom"), create)?;
    let node = wait::until("the node of the offered stream", SOON, || {
        agent.process.is_alive()?;
        Ok(graph.node_with("media.name", NAME)?.filter(|node| node.inputs.len() == 2))
    })?;
    let (_player, player) = graph.player(products, "player", &RtpStream::standard(1, 2).code())?;
    graph.link(&player, &node)?;
    let sdp = description(&computer, products)?;
    ensure!(sdp.contains(&format!("c=IN IP4 {}\r\n", computer.address())), "not asked for here:\n{sdp}");
    ensure!(receivers(&computer, products)?.is_empty(), "somebody is sent to although nobody asked");

    // Both are told what to play as any controller would tell them.
    tell(&leader, &desk, "mixtee-01b7%2Frx%2Fin-1-2", &sdp)?;
    let exact = mixer.play_exactly("In 1-2", FRAMES, TRIES, || Ok(()))?.matched;

    // Another one comes and goes meanwhile: nothing of it is heard.
    let mut come_and_gone = 0;
    let beside = mixer.play_exactly("In 1-2", FRAMES, TRIES, || {
        if come_and_gone == 0 {
            tell(&leader, &stage, "syntee-a3f2%2Frx%2Freturn", &sdp)?;
            come_and_gone = 1;
        } else if come_and_gone == 1 && receivers(&computer, products)?.len() == 2 {
            leader
                .run("curl", ["-sS", "--fail", "-X", "DELETE", &url(&stage, "syntee-a3f2%2Frx%2Freturn")])?;
            come_and_gone = 2;
        }
        Ok(())
    })?;
    let beside = beside.matched;
    ensure!(come_and_gone == 2, "the second device never came");

    let away = without_agent(&computer, products, &mut agent, &mut mixer)?;
    agent.process.says("ready", SOON)?;
    let kept = wait::until("the receiver of before", SOON, || {
        Ok(receivers(&computer, products).ok().filter(|found| found.len() == 1))
    })?;
    ensure!(kept.iter().all(|to| to.starts_with(&desk.address().to_string())), "other receivers: {kept:?}");
    let Forged { questions, answers } = forge(&leader, &stage, &computer, &mut mixer)?;
    ensure!(receivers(&computer, products)?.len() == 1, "somebody is sent to who never asked");

    // Whoever vanishes is sent to until the lease ends, and no longer.
    let to_desk = format!("udp[4:2] == 308 and dst host {}", desk.address());
    let arguments = ["-i", "eth0", "-l", "-f", &to_desk, "-T", "fields", "-e", "frame.number"];
    let mut capture = computer.spawn("tshark", arguments)?;
    capture.says("Capturing on", SOON)?;
    let packets = || capture.log().lines().filter(|line| line.trim().parse::<u64>().is_ok()).count();
    mixer.process.kill()?;
    synth.process.is_alive()?;
    let at_death = packets();
    wait::until("packets to who has vanished", SOON, || Ok((packets() > at_death + 1000).then_some(())))?;
    wait::until("the end of the lease", Duration::from_secs(90), || {
        agent.process.is_alive()?;
        Ok(receivers(&computer, products)?.is_empty().then_some(()))
    })?;
    std::thread::sleep(Duration::from_secs(1)); // what left before is written by then
    let before = packets();
    std::thread::sleep(Duration::from_secs(2)); // what must not come has this long to come
    let left = packets() - before;
    ensure!(left == 0, "{left} packets left after the end of the lease");
    Ok(format!(
        "{exact} samples, {beside} while another device came and went, {away} while no agent ran for 25 s; {questions} \
         forged questions, {answers} answers"
    ))
}

fn url(device: &Host, input: &str) -> String {
    format!("http://{}/oat/v1/inputs/{input}/source", device.address())
}

fn tell(other: &Host, device: &Host, input: &str, sdp: &str) -> anyhow::Result<()> {
    let body = serde_json::json!({ "sdp": sdp }).to_string();
    other.run("curl", ["-sS", "--fail", "-X", "PUT", "-d", &body, &url(device, input)])?;
    Ok(())
}

/// The stream as the agent tells of it.
fn stream(host: &Host, products: &Products) -> anyhow::Result<serde_json::Value> {
    Ok(agent::ask(host, products, &["show", NAME])?["stream"].clone())
}

fn description(host: &Host, products: &Products) -> anyhow::Result<String> {
    wait::until("the description", SOON, || {
        let text = stream(host, products)?["sdp_text"].as_str().map(str::to_owned);
        Ok(text.filter(|text| !text.is_empty()))
    })
}

/// Addresses that the stream is sent to.
fn receivers(host: &Host, products: &Products) -> anyhow::Result<Vec<String>> {
    let stream = stream(host, products)?;
    let legs = stream["legs"].as_array().context("a stream has legs")?.clone();
    Ok(legs.iter().filter_map(|leg| leg["address"].as_str().map(str::to_owned)).collect())
}

/// Nobody answers renewals for 25 s of an exact run. Leaves a new agent behind.
fn without_agent(
    computer: &Host,
    products: &Products,
    agent: &mut Agent,
    receiver: &mut OatDevice<'_>,
) -> anyhow::Result<u64> {
    let start = || computer.spawn(products.program("wireloom-agent"), [""; 0]);
    let frames = 48_000 * (AWAY.as_secs() + 4);
    for _ in 0..TRIES {
        agent.process.kill()?;
        let killed = Instant::now();
        let mut back = None;
        let timer = BareTimer::start()?;
        let found = receiver.play(
            "In 1-2",
            frames,
            |_| {},
            || {
                if back.is_none() && killed.elapsed() >= AWAY {
                    back = Some(start()?);
                }
                Ok(())
            },
        )?;
        agent.process = match back {
            Some(process) => process,
            None => start()?,
        };
        if found.is_exact(frames) {
            return Ok(found.matched);
        }
        let worst = timer.worst();
        ensure!(worst > STALL, "while no agent ran and a bare timer was {worst:?} late at most: {found}");
        agent.process.says("ready", SOON)?;
        // Long enough for a renewal, so that the next run begins with a whole lease.
        wait::until("a lease from the new agent", SOON, || {
            Ok(receivers(computer, products).ok().filter(|found| !found.is_empty()))
        })?;
        std::thread::sleep(Duration::from_secs(11));
    }
    bail!("the machine disturbed all of {TRIES} runs; there is nothing to judge by")
}

/// Counts of what a forger asked and what was answered.
struct Forged {
    questions: usize,
    answers: usize,
}

/// Asks in the name of others while the receiver goes on: each question costs at most one answer of 48 octets, nothing
/// is sent to who did not ask, and the receiver hears nothing of it.
fn forge(
    attacker: &Host,
    victim: &Host,
    computer: &Host,
    receiver: &mut OatDevice<'_>,
) -> anyhow::Result<Forged> {
    // All that comes to the port or leaves it, but for the packets of the stream.
    let filter = "udp port 50000 and udp[4:2] != 308";
    let fields = ["-e", "ip.src", "-e", "udp.length"];
    let arguments = [&["-i", "eth0", "-l", "-f", filter, "-T", "fields"], &fields[..]].concat();
    let mut capture = computer.spawn("tshark", arguments)?;
    capture.says("Capturing on", SOON)?;
    let sources = [victim.address(), attacker.address()];
    let plan = serde_json::json!([{
        "kind": "oat-sub", "rate": 400, "to": computer.address(), "port": 50_000, "sources": sources,
    }]);
    let mut attack = Attack::start(attacker, "forger", plan)?;
    receiver.play_exactly("In 1-2", FRAMES, TRIES, || attack.is_alive())?;
    attack.stop()?;
    capture.interrupt()?;
    let log = capture.log();
    let seen: Vec<(&str, usize)> = log
        .lines()
        .filter_map(|line| {
            let (source, length) = line.trim().split_once('\t')?;
            Some((source, length.parse().ok()?))
        })
        .collect();
    let ours = computer.address().to_string();
    let answers: Vec<usize> = seen.iter().filter(|(source, _)| *source == ours).map(|(_, n)| *n).collect();
    let forged: Vec<String> = sources.iter().map(ToString::to_string).collect();
    let questions = seen.iter().filter(|(source, _)| forged.iter().any(|name| name == source)).count();
    ensure!(answers.iter().all(|length| *length == 8 + 48), "answers of {answers:?} octets");
    ensure!(questions > 400, "only {questions} questions came");
    ensure!(!answers.is_empty() && answers.len() <= questions, "{} answers to {questions}", answers.len());
    Ok(Forged { questions, answers: answers.len() })
}
