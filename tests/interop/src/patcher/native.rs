use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Read;
use std::rc::Rc;

use anyhow::Context;
use pipewire::context::ContextRc;
use pipewire::core::CoreRc;
use pipewire::link::{Link, LinkListener, LinkState};
use pipewire::main_loop::MainLoopRc;
use pipewire::properties::{PropertiesBox, properties};
use pipewire::proxy::ProxyT;
use pipewire::registry::{GlobalObject, Listener, RegistryRc};
use pipewire::spa::utils::dict::DictRef;
use pipewire::types::ObjectType;

/// A client of PipeWire.
pub struct Program {
    /// Its loop.
    pub main_loop: MainLoopRc,
    /// Its connection.
    pub core: CoreRc,
}

impl Program {
    /// Connects.
    pub fn new() -> anyhow::Result<Self> {
        Self::with(None)
    }

    /// The same with properties of its own.
    fn with(properties: Option<PropertiesBox>) -> anyhow::Result<Self> {
        pipewire::init();
        let main_loop = MainLoopRc::new(None)?;
        let context = ContextRc::new(&main_loop, None)?;
        let core = context.connect_rc(properties).context("connecting to PipeWire")?;
        Ok(Self { main_loop, core })
    }

    /// Runs until everything that was asked so far has been answered.
    pub fn sync(&self) -> anyhow::Result<()> {
        let pending = self.core.sync(0)?;
        let (ended, main_loop) = (Rc::new(Cell::new(false)), self.main_loop.clone());
        let done = Rc::clone(&ended);
        let _listener = self
            .core
            .add_listener_local()
            .done(move |id, seq| {
                if id == pipewire::core::PW_ID_CORE && seq == pending {
                    done.set(true);
                    main_loop.quit();
                }
            })
            .register();
        while !ended.get() {
            self.main_loop.run();
        }
        Ok(())
    }

    /// Runs until the input ends.
    fn run_until_input_ends(&self) {
        let (sender, receiver) = pipewire::channel::channel::<()>();
        let main_loop = self.main_loop.clone();
        let _attached = receiver.attach(self.main_loop.loop_(), move |()| main_loop.quit());
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            let _ = sender.send(());
        });
        self.main_loop.run();
    }
}

/// Prints `client ID` when this program is told of itself.
fn say_own_client(registry: &RegistryRc) -> Listener {
    let own = std::process::id().to_string();
    registry
        .add_listener_local()
        .global(move |global| {
            let pid = |props: &&DictRef| props.get("pipewire.sec.pid") == Some(&own);
            if global.type_ == ObjectType::Client && global.props.as_ref().is_some_and(|p| pid(&&**p)) {
                println!("client {}", global.id);
            }
        })
        .register()
}

/// Draws a link.
pub fn link(output: u32, input: u32, linger: bool) -> anyhow::Result<()> {
    let program = Program::new()?;
    let registry = program.core.get_registry_rc()?;
    let _clients = say_own_client(&registry);
    program.sync()?;
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let props = properties! {
        "link.output.port" => output.to_string(),
        "link.input.port" => input.to_string(),
        "object.linger" => if linger { "true" } else { "false" },
    };
    let link: Link = program.core.create_object("link-factory", &props)?;
    let _states =
        link.add_listener_local().info(|info| println!("state {}", state(&info.state()))).register();
    let _life = link
        .upcast_ref()
        .add_listener_local()
        .error(|_, code, text| println!("error {code} {text}"))
        .removed(|| println!("removed"))
        .register();
    program.run_until_input_ends();
    Ok(())
}

/// Draws links that outlive the program, one right after the other. Errors: an output has no input.
pub fn link_all(ports: &[u32]) -> anyhow::Result<()> {
    let program = Program::new()?;
    let _errors = say_errors(&program.core);
    let (pairs, rest) = ports.as_chunks::<2>();
    anyhow::ensure!(rest.is_empty(), "{} ports are no pairs", ports.len());
    let mut links: Vec<Link> = Vec::new();
    for [output, input] in pairs {
        let props = properties! {
            "link.output.port" => output.to_string(),
            "link.input.port" => input.to_string(),
            "object.linger" => "true",
        };
        links.push(program.core.create_object("link-factory", &props)?);
    }
    program.sync()
}

