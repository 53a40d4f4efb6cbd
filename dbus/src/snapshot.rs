use std::collections::HashMap;

use serde::Serialize;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, fdo};

use crate::{BUS_NAME, ROOT_PATH};

type Properties = HashMap<String, OwnedVariant>;

/// Everything the agent knows at one moment: one `GetManagedObjects`, sorted by name, as plain structures.
///
/// The Manager itself is not part of what its ObjectManager lists; it is read in a second call.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs)] // one list per kind of object
pub struct Snapshot {
    pub manager: ManagerInfo,
    pub interfaces: Vec<InterfaceInfo>,
    pub clocks: Vec<ClockInfo>,
    pub devices: Vec<DeviceInfo>,
    pub streams: Vec<StreamInfo>,
    pub routes: Vec<RouteInfo>,
}

impl Snapshot {
    /// Reads everything. Fails when the agent is not on the bus and cannot be started.
    pub async fn read(connection: &Connection) -> zbus::Result<Self> {
        let manager =
            fdo::PropertiesProxy::builder(connection).destination(BUS_NAME).path(ROOT_PATH).build().await?;
        let objects = fdo::ObjectManagerProxy::builder(connection)
            .destination(BUS_NAME)
            .path(ROOT_PATH)
            .build()
            .await?;
        let name = zbus::names::InterfaceName::from_static_str("org.wireloom.Wireloom1.Manager")?;
        let manager = ManagerInfo::from_properties(&manager.get_all(name).await?);
        let mut snapshot = Self { manager, ..Self::default() };
        for (path, interfaces) in objects.get_managed_objects().await? {
            for (name, properties) in interfaces {
                snapshot.insert(&path, name.as_str(), &properties);
            }
        }
        snapshot.interfaces.sort_by(|a, b| a.name.cmp(&b.name));
        snapshot.clocks.sort_by(|a, b| a.id.cmp(&b.id));
        snapshot.devices.sort_by(|a, b| (&a.alias, &a.id).cmp(&(&b.alias, &b.id)));
        snapshot.streams.sort_by(|a, b| (&a.alias, &a.id).cmp(&(&b.alias, &b.id)));
        snapshot.routes.sort_by(|a, b| {
            (&a.source_name, &a.sink_name, &a.id).cmp(&(&b.source_name, &b.sink_name, &b.id))
        });
        Ok(snapshot)
    }

    fn insert(&mut self, path: &OwnedObjectPath, interface: &str, properties: &Properties) {
        match interface.strip_prefix("org.wireloom.Wireloom1.") {
            Some("Interface") => self.interfaces.push(InterfaceInfo::from_object(path, properties)),
            Some("Clock") => self.clocks.push(ClockInfo::from_object(path, properties)),
            Some("Device") => self.devices.push(DeviceInfo::from_object(path, properties)),
            Some("Stream") => self.streams.push(StreamInfo::from_object(path, properties)),
            Some("Route") => self.routes.push(RouteInfo::from_object(path, properties)),
            _ => {} // an interface of a newer agent
        }
    }
}

/// One channel of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // keys of Stream.Channels
pub struct ChannelInfo {
    pub label: String,
}

/// One channel of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // keys of Route.Channels
pub struct RouteChannelInfo {
    pub source: u32,
    pub sink: u32,
    pub desired: bool,
    pub state: String,
    pub reason: String,
}

/// One address of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // keys of Stream.Legs
pub struct LegInfo {
    pub address: String,
    pub port: u16,
    pub source: Option<String>,
    pub interface: Option<String>,
    pub ttl: Option<u8>,
}

/// One thing that the sound of a stream or a route depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // keys of Stream.Checks and Route.Checks
pub struct CheckInfo {
    pub name: String,
    pub verdict: String,
    pub text: String,
}

