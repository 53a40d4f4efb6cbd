use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use wireloom_clock_page::LineState;

use crate::agent::Agent;
use crate::clock::Clock;
use crate::comparison::{Comparison, describe};
use crate::host::Host;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::{GraphNode, PipeWire, PipeWireOptions, Recorder};
use crate::process::Process;
use crate::products::Products;
use crate::scene;
use crate::screen::{Block, Screen};
use crate::studio::Studio;
use crate::timer::BareTimer;
use crate::wait::{self, SOON};

/// Frames that must be without any gap: a second, and what passes until both links are made.
const FRAMES: u64 = 72_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 5;
/// Latency class: forty milliseconds, because windows are drawn beside it.
const LATENCY: u32 = 1920;
/// A stall that may empty that.
const STALL: std::time::Duration = std::time::Duration::from_millis(20);
/// How often a mouse may miss.
const DRAGS: usize = 4;
/// How people see the network's node.
const STAGE: &str = "Stage";
/// How people see the application.
const RECORDER: &str = "recorder";

/// Whoever draws a link from a stream of the network to an application starts its sound, and whoever removes it leaves
/// the group: `pw-link`, a JACK client, qpwgraph by its own window, and a client of D-Bus.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, computer) = (studio.host("stage")?, studio.host("computer")?);
    let mut scene = Scene::new(&stage, &computer, products)?;
    let mut remarks = Vec::new();

    let pairs = |scene: &Scene<'_>, recorder: &GraphNode| -> Vec<[String; 2]> {
        let outputs = scene.node.outputs.iter().map(|(id, _)| id.to_string());
        outputs.zip(recorder.inputs.iter().map(|(id, _)| id.to_string())).map(|(a, b)| [a, b]).collect()
    };
    remarks.push(scene.patch("pw-link", |scene, recorder, wanted| {
        for [output, input] in pairs(scene, recorder) {
            let remove: &[&str] = if wanted { &[] } else { &["-d"] };
            scene.computer.run("pw-link", [remove, &[&output, &input]].concat())?;
        }
        Ok(())
    })?);
    remarks.push(scene.patch("JACK", |scene, _, wanted| {
        let ports = scene.computer.run("pw-jack", ["jack_lsp"])?;
        let of = |client: &str| -> Vec<String> {
            let prefix = format!("{client}:");
            ports.lines().filter(|port| port.starts_with(&prefix)).map(str::to_owned).collect()
        };
        let (outputs, inputs) = (of(STAGE), of(RECORDER));
        ensure!((outputs.len(), inputs.len()) == (2, 2), "JACK sees the ports {ports:?}");
        for (output, input) in outputs.iter().zip(&inputs) {
            let tool = if wanted { "jack_connect" } else { "jack_disconnect" };
            scene.computer.run("pw-jack", [tool, output, input])?;
        }
        Ok(())
    })?);
    let mut window = Window::qpwgraph(&computer, products)?;
    remarks.push(scene.patch("qpwgraph", |scene, _, wanted| window.patch(scene, wanted))?);
    drop(window);
    let mut bus = Bus::start(&computer, products, &scene.stream.description(stage.address()))?;
    remarks.push(scene.patch("D-Bus", |_, _, wanted| bus.patch(wanted))?);
    Ok(remarks.join(", "))
}

/// `gdbus` as a client of the agent, which has been given the description of a stream.
struct Bus<'a> {
    host: &'a Host,
    agent: Agent,
    /// Without a clock of the network streams are resampled, and no sample is exact.
    _clock: Clock,
    stream: String,
    route: Option<String>,
}

impl<'a> Bus<'a> {
    fn start(host: &'a Host, products: &Products, description: &str) -> anyhow::Result<Self> {
        let mut clock = Clock::leader(host, products, 0, 100, 0.0)?;
        clock.wait_for(LineState::Leader, SOON)?;
        let agent = Agent::start(host, products, &format!("latency-frames = {LATENCY}\n"))?;
        let mut bus = Self { host, agent, _clock: clock, stream: String::new(), route: None };
        let streams = bus.call("AddSdp", &[&format!("{description:?}"), "{}"])?;
        bus.stream = object_path(&streams)?;
        Ok(bus)
    }

    fn call(&self, method: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let method = format!("org.wireloom.Wireloom1.Manager.{method}");
        let place = ["call", "--session", "--dest", "org.wireloom.Wireloom1", "--object-path"];
        let whole = ["/org/wireloom/Wireloom1", "--method", &method];
        self.host.run("gdbus", [&place[..], &whole, arguments].concat())
    }

    /// Wishes for the route to the recorder, or withdraws the wish.
    fn patch(&mut self, wanted: bool) -> anyhow::Result<()> {
        if wanted {
            let answer = wait::until("an application that the agent knows", SOON, || {
                self.agent.process.is_alive()?;
                Ok(self.call("Connect", &[&self.stream, RECORDER, "[]", "{}"]).ok())
            })?;
            self.route = Some(object_path(&answer)?);
            return Ok(());
        }
        let route = self.route.take().context("the route was wished for")?;
        self.call("Disconnect", &[&route, "[]", "{}"]).map(drop)
    }
}

