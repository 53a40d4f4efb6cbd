//! The agent and the control socket of the clock service, which a few lines of its documented protocol stand for.

mod world;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;

use serde_json::{Value, json};
use wireloom_clock_page::LineState;
use wireloom_dbus::Error;
use world::{Announcer, World};

/// Serves at `path` as `clock-daemon/README.md` says: answers every status, refuses domain 9, and the user that asks to
/// lead. Tells what was asked for otherwise.
fn serve(path: &std::path::Path, traceable: bool) -> mpsc::Receiver<Value> {
    let listener = UnixListener::bind(path).expect("can be bound");
    let (asked, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).expect("a line");
            let request: Value = serde_json::from_str(&line).expect("JSON");
            let refuse = |why: &str| json!({ "schema": 1, "ok": false, "error": why });
            let answer = if request["domain"] == 9 {
                refuse("domain is 9, which is for the neighbours")
            } else if request["lead"].is_string() {
                refuse(
                    "only root, the clock service's own user and members of the group wireloom may change settings",
                )
            } else {
                let leader = json!({ "ptp_timescale": true, "time_traceable": traceable });
                json!({ "schema": 1, "ok": true, "status": { "summary": "Locked to PTP leader.",
                        "settings": { "domain": 0 }, "clock": { "leader": leader } } })
            };
            if request["command"] != "status" {
                let _ = asked.send(request);
            }
            let _ = writeln!(stream, "{answer}");
        }
    });
    receiver
}

#[test]
fn settings_reach_the_clock_service_and_refusals_come_back() {
    world::run("settings_reach_the_clock_service_and_refusals_come_back", async || {
        let mut world = World::new().await;
        world.publish_clock(world::LEADER, LineState::Locked);
        world.start_agent().await;
        let manager = world.manager().await;
        let absent = manager.set_clock(HashMap::from([("domain", 5_u32.into())])).await;
        assert!(matches!(&absent, Err(Error::NotReady(text)) if text.contains("does not run")), "{absent:?}");

        let asked = serve(&world.path("clock.sock"), false);
        let said = |text: &'static str| {
            move |seen: &wireloom_dbus::Snapshot| seen.manager.clock_service_text == text
        };
        world.until_snapshot("what the service says", said("Locked to PTP leader.")).await;
        let settings = HashMap::from([("domain", 5_u32.into()), ("interfaces", vec!["veth0"].into())]);
        manager.set_clock(settings).await.expect("taken");
        let request = asked.recv().expect("asked");
        assert_eq!(request, json!({ "command": "set", "domain": 5, "interfaces": ["veth0"] }));
        manager.set_clock(HashMap::from([("reset", true.into())])).await.expect("taken");
        assert_eq!(asked.recv().expect("asked"), json!({ "command": "reset" }));

        let refused = manager.set_clock(HashMap::from([("domain", 9_u32.into())])).await;
        let refused = format!("{refused:?}");
        assert!(refused.contains("InvalidArgs(") && refused.contains("for the neighbours"), "{refused}");
        let refused = format!("{:?}", manager.set_clock(HashMap::from([("lead", "always".into())])).await);
        assert!(refused.contains("AccessDenied") && refused.contains("group wireloom"), "{refused}");
        for settings in [
            HashMap::new(),
            HashMap::from([("colour", "red".into())]),
            HashMap::from([("reset", true.into()), ("domain", 1_u32.into())]),
        ] {
            let refused = format!("{:?}", manager.set_clock(settings).await);
            assert!(refused.contains("InvalidArgs("), "{refused}");
        }
    });
}

#[test]
fn a_traceable_grandmaster_is_the_clock_of_streams_that_name_any() {
    world::run("a_traceable_grandmaster_is_the_clock_of_streams_that_name_any", async || {
        let mut world = World::new().await;
        world.publish_clock(world::LEADER, LineState::Locked);
        let _asked = serve(&world.path("clock.sock"), true);
        world.start_pipewire(true).await;
        world.start_agent().await;
        let device = Announcer::new(21);
        let sdp = device.sdp(4711, 1, "Stage L", "239.69.1.1");
        let lines = sdp.lines().filter(|line| !line.starts_with("a=ts-refclk"));
        let text: String = lines.map(|line| format!("{line}\r\n")).collect();
        let text = text + "a=ts-refclk:ptp=IEEE1588-2008:traceable\r\n";
        let seen =
            world.until_snapshot("the interface is used", |seen| seen.interfaces.iter().any(|i| i.used));
        seen.await;
        device.announce(&text);
        let is_same = |seen: &wireloom_dbus::Snapshot| {
            seen.streams.iter().any(|stream| stream.clock_relation == "same")
        };
        world.until_snapshot("the same clock", is_same).await;
    });
}
