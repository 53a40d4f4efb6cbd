//! One proxy per interface. Members are documented in `dbus/*.xml`.
#![allow(missing_docs)]

use std::collections::HashMap;

use zbus::{OwnedObjectPath, OwnedVariant, Variant, proxy};

type Options<'a> = HashMap<&'a str, Variant<'a>>;
type Dictionary = HashMap<String, OwnedVariant>;

#[proxy(
    interface = "org.wireloom.Wireloom1.Manager",
    default_service = "org.wireloom.Wireloom1",
    default_path = "/org/wireloom/Wireloom1"
)]
pub trait Manager {
    fn create_stream(
        &self,
        name: &str,
        channels: u32,
        options: Options<'_>,
    ) -> Result<OwnedObjectPath, crate::Error>;
    fn add_sdp(&self, text: &str, options: Options<'_>) -> Result<Vec<OwnedObjectPath>, crate::Error>;
    fn discover(&self, options: Options<'_>) -> Result<OwnedObjectPath, crate::Error>;
    fn connect(
        &self,
        source: &str,
        sink: &str,
        map: Vec<Options<'_>>,
        options: Options<'_>,
    ) -> Result<(OwnedObjectPath, Vec<String>), crate::Error>;
    fn connect_many(
        &self,
        connections: Vec<Options<'_>>,
        options: Options<'_>,
    ) -> Result<(Vec<OwnedObjectPath>, Vec<String>), crate::Error>;
    fn disconnect(
        &self,
        route: &zbus::ObjectPath<'_>,
        map: Vec<Options<'_>>,
        options: Options<'_>,
    ) -> Result<Vec<String>, crate::Error>;
    fn can_connect(
        &self,
        source: &str,
        sink: &str,
        options: Options<'_>,
    ) -> Result<(bool, String, Dictionary), crate::Error>;
    fn save_preset(&self, name: &str, options: Options<'_>) -> Result<(), crate::Error>;
    fn apply_preset(
        &self,
        name: &str,
        roles: HashMap<&str, &str>,
        options: Options<'_>,
    ) -> Result<(Vec<OwnedObjectPath>, Vec<String>), crate::Error>;
    fn remove_preset(&self, name: &str, options: Options<'_>) -> Result<(), crate::Error>;
    fn create_checkpoint(&self, timeout: u32, options: Options<'_>) -> Result<OwnedObjectPath, crate::Error>;
    fn set_clock(&self, settings: Options<'_>) -> Result<(), crate::Error>;
    fn describe(&self) -> Result<String, crate::Error>;

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state_reason(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state_text(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state_since(&self) -> zbus::Result<u64>;
    #[zbus(property)]
    fn network_interfaces(&self) -> zbus::Result<Vec<String>>;
    #[zbus(property)]
    fn set_network_interfaces(&self, names: &[&str]) -> Result<(), crate::Error>;
    #[zbus(property)]
    fn node_limit(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn set_node_limit(&self, limit: u32) -> Result<(), crate::Error>;
    #[zbus(property)]
    fn show(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn set_show(&self, policy: &str) -> Result<(), crate::Error>;
    #[zbus(property)]
    fn latency_frames(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn set_latency_frames(&self, frames: u32) -> Result<(), crate::Error>;
    #[zbus(property)]
    fn address_pool(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn set_address_pool(&self, prefix: &str) -> Result<(), crate::Error>;
    #[zbus(property)]
    fn stream_count(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn shown_count(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn presets(&self) -> zbus::Result<HashMap<String, HashMap<String, String>>>;
    #[zbus(property)]
    fn active_clock(&self) -> zbus::Result<OwnedObjectPath>;
    #[zbus(property)]
    fn clock_service_text(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn announcement_counters(&self) -> zbus::Result<HashMap<String, u64>>;
}

#[proxy(interface = "org.wireloom.Wireloom1.Interface", default_service = "org.wireloom.Wireloom1")]
pub trait Interface {
    fn describe(&self) -> Result<String, crate::Error>;

    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn index(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state_reason(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn used(&self) -> zbus::Result<bool>;
    #[zbus(property)]
    fn addresses(&self) -> zbus::Result<Vec<String>>;
    #[zbus(property)]
    fn hardware_address(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn announcements_received(&self) -> zbus::Result<u64>;
    #[zbus(property)]
    fn ravenna(&self) -> zbus::Result<bool>;
    #[zbus(property)]
    fn sessions_found(&self) -> zbus::Result<u32>;
}

#[proxy(interface = "org.wireloom.Wireloom1.Clock", default_service = "org.wireloom.Wireloom1")]
pub trait Clock {
    fn describe(&self) -> Result<String, crate::Error>;

    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn source(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn domain(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state_reason(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state_text(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state_since(&self) -> zbus::Result<u64>;
    #[zbus(property)]
    fn grandmaster(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn active(&self) -> zbus::Result<bool>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn error_bound_ns(&self) -> zbus::Result<u64>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn frequency_ppb(&self) -> zbus::Result<f64>;
    #[zbus(property)]
    fn generation(&self) -> zbus::Result<u32>;
}

#[proxy(interface = "org.wireloom.Wireloom1.Device", default_service = "org.wireloom.Wireloom1")]
pub trait Device {
    fn describe(&self) -> Result<String, crate::Error>;

    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn protocol(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn local(&self) -> zbus::Result<bool>;
    #[zbus(property)]
    fn name(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn alias(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn set_alias(&self, alias: &str) -> Result<(), crate::Error>;
    #[zbus(property)]
    fn address(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn streams(&self) -> zbus::Result<Vec<OwnedObjectPath>>;
}

#[proxy(interface = "org.wireloom.Wireloom1.Stream", default_service = "org.wireloom.Wireloom1")]
pub trait Stream {
    fn remove(&self, options: Options<'_>) -> Result<(), crate::Error>;
    fn describe(&self) -> Result<String, crate::Error>;

    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn device(&self) -> zbus::Result<OwnedObjectPath>;
    #[zbus(property)]
    fn protocol(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn direction(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn origin(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn name(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn alias(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn set_alias(&self, alias: &str) -> Result<(), crate::Error>;
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state_reason(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state_text(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state_since(&self) -> zbus::Result<u64>;
    #[zbus(property)]
    fn shown(&self) -> zbus::Result<bool>;
    #[zbus(property)]
    fn hidden_reason(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn pinned(&self) -> zbus::Result<bool>;
    #[zbus(property)]
    fn set_pinned(&self, pinned: bool) -> Result<(), crate::Error>;
    #[zbus(property)]
    fn show(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn set_show(&self, policy: &str) -> Result<(), crate::Error>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn node_name(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn channels(&self) -> zbus::Result<Vec<Dictionary>>;
    #[zbus(property)]
    fn encoding(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn rate_hz(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn packet_frames(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn payload_type(&self) -> zbus::Result<u8>;
    #[zbus(property)]
    fn legs(&self) -> zbus::Result<Vec<Dictionary>>;
    #[zbus(property)]
    fn reference_clock(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn clock_relation(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn clock_text(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn media_offset(&self) -> zbus::Result<i64>;
    #[zbus(property)]
    fn mode(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn latency_frames(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn links(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn heard_on(&self) -> zbus::Result<Vec<String>>;
    #[zbus(property)]
    fn found_by(&self) -> zbus::Result<Vec<String>>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn last_heard(&self) -> zbus::Result<u64>;
    #[zbus(property)]
    fn warnings(&self) -> zbus::Result<Vec<String>>;
    #[zbus(property)]
    fn checks(&self) -> zbus::Result<Vec<Dictionary>>;
    #[zbus(property(emits_changed_signal = "invalidates"))]
    fn sdp_text(&self) -> zbus::Result<String>;
}

#[proxy(interface = "org.wireloom.Wireloom1.Stream.Statistics", default_service = "org.wireloom.Wireloom1")]
pub trait Statistics {
    #[zbus(property(emits_changed_signal = "false"))]
    fn counters(&self) -> zbus::Result<HashMap<String, i64>>;
}

#[proxy(interface = "org.wireloom.Wireloom1.Job", default_service = "org.wireloom.Wireloom1")]
pub trait Job {
    fn cancel(&self) -> Result<(), crate::Error>;

    #[zbus(property(emits_changed_signal = "const"))]
    fn operation(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn progress(&self) -> zbus::Result<f64>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn progress_valid(&self) -> zbus::Result<bool>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn cancelable(&self) -> zbus::Result<bool>;

    #[zbus(signal)]
    fn completed(&self, success: bool, error_name: String, message: String) -> zbus::Result<()>;
}

#[proxy(interface = "org.wireloom.Wireloom1.Route", default_service = "org.wireloom.Wireloom1")]
pub trait Route {
    fn describe(&self) -> Result<String, crate::Error>;

    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn source(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn sink(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn source_stream(&self) -> zbus::Result<OwnedObjectPath>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn sink_stream(&self) -> zbus::Result<OwnedObjectPath>;
    #[zbus(property)]
    fn source_name(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn sink_name(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn channels(&self) -> zbus::Result<Vec<Dictionary>>;
    #[zbus(property)]
    fn desired(&self) -> zbus::Result<bool>;
    #[zbus(property)]
    fn way(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn relay_latency_ns(&self) -> zbus::Result<u64>;
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state_reason(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state_text(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state_since(&self) -> zbus::Result<u64>;
    #[zbus(property)]
    fn checks(&self) -> zbus::Result<Vec<Dictionary>>;
}

#[proxy(interface = "org.wireloom.Wireloom1.Checkpoint", default_service = "org.wireloom.Wireloom1")]
pub trait Checkpoint {
    fn confirm(&self) -> Result<(), crate::Error>;
    fn rollback(&self) -> Result<(), crate::Error>;

    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn client(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn created(&self) -> zbus::Result<u64>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn expires(&self) -> zbus::Result<u64>;
}
