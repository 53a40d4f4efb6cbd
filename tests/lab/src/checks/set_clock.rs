use std::time::Duration;

use anyhow::{Context, ensure};
use wireloom_clock_page::LineState;

use crate::agent::{Agent, ask};
use crate::clock::Clock;
use crate::host::Host;
use crate::products::Products;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(60);
/// What both clocks have: then it is decided by preference, and last by identity.
const PRIORITY: u8 = 128;

/// The clock service is told by `wireloom clock` to leave the domain and to come back, to lead, to be preferred and to
/// do as its file says, and does so; what it does is what `wireloom clock` shows.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (other, computer) = (studio.host("other")?, studio.host("computer")?);
    let mut leader = Clock::leader(&other, products, 0, PRIORITY, 0.0)?;
    let first = leader.wait_for(LineState::Leader, SOON)?.leader;
    let mut clock = Clock::follower(&computer, products, 0)?;
    let mut agent = Agent::start(&computer, products, "")?;
    clock.wait_to_follow(first, LOCK)?;
    let mut shown = |what: &str, id: &str, state: &str| {
        let mut last = serde_json::Value::Null;
        let seen = wait::until(&format!("{id} {state} {what}"), LOCK, || {
            agent.process.is_alive()?;
            last = ask(&computer, products, &["clock"])?;
            let clocks = last["clocks"].as_array().context("a list of clocks")?;
            Ok(clocks.iter().any(|clock| clock["id"] == id && clock["state"] == state).then_some(()))
        });
        seen.with_context(|| format!("last shown: {last}"))
    };
    shown("at first", "ptpv2-0", "locked")?;

    tell(&computer, products, &["--domain", "7"])?;
    wait::until("the end of the old domain's line", SOON, || Ok(clock.line()?.is_none().then_some(())))?;
    shown("in an empty domain", "free", "free-running")?;
    tell(&computer, products, &["--domain", "0"])?;
    clock.wait_to_follow(first, LOCK)?;

    // Of two that are the same, the lower identity leads, and that is the other one's.
    tell(&computer, products, &["--lead", "always"])?;
    let settings = status(&computer, products)?;
    ensure!(settings["service"] != "", "the service says nothing: {settings}");
    clock.wait_to_follow(first, LOCK)?;
    tell(&computer, products, &["--preferred", "yes"])?;
    let second = clock.wait_for(LineState::Leader, LOCK)?.leader;
    ensure!(second != first, "it leads in the name of the other one");
    leader.wait_to_follow(second, LOCK)?;
    shown("when preferred", "ptpv2-0", "leader")?;

    // What is remembered goes before the file, until it is told to go back.
    tell(&computer, products, &["--reset"])?;
    leader.wait_for(LineState::Leader, LOCK)?;
    clock.wait_to_follow(first, LOCK)?;
    shown("in the end", "ptpv2-0", "locked")?;
    let refused =
        computer.run(products.program("wireloom"), ["clock", "--interfaces", "a-name-that-is-too-long"]);
    let refused = refused.err().context("an impossible interface was taken")?.to_string();
    ensure!(refused.contains("a-name-that-is-too-long"), "{refused}");
    Ok("another domain and back, led when preferred, followed again after a reset".to_owned())
}

fn tell(host: &Host, products: &Products, arguments: &[&str]) -> anyhow::Result<()> {
    host.run(products.program("wireloom"), [&["clock"], arguments].concat()).map(|_| ())
}

fn status(host: &Host, products: &Products) -> anyhow::Result<serde_json::Value> {
    ask(host, products, &["clock"])
}
