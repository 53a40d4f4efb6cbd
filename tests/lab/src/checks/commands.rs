use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use wireloom_clock_page::LineState;

use crate::agent::{Agent, ask};
use crate::clock::Clock;
use crate::host::Host;
use crate::oat_device::OatDevice;
use crate::peers::RtpStream;
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::process::Process;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// A device of the network, and a stream of its.
const DEVICE: &str = "Bass Synth";
/// A description that is added, as the user calls it, and the applications of its routes.
const STREAM: &str = "Stage box";
const ALIAS: &str = "Left of the stage";
const APPLICATIONS: [&str; 3] = ["recorder", "meter", "tuner"];
/// The agent's name on the bus, and the file by which the bus starts it, as it is installed.
const NAME: &str = "org.wireloom.Wireloom1";
const SERVICE: &str = include_str!("../../../../dbus/org.wireloom.Wireloom1.service.in");
/// Who asks the agent now and then has asked in that time.
const UNASKED: Duration = Duration::from_secs(3);
/// The group of announcements, as the kernel prints it.
const ANNOUNCEMENTS: &str = "FFFFFFEF";
/// Another network interface.
const OTHER: &str = "other0";
/// A client of the agent that keeps its place on the bus, without a line of ours: it makes a checkpoint, prints it, and
/// stays until it is told to leave.
const KEEPER: &str = "\
import sys
from gi.repository import Gio, GLib
bus = Gio.bus_get_sync(Gio.BusType.SESSION)
name, path = 'org.wireloom.Wireloom1', '/org/wireloom/Wireloom1'
arguments = GLib.Variant('(ua{sv})', (600, {}))
answer = bus.call_sync(name, path, name + '.Manager', 'CreateCheckpoint', arguments, None, 0, -1, None)
print(answer.unpack()[0], flush=True)
sys.stdin.readline()
";

/// Each command of `wireloom` that no other check drives does what it says, and `wireloom watch`, which runs meanwhile,
/// tells of it, of a format that changes, and of an agent that dies and returns, but starts none. What other programs
/// may ask on the bus (CanConnect, presets with roles, checkpoints) is asked by GLib's.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, computer) = (studio.host("stage")?, studio.host("computer")?);
    let mut clock = Clock::leader(&computer, products, 0, 100, 0.0)?;
    let graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let services = computer.directory().join("home/.data/dbus-1/services");
    std::fs::create_dir_all(&services)?;
    let programs = products.folder().canonicalize()?;
    let service = SERVICE.replace("@libexecdir@", programs.to_str().context("a path of text")?);
    std::fs::write(services.join(format!("{NAME}.service")), service)?;
    let Agent { process: agent, bus: _bus } = Agent::start(&computer, products, "")?;
    let mut scene = Scene { computer: &computer, products, graph, agent, watch: None };
    let _device = OatDevice::start(&stage, products, "syntee", &["--name", DEVICE, "--output", "Out 1-2:2"])?;
    clock.wait_for(LineState::Leader, SOON)?;

    scene.lists()?;
    scene.watch()?;
    scene.names_and_pins()?;
    scene.interfaces()?;
    scene.presets()?;
    let lines = scene.agent_dies()?;
    Ok(format!("{lines} lines of wireloom watch"))
}

struct Scene<'a> {
    computer: &'a Host,
    products: &'a Products,
    graph: PipeWire<'a>,
    agent: Process,
    watch: Option<Process>,
}

