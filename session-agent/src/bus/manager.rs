use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::Fault;
use tokio::sync::watch;
use zbus::object_server::SignalEmitter;
use zbus::{OwnedObjectPath, OwnedVariant, Str, interface};

use super::route_options::{connections_of, map_of};
use super::{object_path, options::Options};
use crate::clock_service::{ClockService, Denied};
use crate::request::{Ask, Connection, Core, Flavour, NewStream, Possible, RouteAsk, Setting};
use crate::settings;
use crate::view::{ManagerView, World};

/// Serves `org.wireloom.Wireloom1.Manager`.
pub struct Manager {
    pub view: Arc<ManagerView>,
    pub core: Core,
    pub clock: ClockService,
    /// The newest world, in which is what the core has answered.
    pub worlds: watch::Receiver<Arc<World>>,
}

impl Manager {
    async fn set(&self, setting: Setting) -> Result<(), Fault> {
        self.core.ask(Ask::Set(setting)).await?;
        Ok(())
    }

    /// Asks for what changes the presets, and shows them before the call returns.
    async fn change_presets(&mut self, ask: RouteAsk, emitter: &SignalEmitter<'_>) -> Result<(), Fault> {
        self.core.ask(Ask::Route(ask)).await?;
        let presets = self.worlds.borrow().manager.presets.clone();
        if self.view.presets != presets {
            self.edit().presets = presets;
            let _ = self.presets_changed(emitter).await; // a bus that is gone is noticed elsewhere
        }
        Ok(())
    }

    /// Asks about routes; paths of routes and an empty plan, or no paths and the plan of a dry run.
    async fn route(
        &self,
        ask: RouteAsk,
        dry_run: bool,
    ) -> Result<(Vec<OwnedObjectPath>, Vec<String>), Fault> {
        if dry_run {
            return Ok((Vec::new(), self.core.ask(Ask::Route(ask)).await?));
        }
        let ids = self.core.ask_visible(Ask::Route(ask)).await?;
        Ok((ids.iter().map(|id| object_path("route", id)).collect(), Vec::new()))
    }

    fn edit(&mut self) -> &mut ManagerView {
        Arc::make_mut(&mut self.view)
    }
}