/// Prints `error CODE TEXT` when PipeWire answers that it does not do what was asked.
fn say_errors(core: &CoreRc) -> pipewire::core::Listener {
    core.add_listener_local().error(|_, _, code, text| println!("error {code} {text}")).register()
}

/// Destroys objects, one right after the other.
pub fn destroy(ids: &[u32], asked: bool) -> anyhow::Result<()> {
    let program = Program::new()?;
    let registry = program.core.get_registry_rc()?;
    let _clients = say_own_client(&registry);
    let _errors = say_errors(&program.core);
    program.sync()?;
    if asked {
        println!("ready");
        std::io::stdin().read_line(&mut String::new())?;
        program.sync()?; // who has not seen the newest objects may not destroy them
    }
    for id in ids {
        registry.destroy_global(*id).into_result()?;
    }
    program.sync()
}

/// Destroys an object as the first thing that is asked, by a program that has no rights yet.
pub fn destroy_suspended(id: u32) -> anyhow::Result<()> {
    let program = Program::with(Some(properties! { "pipewire.client.access" => "restricted" }))?;
    let registry = program.core.get_registry_rc()?;
    let _errors = say_errors(&program.core);
    registry.destroy_global(id).into_result()?;
    program.sync()
}

/// Prints which links come and go.
pub fn watch(never: Option<(u32, u32)>) -> anyhow::Result<()> {
    let program = Program::new()?;
    let registry = program.core.get_registry_rc()?;
    let _clients = say_own_client(&registry);
    let _errors = say_errors(&program.core);
    let known: Rc<RefCell<BTreeMap<u32, (Link, LinkListener)>>> = Rc::default();
    let (seen, gone, weak) = (Rc::clone(&known), known, registry.downgrade());
    let _links = registry
        .add_listener_local()
        .global(move |global| {
            let (Some((output, input, relay)), Some(registry)) = (link_ends(global), weak.upgrade()) else {
                return;
            };
            println!("+{} {output} {input} {relay}", global.id);
            if never == Some((output, input)) {
                let _ = registry.destroy_global(global.id);
            }
            let (Ok(link), id) = (registry.bind::<Link, _>(global), global.id) else { return };
            let listener = link
                .add_listener_local()
                .info(move |info| println!("={id} {}", state(&info.state())))
                .register();
            seen.borrow_mut().insert(id, (link, listener));
        })
        .global_remove(move |id| {
            if gone.borrow_mut().remove(&id).is_some() {
                println!("-{id}");
            }
        })
        .register();
    program.sync()?;
    println!("ready");
    program.run_until_input_ends();
    Ok(())
}

/// A link's state in words; with an error, why.
fn state(state: &LinkState<'_>) -> String {
    match state {
        LinkState::Error(why) => format!("error {why}"),
        LinkState::Unlinked => "unlinked".to_owned(),
        LinkState::Init => "init".to_owned(),
        LinkState::Negotiating => "negotiating".to_owned(),
        LinkState::Allocating => "allocating".to_owned(),
        LinkState::Paused => "paused".to_owned(),
        LinkState::Active => "active".to_owned(),
    }
}

/// Output port, input port, and whether it is a relay, of a global that is a link.
fn link_ends(global: &GlobalObject<&DictRef>) -> Option<(u32, u32, bool)> {
    if global.type_ != ObjectType::Link {
        return None;
    }
    let props = global.props.as_ref()?;
    let port = |key: &str| props.get(key)?.parse().ok();
    Some((port("link.output.port")?, port("link.input.port")?, props.get("wireloom.relay") == Some("true")))
}
