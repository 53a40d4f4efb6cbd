use std::collections::HashMap;
use std::sync::Arc;

use super::Fault;
use zbus::{OwnedObjectPath, OwnedVariant, Str};

use super::{object_path, options::Options};
use crate::request::{Ask, Core, StreamSetting};
use crate::settings;
use crate::view::StreamView;

type Dictionary = HashMap<&'static str, OwnedVariant>;

/// Serves `org.wireloom.Wireloom1.Stream`.
pub struct Stream {
    pub view: Arc<StreamView>,
    pub core: Core,
}

impl Stream {
    async fn set(&self, setting: StreamSetting) -> Result<Vec<String>, Fault> {
        Ok(self.core.ask(Ask::SetStream { id: self.view.id.clone(), setting }).await?)
    }
}

#[zbus::interface(name = "org.wireloom.Wireloom1.Stream", introspection_docs = false)]
impl Stream {
    async fn remove(&self, options: HashMap<String, OwnedVariant>) -> Result<(), Fault> {
        let mut options = Options::new(options);
        let dry_run = options.flag("dry-run")?;
        options.finish()?;
        let ask = Ask::Remove { id: self.view.id.clone(), dry_run };
        if dry_run {
            self.core.ask(ask).await?
        } else {
            self.core.ask_visible(ask).await?
        };
        Ok(())
    }

    #[zbus(out_args("json"))]
    fn describe(&self) -> String {
        super::describe(&*self.view)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> &str {
        &self.view.id
    }

    #[zbus(property)]
    fn device(&self) -> OwnedObjectPath {
        object_path("device", &self.view.device)
    }

    #[zbus(property)]
    fn protocol(&self) -> &str {
        self.view.protocol
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn direction(&self) -> &str {
        self.view.direction
    }

    #[zbus(property)]
    fn origin(&self) -> &str {
        self.view.origin
    }

    #[zbus(property)]
    fn name(&self) -> &str {
        &self.view.name
    }

    #[zbus(property)]
    fn alias(&self) -> &str {
        &self.view.alias
    }

    #[zbus(property)]
    async fn set_alias(&mut self, alias: String) -> Result<(), Fault> {
        let answer = self.set(StreamSetting::Alias(alias)).await?;
        Arc::make_mut(&mut self.view).alias = answer.into_iter().next().unwrap_or_default();
        Ok(())
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
    fn shown(&self) -> bool {
        self.view.shown
    }

    #[zbus(property)]
    fn hidden_reason(&self) -> &str {
        self.view.hidden_reason
    }

    #[zbus(property)]
    fn pinned(&self) -> bool {
        self.view.pinned
    }

    #[zbus(property)]
    async fn set_pinned(&mut self, pinned: bool) -> Result<(), Fault> {
        self.set(StreamSetting::Pinned(pinned)).await?;
        Arc::make_mut(&mut self.view).pinned = pinned;
        Ok(())
    }

    #[zbus(property)]
    fn show(&self) -> &str {
        self.view.show
    }

    #[zbus(property)]
    async fn set_show(&mut self, policy: String) -> Result<(), Fault> {
        self.set(StreamSetting::Show(policy.clone())).await?;
        Arc::make_mut(&mut self.view).show =
            settings::Show::parse(&policy).map_or("default", settings::Show::word);
        Ok(())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn node_name(&self) -> &str {
        &self.view.node_name
    }

    #[zbus(property)]
    fn channels(&self) -> Vec<Dictionary> {
        self.view.channels.iter().map(|label| HashMap::from([("label", text(label))])).collect()
    }

    #[zbus(property)]
    fn encoding(&self) -> &str {
        self.view.encoding
    }

    #[zbus(property)]
    fn rate_hz(&self) -> u32 {
        self.view.rate_hz
    }

    #[zbus(property)]
    fn packet_frames(&self) -> u32 {
        self.view.packet_frames
    }

    #[zbus(property)]
    fn payload_type(&self) -> u8 {
        self.view.payload_type
    }

    #[zbus(property)]
    fn legs(&self) -> Vec<Dictionary> {
        let dictionary = |leg: &crate::view::LegView| {
            let mut fields = HashMap::from([("address", text(&leg.address)), ("port", leg.port.into())]);
            fields.extend(leg.source.as_deref().map(|source| ("source", text(source))));
            fields.extend(leg.interface.as_deref().map(|name| ("interface", text(name))));
            fields.extend(leg.ttl.map(|ttl| ("ttl", ttl.into())));
            fields
        };
        self.view.legs.iter().map(dictionary).collect()
    }

    #[zbus(property)]
    fn reference_clock(&self) -> &str {
        &self.view.reference_clock
    }

    #[zbus(property)]
    fn clock_relation(&self) -> &str {
        self.view.clock_relation
    }

    #[zbus(property)]
    fn clock_text(&self) -> &str {
        &self.view.clock_text
    }

    #[zbus(property)]
    fn media_offset(&self) -> i64 {
        self.view.media_offset.map_or(-1, i64::from)
    }

    #[zbus(property)]
    fn mode(&self) -> &str {
        self.view.mode
    }

    #[zbus(property)]
    fn latency_frames(&self) -> u32 {
        self.view.latency_frames
    }

    #[zbus(property)]
    fn links(&self) -> u32 {
        self.view.links
    }

    #[zbus(property)]
    fn heard_on(&self) -> Vec<String> {
        self.view.heard_on.clone()
    }

    #[zbus(property)]
    fn found_by(&self) -> Vec<String> {
        self.view.found_by.iter().map(|way| (*way).to_owned()).collect()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn last_heard(&self) -> u64 {
        self.view.last_heard_us
    }

    #[zbus(property)]
    fn warnings(&self) -> Vec<String> {
        self.view.warnings.clone()
    }

    #[zbus(property)]
    fn checks(&self) -> Vec<Dictionary> {
        super::check_dictionaries(&self.view.checks)
    }

    #[zbus(property(emits_changed_signal = "invalidates"))]
    fn sdp_text(&self) -> &str {
        &self.view.sdp
    }
}

fn text(value: &str) -> OwnedVariant {
    OwnedVariant::from(Str::from(value.to_owned()))
}