impl Scene<'_> {
    fn ask(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        ask(self.computer, self.products, arguments)
    }

    /// What is listed under this key, by name.
    fn listed(&self, arguments: &[&str], key: &str, name: &str) -> anyhow::Result<Option<Value>> {
        let document = self.ask(arguments)?;
        let items = document[key].as_array().with_context(|| format!("{key} of {document}"))?;
        let called = |item: &&Value| ["alias", "name", "id"].iter().any(|key| item[*key] == name);
        Ok(items.iter().find(called).cloned())
    }

    /// Waits until what is listed under that name is as it should be.
    fn wait_for(
        &mut self,
        arguments: &[&str],
        key: &str,
        name: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        let mut last = None;
        let found = wait::until(&format!("{name} in {arguments:?}"), SOON, || {
            self.agent.is_alive()?;
            last = self.listed(arguments, key, name)?;
            Ok(last.as_ref().is_some_and(&fits).then_some(()))
        });
        found.with_context(|| format!("last: {last:?}"))
    }

    fn lists(&mut self) -> anyhow::Result<()> {
        self.wait_for(&["list", "devices"], "devices", DEVICE, |device| {
            device["protocol"] == "oat" && device["streams"].as_array().map(Vec::len) == Some(1)
        })?;
        let plain = self.computer.run(self.products.program("wireloom"), ["list", "devices"])?;
        ensure!(plain.contains(DEVICE), "people are shown {plain}");
        let leads = |clock: &Value| clock["state"] == "leader" && clock["active"] == true;
        let id = wait::until("a clock that leads", SOON, || {
            let document = self.ask(&["list", "clocks"])?;
            let clocks = document["clocks"].as_array().context("a list")?;
            let leading = clocks.iter().find(|clock| leads(clock));
            Ok(leading.and_then(|clock| clock["id"].as_str()).map(str::to_owned))
        })?;
        let plain = self.computer.run(self.products.program("wireloom"), ["list", "clocks"])?;
        ensure!(plain.contains(&id) && plain.contains("leader"), "people are shown {plain}");
        Ok(())
    }

    fn watch(&mut self) -> anyhow::Result<()> {
        self.watch = Some(self.computer.spawn(self.products.program("wireloom"), ["--json", "watch"])?);
        self.told("the device's stream", |event| event["event"] == "appeared")
    }

    /// Everything that `wireloom watch` has printed.
    fn events(&mut self) -> anyhow::Result<Vec<Value>> {
        let watch = self.watch.as_mut().context("it was started")?;
        watch.is_alive()?;
        let log = watch.log();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// Waits until `wireloom watch` has printed such an event.
    fn told(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        wait::until(&format!("wireloom watch telling of {what}"), SOON, || {
            Ok(self.events()?.iter().any(&fits).then_some(()))
        })
    }

    fn names_and_pins(&mut self) -> anyhow::Result<()> {
        let file = self.computer.directory().join("stage.sdp");
        let description = RtpStream::standard(1, 2).named_description([10, 77, 0, 9], STREAM, "");
        std::fs::write(&file, &description)?;
        let path = file.to_str().context("a path of text")?;
        let made = self.ask(&["stream", "add-sdp", path])?;
        let id = made["streams"][0]["id"].as_str().with_context(|| format!("{made}"))?.to_owned();
        let of = |event: &Value, word: &str| event["event"] == word && event["id"] == id.as_str();
        let different = |event: &Value, what: &str| {
            of(event, "changed")
                && event["changed"].as_array().is_some_and(|all| all.iter().any(|one| one == what))
        };
        self.told("the added stream", |event| of(event, "appeared") && event["name"] == STREAM)?;

        // The same session later, in another format.
        std::fs::write(&file, description.replace("o=- 1 1 ", "o=- 1 2 ").replace("L24", "L16"))?;
        self.ask(&["stream", "add-sdp", path])?;
        self.told("the other format", |event| different(event, "encoding"))?;

        let list = ["list", "streams"];
        self.ask(&["stream", "rename", STREAM, ALIAS])?;
        self.wait_for(&list, "streams", ALIAS, |stream| stream["name"] == STREAM)?;
        self.told("the alias", |event| different(event, "alias") && event["name"] == ALIAS)?;
        self.ask(&["stream", "pin", ALIAS])?;
        self.wait_for(&list, "streams", ALIAS, |stream| stream["pinned"] == true)?;
        self.told("the pin", |event| different(event, "pinned"))?;
        self.ask(&["stream", "pin", ALIAS, "--off"])?;
        self.wait_for(&list, "streams", ALIAS, |stream| stream["pinned"] == false)
    }

    /// Interfaces that announcements are heard by, as the kernel knows it.
    fn listening(&self) -> anyhow::Result<Vec<String>> {
        let text = self.computer.run("cat", ["/proc/net/igmp"])?;
        let (mut interface, mut found) = (String::new(), Vec::new());
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match line.starts_with(char::is_numeric) {
                true => interface = words.nth(1).unwrap_or_default().to_owned(),
                false if words.next() == Some(ANNOUNCEMENTS) => found.push(interface.clone()),
                false => {}
            }
        }
        Ok(found)
    }

    fn interfaces(&mut self) -> anyhow::Result<()> {
        self.computer.run("ip", ["link", "add", OTHER, "type", "veth", "peer", "name", "end"])?;
        self.computer.run("ip", ["address", "add", "10.78.0.1/24", "dev", OTHER])?;
        self.computer.run("ip", ["link", "set", OTHER, "up"])?;
        self.computer.run("ip", ["link", "set", "end", "up"])?;
        for (options, expected) in [
            (&["--all"][..], &["eth0", OTHER][..]),
            (&["--use", "eth0"], &["eth0"]),
            (&["--use", OTHER], &[OTHER]),
            (&["--all"], &["eth0", OTHER]),
        ] {
            let list = ["list", "interfaces"];
            self.wait_for(&list, "interfaces", OTHER, |_| true)?;
            self.ask(&[&["interface"], options].concat())?;
            wait::until(&format!("announcements by {expected:?} alone"), SOON, || {
                let mut listening = self.listening()?;
                listening.retain(|name| ["eth0", OTHER].contains(&name.as_str()));
                Ok((listening == expected).then_some(()))
            })?;
            for name in ["eth0", OTHER] {
                let used = expected.contains(&name);
                self.wait_for(&list, "interfaces", name, |interface| interface["used"] == used)?;
            }
        }
        let refused = self
            .computer
            .command(self.products.program("wireloom"))
            .args(["interface", "--use", "eth7"])
            .output()?;
        ensure!(refused.status.code() == Some(3), "an interface that is not there: {refused:?}");
        self.leaves_by_the_other()
    }

    /// A stream that is made for the second interface leaves by that one.
    fn leaves_by_the_other(&self) -> anyhow::Result<()> {
        let made = self.ask(&["stream", "create", "Out there", "--interface", OTHER])?;
        let leg = &made["streams"][0]["legs"][0];
        ensure!(leg["interface"] == OTHER, "it leaves by {leg}");
        let sent = |name: &str| -> anyhow::Result<u64> {
            let text = self.computer.run("ip", ["-json", "-statistics", "link", "show", "dev", name])?;
            let link: Value = serde_json::from_str(&text)?;
            link[0]["stats64"]["tx"]["packets"].as_u64().with_context(|| format!("no count in {text}"))
        };
        let (first, other) = (sent("eth0")?, sent(OTHER)?);
        wait::until("a thousand packets", SOON, || Ok((sent(OTHER)? > other + 1000).then_some(())))?;
        let elsewhere = sent("eth0")? - first;
        ensure!(elsewhere < 200, "{elsewhere} packets left by the first interface meanwhile");
        self.ask(&["stream", "remove", "Out there"])?;
        Ok(())
    }

    /// Waits until these applications, and no others, have a route from the stream, and its links.
    fn heard_by(&mut self, applications: &[&str]) -> anyhow::Result<()> {
        let mut last = Value::Null;
        let found = wait::until(&format!("routes to {applications:?}"), SOON, || {
            self.agent.is_alive()?;
            last = self.ask(&["routes"])?;
            let routes = last["routes"].as_array().context("a list")?;
            let mut sinks: Vec<_> = routes.iter().filter_map(|route| route["sink"].as_str()).collect();
            sinks.sort_unstable();
            let linked = self.graph.links()?.len() == 2 * applications.len();
            Ok((sinks == applications && linked).then_some(()))
        });
        found.with_context(|| format!("last: {last}"))
    }

    fn presets(&mut self) -> anyhow::Result<()> {
        let mut recorders = Vec::new();
        for name in APPLICATIONS {
            recorders.push(self.graph.recorder(self.products, name, 2)?);
        }
        let [recorder, meter, tuner] = APPLICATIONS;
        wait::until("an application that the agent knows", SOON, || {
            Ok(self.ask(&["connect", ALIAS, recorder]).ok())
        })?;
        self.told("the route", |event| event["event"] == "connected")?;
        self.heard_by(&[recorder])?;
        self.ask(&["preset", "save", "Sunday"])?;
        let roles = wait::until("the preset", SOON, || {
            Ok(self.ask(&["preset", "list"])?["presets"]["Sunday"].as_object().cloned())
        })?;
        ensure!(roles.len() == 2, "the roles are {roles:?}");
        let role = roles.keys().find(|role| role.as_str() == recorder).context("a role called as its end")?;
        let other = |application: &str| format!("{role}={application}");

        self.ask(&["preset", "load", "Sunday", "--role", &other(meter)])?;
        self.heard_by(&[meter, recorder])?;
        let plan =
            self.ask(&["preset", "load", "Sunday", "--exactly", "--role", &other(tuner), "--dry-run"])?;
        ensure!(plan["plan"].as_array().is_some_and(|plan| !plan.is_empty()), "{plan}");
        self.heard_by(&[meter, recorder])?;
        self.ask(&["preset", "load", "Sunday", "--exactly", "--role", &other(tuner)])?;
        self.heard_by(&[tuner])?;
        self.told("the end of a route", |event| event["event"] == "removed")?;

        // The same on the bus, and what it keeps until it is confirmed.
        let stream = self.listed(&["list", "streams"], "streams", ALIAS)?.context("the stream")?;
        let (id, sent) = (stream["id"].as_str().context("an id")?, format!("{{'{role}': '{meter}'}}"));
        let can = self.call("Manager.CanConnect", "", &[id, meter, "{}"])?;
        ensure!(can.starts_with("(true, "), "CanConnect says {can}");
        let cannot = self.call("Manager.CanConnect", "", &[id, id, "{}"])?;
        ensure!(cannot.starts_with("(false, "), "CanConnect of a stream into itself says {cannot}");
        let exactly = "{'exactly': <true>}";

        let (keeper, _) = self.checkpoint()?;
        self.call("Manager.ApplyPreset", "", &["Sunday", &sent, exactly])?;
        self.heard_by(&[meter])?;
        drop(keeper); // who made the checkpoint leaves the bus
        self.heard_by(&[tuner])?;

        let (_keeper, path) = self.checkpoint()?;
        self.call("Manager.ApplyPreset", "", &["Sunday", &sent, "{}"])?;
        self.heard_by(&[meter, tuner])?;
        self.call("Checkpoint.Rollback", &path, &[])?;
        self.heard_by(&[tuner])?;

        let (mut keeper, path) = self.checkpoint()?;
        self.call("Manager.ApplyPreset", "", &["Sunday", &sent, exactly])?;
        self.call("Checkpoint.Confirm", &path, &[])?;
        writeln!(keeper.stdin().context("a piped input")?, "leave")?;
        keeper.succeeds(SOON)?;
        self.heard_by(&[meter])?;

        self.ask(&["connect", ALIAS, tuner])?;
        self.heard_by(&[meter, tuner])?;
        self.waits_visibly(tuner, "degraded", "No packet comes")?; // nobody sends the stream
        drop(recorders.pop()); // the tuner
        self.waits_visibly(tuner, "offline", "")
    }

    /// Who waits at a terminal for audio that does not come sees that something happens, and why nothing is heard.
    fn waits_visibly(&self, application: &str, state: &str, why: &str) -> anyhow::Result<()> {
        wait::until(&format!("the route being {state}"), SOON, || {
            let routes = self.ask(&["routes"])?;
            let routes = routes["routes"].as_array().context("a list")?;
            let is_so = |route: &Value| route["sink"] == application && route["state"] == state;
            Ok(routes.iter().any(is_so).then_some(()))
        })?;
        let program = self.products.program("wireloom");
        let command = format!("{} connect '{ALIAS}' {application} --wait 1", program.display());
        let mut terminal = self.computer.command("script");
        let output = terminal.args(["-qec", &command, "/dev/null"]).env("TERM", "xterm").output()?;
        let shown = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.code() == Some(124), "{}: {shown}", output.status);
        ensure!(
            shown.contains("Waiting for audio") && shown.contains(state) && shown.contains(why),
            "a terminal shows {shown:?}"
        );
        Ok(())
    }

    /// A client that has made a checkpoint, and which.
    fn checkpoint(&self) -> anyhow::Result<(Process, String)> {
        let mut keeper = self.computer.spawn("/usr/bin/python3", ["-c", KEEPER])?;
        keeper.says("/checkpoint/", SOON)?;
        let path = keeper.log().trim().to_owned();
        Ok((keeper, path))
    }

    /// `gdbus` calls a method of the object below the root with this path.
    fn call(&self, method: &str, path: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let method = format!("{NAME}.{method}");
        let path = if path.is_empty() { "/org/wireloom/Wireloom1" } else { path };
        let place = ["call", "--session", "--dest", NAME, "--object-path", path];
        self.computer.run("gdbus", [&place[..], &["--method", &method], arguments].concat())
    }

    /// The agent is killed, and started again by the next question, but by none of `wireloom watch`; answers how many
    /// lines there are.
    fn agent_dies(&mut self) -> anyhow::Result<usize> {
        self.agent.kill()?;
        self.told("the end of the agent", |event| event["event"] == "agent" && event["state"] == "gone")?;
        std::thread::sleep(UNASKED);
        let owner = self.call_bus("NameHasOwner")?;
        ensure!(owner.starts_with("(false,"), "an agent runs that nobody asked for: {owner}");
        self.ask(&["stream", "rename", ALIAS, "Right"])?;
        self.told("what the next agent says", |event| event["name"] == "Right")?;
        // Once gone, and in the end running again.
        wait::until("wireloom watch telling of the next agent", SOON, || {
            let events = self.events()?;
            let of_agent = events.iter().filter(|event| event["event"] == "agent");
            let states: Vec<_> = of_agent.filter_map(|event| event["state"].as_str()).collect();
            let gone = states.iter().filter(|state| **state == "gone").count();
            ensure!(gone == 1, "the agent was told to be {states:?}");
            Ok((states.last() == Some(&"running")).then_some(events.len()))
        })
    }

    /// What the bus says of the agent's name.
    fn call_bus(&self, method: &str) -> anyhow::Result<String> {
        let method = format!("org.freedesktop.DBus.{method}");
        let place = ["call", "--session", "--dest", "org.freedesktop.DBus", "--object-path", "/", "--method"];
        self.computer.run("gdbus", [&place[..], &[&method, NAME]].concat())
    }
}