/// A structure whose fields are the properties of an interface; a missing or mistyped one has its neutral value.
macro_rules! info {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $property:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize)]
        #[allow(missing_docs)] // the properties of the interface, documented in its XML
        pub struct $name {
            #[serde(skip)]
            pub path: String,
            $(pub $field: $type,)*
        }

        impl $name {
            /// Reads the properties of the object at `path`.
            pub fn from_object(path: &OwnedObjectPath, properties: &HashMap<String, OwnedVariant>) -> Self {
                Self { path: path.to_string(), ..Self::from_properties(properties) }
            }

            /// Reads the properties.
            pub fn from_properties(properties: &HashMap<String, OwnedVariant>) -> Self {
                Self { path: String::new(), $($field: read(properties, $property),)* }
            }
        }
    };
}

info!(/// The Manager.
ManagerInfo {
    version: String = "Version",
    state: String = "State",
    state_reason: String = "StateReason",
    state_text: String = "StateText",
    state_since: u64 = "StateSince",
    clock_service_text: String = "ClockServiceText",
    network_interfaces: Vec<String> = "NetworkInterfaces",
    node_limit: u32 = "NodeLimit",
    show: String = "Show",
    latency_frames: u32 = "LatencyFrames",
    address_pool: String = "AddressPool",
    stream_count: u32 = "StreamCount",
    shown_count: u32 = "ShownCount",
    presets: Presets = "Presets",
});

info!(/// A network interface.
InterfaceInfo {
    id: String = "Id",
    name: String = "Name",
    index: u32 = "Index",
    state: String = "State",
    state_reason: String = "StateReason",
    used: bool = "Used",
    addresses: Vec<String> = "Addresses",
    hardware_address: String = "HardwareAddress",
    announcements_received: u64 = "AnnouncementsReceived",
    ravenna: bool = "Ravenna",
    sessions_found: u32 = "SessionsFound",
});

info!(/// A clock.
ClockInfo {
    id: String = "Id",
    source: String = "Source",
    domain: u32 = "Domain",
    state: String = "State",
    state_reason: String = "StateReason",
    state_text: String = "StateText",
    state_since: u64 = "StateSince",
    grandmaster: String = "Grandmaster",
    active: bool = "Active",
    error_bound_ns: u64 = "ErrorBoundNs",
    frequency_ppb: f64 = "FrequencyPpb",
    generation: u32 = "Generation",
});

info!(/// A device.
DeviceInfo {
    id: String = "Id",
    protocol: String = "Protocol",
    local: bool = "Local",
    name: String = "Name",
    alias: String = "Alias",
    address: String = "Address",
    streams: Paths = "Streams",
});

info!(/// A stream.
StreamInfo {
    id: String = "Id",
    device: Path = "Device",
    protocol: String = "Protocol",
    direction: String = "Direction",
    origin: String = "Origin",
    name: String = "Name",
    alias: String = "Alias",
    state: String = "State",
    state_reason: String = "StateReason",
    state_text: String = "StateText",
    state_since: u64 = "StateSince",
    shown: bool = "Shown",
    hidden_reason: String = "HiddenReason",
    pinned: bool = "Pinned",
    show: String = "Show",
    node_name: String = "NodeName",
    channels: Vec<ChannelInfo> = "Channels",
    encoding: String = "Encoding",
    rate_hz: u32 = "RateHz",
    packet_frames: u32 = "PacketFrames",
    payload_type: u8 = "PayloadType",
    legs: Vec<LegInfo> = "Legs",
    reference_clock: String = "ReferenceClock",
    clock_relation: String = "ClockRelation",
    clock_text: String = "ClockText",
    media_offset: i64 = "MediaOffset",
    mode: String = "Mode",
    latency_frames: u32 = "LatencyFrames",
    links: u32 = "Links",
    heard_on: Vec<String> = "HeardOn",
    found_by: Vec<String> = "FoundBy",
    last_heard: u64 = "LastHeard",
    warnings: Vec<String> = "Warnings",
    checks: Vec<CheckInfo> = "Checks",
    sdp_text: String = "SdpText",
});