/// The first object path in an answer that `gdbus` prints.
fn object_path(answer: &str) -> anyhow::Result<String> {
    let path = answer.split('\'').find(|part| part.starts_with("/org/wireloom/"));
    path.map(str::to_owned).with_context(|| format!("no object in {answer:?}"))
}

/// The same by the window of Helvum, which is built from its crate first.
pub fn helvum(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, computer) = (studio.host("stage")?, studio.host("computer")?);
    let mut scene = Scene::new(&stage, &computer, products)?;
    let mut window = Window::helvum(&computer, products)?;
    scene.patch("Helvum", |scene, _, wanted| window.patch(scene, wanted))
}

/// Where both windows show nothing.
const NOTHING: (i32, i32) = (720, 540);
/// Their titles, menus and buttons end above.
const TITLE: usize = 60;

struct Scene<'a> {
    graph: PipeWire<'a>,
    computer: &'a Host,
    products: &'a Products,
    stream: RtpStream,
    node: GraphNode,
    _sender: Process,
}

impl<'a> Scene<'a> {
    /// A stream of GStreamer, and its node.
    fn new(stage: &Host, computer: &'a Host, products: &'a Products) -> anyhow::Result<Self> {
        let stream = RtpStream::standard(1, 2);
        let node = scene::receive_node(&stream, STAGE, LATENCY);
        let nodes = BTreeMap::from([("lab.tx".to_owned(), node)]);
        let mut graph = scene::start_module(computer, products, &nodes, PipeWireOptions::default())?;
        let node = graph.wait_for_node("wireloom.lab.tx", 2, 0, SOON)?;
        let sender = gstreamer::sender(stage, &stream)?;
        Ok(Self { graph, computer, products, stream, node, _sender: sender })
    }

    /// Lets `patch` link the stream to a recorder and unlink it, and looks at what that does.
    fn patch(
        &mut self,
        name: &str,
        mut patch: impl FnMut(&Self, &GraphNode, bool) -> anyhow::Result<()>,
    ) -> anyhow::Result<String> {
        for _ in 0..TRIES {
            let mut recorder = self.graph.recorder(self.products, RECORDER, 2)?;
            ensure!(!self.is_member()?, "the group is joined before anybody linked");
            let timer = BareTimer::start()?;
            patch(self, &recorder.node.clone(), true).with_context(|| format!("linking by {name}"))?;
            let linked = self.heard(&mut recorder)?;
            ensure!(self.is_member()?, "the group is not joined while sound comes");
            patch(self, &recorder.node.clone(), false).with_context(|| format!("unlinking by {name}"))?;
            wait::until("leaving the group", SOON, || Ok((!self.is_member()?).then_some(())))?;
            let mut recording = recorder.finish()?;
            // The two links are not removed in one moment: from then on one channel is silent before the other.
            recording.truncate(usize::try_from(linked)?);
            let code = self.stream.code();
            let found = Comparison::new(&code, &recording).with_context(|| describe(&code, &recording))?;
            ensure!(found.wrong == 0 && found.slips.is_empty(), "{name}: {found}");
            if found.is_exact(FRAMES) {
                return Ok(format!("{} samples by {name}", found.matched));
            }
            ensure!(timer.worst() > STALL, "{name}: a run that nothing disturbed: {found}");
        }
        bail!("the machine disturbed all of {TRIES} runs; there is nothing to judge by")
    }

    /// Waits for enough frames beyond now.
    fn heard(&self, recorder: &mut Recorder) -> anyhow::Result<u64> {
        let enough = recorder.frames()? + FRAMES + LEAD_IN;
        recorder.record(enough, |_| {})?;
        Ok(enough)
    }

    fn is_member(&self) -> anyhow::Result<bool> {
        let groups = self.computer.run("ip", ["-4", "maddress", "show", "dev", "eth0"])?;
        Ok(groups.contains(&self.stream.address.to_string()))
    }

    /// How many links there are between the two.
    fn links(&self) -> anyhow::Result<usize> {
        let dump = self.graph.dump()?;
        let links = dump.as_array().into_iter().flatten().filter(|object| {
            object["type"] == "PipeWire:Interface:Link" && object["info"]["output-node-id"] == self.node.id
        });
        Ok(links.count())
    }
}

/// Frames until a joined stream is heard: it learns its offset from 200 packets, and GStreamer, which was just started,
/// takes a while until it sends any.
const LEAD_IN: u64 = 96_000;