// A setter changes the view itself once the core has agreed: the signal that follows at once shows the new value.
#[interface(name = "org.wireloom.Wireloom1.Manager", introspection_docs = false)]
impl Manager {
    #[zbus(out_args("stream"))]
    async fn create_stream(
        &self,
        name: String,
        channels: u32,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<OwnedObjectPath, Fault> {
        let mut options = Options::new(options);
        let address = match options.take::<String>("address")?.as_deref() {
            None | Some("auto") => None,
            Some(text) => Some(text.parse::<Ipv4Addr>().map_err(|_| {
                Fault::invalid_args(format!("\"{text}\" is neither \"auto\" nor an IPv4 address"))
            })?),
        };
        let dante = options.flag("dante")?;
        let flavour = match options.take::<String>("flavour")?.as_deref() {
            None if dante => Flavour::Dante,
            None => Flavour::Aes67,
            Some(word) => Flavour::parse(word)
                .filter(|flavour| !dante || *flavour == Flavour::Dante)
                .ok_or_else(|| {
                    let also = if dante { ", and dante with \"dante\"" } else { "" };
                    Fault::invalid_args(format!(
                        "flavour is aes67, dante, ravenna, st2110 or oat{also}, not {word:?}"
                    ))
                })?,
        };
        let new = NewStream {
            name,
            channels,
            address,
            port: options.take("port")?.unwrap_or(flavour.port()),
            labels: options.take("labels")?,
            encoding: options.take("encoding")?.unwrap_or_else(|| "L24".to_owned()),
            rate: options.take("rate")?.unwrap_or(48_000),
            packet_frames: options.take("packet-frames")?,
            ttl: options.take("ttl")?.unwrap_or(flavour.ttl()),
            dscp: options.take("dscp")?.unwrap_or(34),
            flavour,
            interface: options.take("interface")?,
            dry_run: options.flag("dry-run")?,
        };
        options.finish()?;
        let ids = self.core.ask_visible(Ask::Create(new)).await?;
        Ok(object_path("stream", ids.first().map_or("", String::as_str)))
    }

    #[zbus(out_args("streams"))]
    async fn add_sdp(
        &self,
        text: String,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<Vec<OwnedObjectPath>, Fault> {
        let mut options = Options::new(options);
        let dry_run = options.flag("dry-run")?;
        options.finish()?;
        let ids = self.core.ask_visible(Ask::AddSdp { text, dry_run }).await?;
        Ok(ids.iter().map(|id| object_path("stream", id)).collect())
    }

    #[zbus(out_args("job"))]
    async fn discover(&self, options: HashMap<String, OwnedVariant>) -> Result<OwnedObjectPath, Fault> {
        let mut options = Options::new(options);
        let timeout_ms = options.take("timeout-ms")?.unwrap_or(35_000);
        options.finish()?;
        let ids = self.core.ask_visible(Ask::Discover { timeout_ms }).await?;
        Ok(object_path("job", ids.first().map_or("", String::as_str)))
    }

    #[zbus(out_args("route", "plan"))]
    async fn connect(
        &self,
        source: String,
        sink: String,
        map: Vec<HashMap<String, OwnedVariant>>,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<(OwnedObjectPath, Vec<String>), Fault> {
        let mut options = Options::new(options);
        let dry_run = options.flag("dry-run")?;
        options.finish()?;
        let connections = vec![Connection { source, sink, map: map_of(map)? }];
        let (routes, plan) = self.route(RouteAsk::Connect { connections, dry_run }, dry_run).await?;
        Ok((routes.into_iter().next().unwrap_or_else(|| object_path("route", "")), plan))
    }

    #[zbus(out_args("routes", "plan"))]
    async fn connect_many(
        &self,
        connections: Vec<HashMap<String, OwnedVariant>>,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<(Vec<OwnedObjectPath>, Vec<String>), Fault> {
        let mut options = Options::new(options);
        let dry_run = options.flag("dry-run")?;
        options.finish()?;
        let connections = connections_of(connections)?;
        self.route(RouteAsk::Connect { connections, dry_run }, dry_run).await
    }

    #[zbus(out_args("plan"))]
    async fn disconnect(
        &self,
        route: OwnedObjectPath,
        map: Vec<HashMap<String, OwnedVariant>>,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<Vec<String>, Fault> {
        let mut options = Options::new(options);
        let dry_run = options.flag("dry-run")?;
        options.finish()?;
        let channels = map_of(map)?;
        let ask = RouteAsk::Disconnect { route: route.to_string(), channels, dry_run };
        Ok(self.route(ask, dry_run).await?.1)
    }

    #[zbus(out_args("possible", "reason", "details"))]
    async fn can_connect(
        &self,
        source: String,
        sink: String,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<(bool, String, HashMap<String, OwnedVariant>), Fault> {
        let mut options = Options::new(options);
        let map = map_of(options.take("map")?.unwrap_or_default())?;
        options.finish()?;
        let ask = RouteAsk::CanConnect(Connection { source, sink, map });
        let answer = Possible::from_words(self.core.ask(Ask::Route(ask)).await?);
        let text = |text: String| OwnedVariant::from(Str::from(text));
        let mut details = HashMap::from([
            ("way".to_owned(), text(answer.way)),
            ("text".to_owned(), text(answer.text)),
            ("added-latency-ns".to_owned(), answer.added_latency_ns.into()),
        ]);
        if !answer.token.is_empty() {
            details.insert("token".to_owned(), text(answer.token));
        }
        Ok((answer.possible, answer.reason, details))
    }

    async fn save_preset(
        &mut self,
        name: String,
        options: HashMap<String, OwnedVariant>,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<(), Fault> {
        Options::new(options).finish()?;
        self.change_presets(RouteAsk::SavePreset { name }, &emitter).await
    }

    #[zbus(out_args("routes", "plan"))]
    async fn apply_preset(
        &self,
        name: String,
        roles: HashMap<String, String>,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<(Vec<OwnedObjectPath>, Vec<String>), Fault> {
        let mut options = Options::new(options);
        let (exactly, dry_run) = (options.flag("exactly")?, options.flag("dry-run")?);
        options.finish()?;
        let roles = roles.into_iter().collect();
        self.route(RouteAsk::ApplyPreset { name, roles, exactly, dry_run }, dry_run).await
    }

    async fn remove_preset(
        &mut self,
        name: String,
        options: HashMap<String, OwnedVariant>,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<(), Fault> {
        Options::new(options).finish()?;
        self.change_presets(RouteAsk::RemovePreset { name }, &emitter).await
    }

    #[zbus(out_args("checkpoint"))]
    async fn create_checkpoint(
        &self,
        timeout: u32,
        options: HashMap<String, OwnedVariant>,
        #[zbus(header)] header: zbus::message::Header<'_>,
    ) -> Result<OwnedObjectPath, Fault> {
        Options::new(options).finish()?;
        let client = header.sender().map(ToString::to_string).unwrap_or_default();
        let ask = RouteAsk::CreateCheckpoint { client, timeout_s: timeout };
        let ids = self.core.ask_visible(Ask::Route(ask)).await?;
        Ok(object_path("checkpoint", ids.first().map_or("", String::as_str)))
    }

    async fn set_clock(&self, settings: HashMap<String, OwnedVariant>) -> Result<(), Fault> {
        if self.view.condition.state == "in-use" {
            let text = "another session of this computer is active on the network";
            return Err(Fault::Ours(wireloom_dbus::Error::NotReady(text.to_owned())));
        }
        let mut settings = Options::new(settings);
        let reset = settings.flag("reset")?;
        let mut changes = serde_json::Map::new();
        let mut change = |key: &str, value: Option<serde_json::Value>| {
            changes.extend(value.map(|value| (key.to_owned(), value)));
        };
        change("interfaces", settings.take::<Vec<String>>("interfaces")?.map(Into::into));
        change("domain", settings.take::<u32>("domain")?.map(Into::into));
        change("lead", settings.take::<String>("lead")?.map(Into::into));
        change("preferred", settings.take::<bool>("preferred")?.map(Into::into));
        settings.finish()?;
        if reset != changes.is_empty() {
            return Err(Fault::invalid_args("either \"reset\" alone, or what is to be changed"));
        }
        let changed = self.clock.change((!reset).then_some(changes)).await;
        changed.map_err(|denied| match denied {
            Denied::Absent(text) => Fault::Ours(wireloom_dbus::Error::NotReady(text)),
            Denied::Forbidden(text) => Fault::Standard(zbus::fdo::Error::AccessDenied(text)),
            Denied::Invalid(text) => Fault::invalid_args(text),
        })
    }

    #[zbus(out_args("json"))]
    fn describe(&self) -> String {
        let mut json = serde_json::to_value(&*self.view).unwrap_or_default();
        if let Some(object) = json.as_object_mut() {
            object.insert("schema".to_owned(), 1.into());
            object.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
            object.insert("settings".to_owned(), settings::description());
        }
        json.to_string()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    #[zbus(property)]
    fn state(&self) -> &str {
        self.view.condition.state
    }

    #[zbus(property)]
    fn state_reason(&self) -> &str {
        self.view.condition.reason
    }

    #[zbus(property)]
    fn state_text(&self) -> &str {
        &self.view.condition.text
    }

    #[zbus(property)]
    fn state_since(&self) -> u64 {
        self.view.condition.since_us
    }

    #[zbus(property)]
    fn network_interfaces(&self) -> Vec<String> {
        self.view.network_interfaces.clone()
    }

    #[zbus(property)]
    async fn set_network_interfaces(&mut self, names: Vec<String>) -> Result<(), Fault> {
        // The interfaces say at once whether they are used: they wait for nothing of the Manager.
        self.core.ask_visible(Ask::Set(Setting::NetworkInterfaces(names.clone()))).await?;
        self.edit().network_interfaces = names;
        Ok(())
    }

    #[zbus(property)]
    fn node_limit(&self) -> u32 {
        self.view.node_limit
    }

    #[zbus(property)]
    async fn set_node_limit(&mut self, limit: u32) -> Result<(), Fault> {
        self.set(Setting::NodeLimit(limit)).await?;
        self.edit().node_limit = limit;
        Ok(())
    }

    #[zbus(property)]
    fn show(&self) -> &str {
        self.view.show
    }

    #[zbus(property)]
    async fn set_show(&mut self, policy: String) -> Result<(), Fault> {
        self.set(Setting::Show(policy.clone())).await?;
        self.edit().show = settings::Show::parse(&policy).map_or("auto", settings::Show::word);
        Ok(())
    }

    #[zbus(property)]
    fn latency_frames(&self) -> u32 {
        self.view.latency_frames
    }

    #[zbus(property)]
    async fn set_latency_frames(&mut self, frames: u32) -> Result<(), Fault> {
        self.set(Setting::LatencyFrames(frames)).await?;
        self.edit().latency_frames = frames;
        Ok(())
    }

    #[zbus(property)]
    fn address_pool(&self) -> &str {
        &self.view.address_pool
    }

    #[zbus(property)]
    async fn set_address_pool(&mut self, prefix: String) -> Result<(), Fault> {
        self.set(Setting::AddressPool(prefix.clone())).await?;
        self.edit().address_pool = prefix;
        Ok(())
    }

    #[zbus(property)]
    fn stream_count(&self) -> u32 {
        self.view.stream_count
    }

    #[zbus(property)]
    fn shown_count(&self) -> u32 {
        self.view.shown_count
    }

    #[zbus(property)]
    fn presets(&self) -> HashMap<String, HashMap<String, String>> {
        let roles = |roles: &std::collections::BTreeMap<String, String>| roles.clone().into_iter().collect();
        self.view.presets.iter().map(|(name, had)| (name.clone(), roles(had))).collect()
    }

    #[zbus(property)]
    fn active_clock(&self) -> OwnedObjectPath {
        object_path("clock", self.view.active_clock.as_deref().unwrap_or_default())
    }

    #[zbus(property)]
    fn clock_service_text(&self) -> &str {
        &self.view.clock_service_text
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn announcement_counters(&self) -> HashMap<String, u64> {
        self.view.counters.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }
}