info!(/// A route.
RouteInfo {
    id: String = "Id",
    source: String = "Source",
    sink: String = "Sink",
    source_stream: Path = "SourceStream",
    sink_stream: Path = "SinkStream",
    source_name: String = "SourceName",
    sink_name: String = "SinkName",
    channels: Vec<RouteChannelInfo> = "Channels",
    desired: bool = "Desired",
    way: String = "Way",
    relay_latency_ns: u64 = "RelayLatencyNs",
    state: String = "State",
    state_reason: String = "StateReason",
    state_text: String = "StateText",
    state_since: u64 = "StateSince",
    checks: Vec<CheckInfo> = "Checks",
});

/// Presets by name: roles, and who had them.
type Presets = HashMap<String, HashMap<String, String>>;

/// An object path that is written as its text.
type Path = String;
type Paths = Vec<String>;

/// What a property becomes; `None` when it has another type.
trait FromVariant: Sized + Default {
    fn from_variant(value: OwnedVariant) -> Option<Self>;
}

macro_rules! plain {
    ($($type:ty),*) => {
        $(impl FromVariant for $type {
            fn from_variant(value: OwnedVariant) -> Option<Self> {
                value.try_into().ok()
            }
        })*
    };
}

plain!(bool, u8, u16, u32, u64, i64, f64);

impl FromVariant for String {
    fn from_variant(value: OwnedVariant) -> Option<Self> {
        match OwnedObjectPath::try_from(value.try_clone().ok()?) {
            Ok(path) => Some(path.to_string()),
            Err(_) => value.try_into().ok(),
        }
    }
}

impl FromVariant for Vec<String> {
    fn from_variant(value: OwnedVariant) -> Option<Self> {
        match Vec::<OwnedObjectPath>::try_from(value.try_clone().ok()?) {
            Ok(paths) => Some(paths.iter().map(ToString::to_string).collect()),
            Err(_) => value.try_into().ok(),
        }
    }
}

impl FromVariant for Vec<ChannelInfo> {
    fn from_variant(value: OwnedVariant) -> Option<Self> {
        let channels: Vec<Properties> = value.try_into().ok()?;
        Some(channels.iter().map(|channel| ChannelInfo { label: read(channel, "label") }).collect())
    }
}

impl FromVariant for Presets {
    fn from_variant(value: OwnedVariant) -> Option<Self> {
        value.try_into().ok()
    }
}

impl FromVariant for Vec<RouteChannelInfo> {
    fn from_variant(value: OwnedVariant) -> Option<Self> {
        let channels: Vec<Properties> = value.try_into().ok()?;
        let channel = |channel: &Properties| RouteChannelInfo {
            source: read(channel, "source"),
            sink: read(channel, "sink"),
            desired: read(channel, "desired"),
            state: read(channel, "state"),
            reason: read(channel, "reason"),
        };
        Some(channels.iter().map(channel).collect())
    }
}

impl FromVariant for Vec<LegInfo> {
    fn from_variant(value: OwnedVariant) -> Option<Self> {
        let legs: Vec<Properties> = value.try_into().ok()?;
        let leg = |leg: &Properties| LegInfo {
            address: read(leg, "address"),
            port: read(leg, "port"),
            source: optional(leg, "source"),
            interface: optional(leg, "interface"),
            ttl: optional(leg, "ttl"),
        };
        Some(legs.iter().map(leg).collect())
    }
}

impl FromVariant for Vec<CheckInfo> {
    fn from_variant(value: OwnedVariant) -> Option<Self> {
        let checks: Vec<Properties> = value.try_into().ok()?;
        let check = |check: &Properties| CheckInfo {
            name: read(check, "name"),
            verdict: read(check, "verdict"),
            text: read(check, "text"),
        };
        Some(checks.iter().map(check).collect())
    }
}

fn read<T: FromVariant>(properties: &Properties, name: &str) -> T {
    optional(properties, name).unwrap_or_default()
}

fn optional<T: FromVariant>(properties: &Properties, name: &str) -> Option<T> {
    T::from_variant(properties.get(name)?.try_clone().ok()?)
}