/// A patchbay with a window.
struct Window<'a> {
    screen: Screen<'a>,
    program: Process,
    picture: PathBuf,
    is_port: fn([u8; 3]) -> bool,
    /// Whether dragging once more removes a link.
    drag_removes: bool,
    /// Source and recorder, while links hide where they are.
    nodes: Option<[Block; 2]>,
}

impl<'a> Window<'a> {
    /// Its nodes are where a user left them: it keeps their places in its settings.
    fn qpwgraph(host: &'a Host, products: &Products) -> anyhow::Result<Self> {
        let folder = host.directory().join("home/.config/rncbc.org");
        std::fs::create_dir_all(&folder)?;
        let place = |x: f64, y: f64| {
            let bytes = [&[0, 0, 0, 0x1a][..], &x.to_be_bytes(), &y.to_be_bytes()].concat(); // a QPointF
            bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>()
        };
        let settings = format!(
            "[GraphNodePos]\n{STAGE}=@Variant({})\n{RECORDER}=@Variant({})\n",
            place(-150.0, -150.0),
            place(100.0, 100.0)
        );
        std::fs::write(folder.join("qpwgraph.conf"), settings)?;
        let screen = Screen::start(host)?;
        let program = host.start("qpwgraph", screen.command("qpwgraph"))?;
        let is_port = |[r, g, b]: [u8; 3]| g > 80 && r < 60 && b < 60;
        let picture = products.folder().join("../lab/qpwgraph.png");
        Ok(Self { screen, program, picture, is_port, drag_removes: false, nodes: None })
    }

    /// It puts sources to the left and sinks to the right.
    fn helvum(host: &'a Host, products: &Products) -> anyhow::Result<Self> {
        let screen = Screen::start(host)?;
        let program = host.start("helvum", screen.command(products.tool(super::HELVUM)))?;
        // Blue is audio by its class; nodes without a class, as ours, have grey ports in this version.
        let is_port =
            |[r, g, b]: [u8; 3]| b > 200 && r < 90 && g < 140 || (54..=62).contains(&r) && r == g && g == b;
        let picture = products.folder().join("../lab/helvum.png");
        Ok(Self { screen, program, picture, is_port, drag_removes: true, nodes: None })
    }

    /// Makes both links, or removes them.
    fn patch(&mut self, scene: &Scene<'_>, wanted: bool) -> anyhow::Result<()> {
        if wanted {
            self.nodes = Some(self.find_nodes()?);
        }
        if wanted || self.drag_removes {
            for port in 0..2 {
                self.drag(scene, port, if wanted { port + 1 } else { 1 - port })?;
            }
        } else {
            self.disconnect_all(scene)?;
        }
        if wanted {
            self.screen.keep(&self.picture)?;
        }
        Ok(())
    }

    /// Drags from one port to the other until there are so many links.
    fn drag(&mut self, scene: &Scene<'_>, port: usize, links: usize) -> anyhow::Result<()> {
        for _ in 0..DRAGS {
            let [source, sink] = self.nodes.context("the nodes were found before links were drawn")?;
            self.screen.drag(source.row(port, 2), sink.row(port, 2))?;
            let drawn = wait::until("a link", SOON / 5, || Ok((scene.links()? == links).then_some(())));
            self.program.is_alive()?;
            if drawn.is_ok() {
                return Ok(());
            }
        }
        self.screen.keep(&self.picture)?;
        bail!("{DRAGS} drags made no {links} links, but {}; see {}", scene.links()?, self.picture.display())
    }

    /// Selects everything by the menu and presses the button.
    fn disconnect_all(&mut self, scene: &Scene<'_>) -> anyhow::Result<()> {
        let (edit_menu, disconnect_button) = ((141, 9), (168, 38));
        for _ in 0..DRAGS {
            self.screen.click(edit_menu)?;
            self.screen.key("a")?;
            self.screen.click(disconnect_button)?;
            if wait::until("no link", SOON / 5, || Ok((scene.links()? == 0).then_some(()))).is_ok() {
                return Ok(());
            }
        }
        self.screen.keep(&self.picture)?;
        bail!("the button removed nothing; see {}", self.picture.display())
    }

    /// Where the ports of the two nodes are.
    fn find_nodes(&mut self) -> anyhow::Result<[Block; 2]> {
        self.screen.click(NOTHING)?; // what is selected has another colour
        let mut seen = Vec::new();
        let found = wait::until("two nodes with ports in the window", SOON, || {
            self.program.is_alive()?;
            let mut blocks = self.screen.picture()?.blocks(self.is_port);
            blocks.retain(|block| block.top > TITLE);
            // Windows grow and move at first: what stays is looked at.
            let stays = seen == blocks;
            seen = blocks;
            Ok(if stays { <[Block; 2]>::try_from(seen.as_slice()).ok() } else { None })
        });
        if found.is_err() {
            self.screen.keep(&self.picture)?;
        }
        found.with_context(|| format!("seen: {seen:?}, {}", self.picture.display()))
    }
}
