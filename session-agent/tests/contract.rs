//! What the running agent serves is what `dbus/*.xml` says, member by member.

mod world;

use std::collections::BTreeSet;

use world::{Announcer, World};
use zbus_xml::{Interface, Node};

/// Everything about an interface that a client can rely on, one line each, in any order.
fn members(interface: &Interface<'_>) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for method in interface.methods() {
        let args: Vec<_> = method
            .args()
            .iter()
            .map(|arg| format!("{:?} {} {}", arg.direction(), arg.name().unwrap_or("-"), arg.ty()))
            .collect();
        lines.insert(format!("method {} ({})", method.name(), args.join(", ")));
    }
    for signal in interface.signals() {
        let args: Vec<_> =
            signal.args().iter().map(|arg| format!("{} {}", arg.name().unwrap_or("-"), arg.ty())).collect();
        lines.insert(format!("signal {} ({})", signal.name(), args.join(", ")));
    }
    for property in interface.properties() {
        let changes = property
            .annotations()
            .iter()
            .find(|annotation| annotation.name() == "org.freedesktop.DBus.Property.EmitsChangedSignal")
            .map_or("true", |annotation| annotation.value());
        let access = property.access();
        lines.insert(format!("property {} {} {access:?} changes={changes}", property.name(), property.ty()));
    }
    lines
}

#[test]
fn the_agent_serves_what_the_xml_says() {
    world::run("the_agent_serves_what_the_xml_says", async || {
        let mut world = World::new().await;
        world.start_pipewire(true).await;
        world.publish_clock(world::LEADER, wireloom_clock_page::LineState::Locked);
        world.start_agent().await;
        world.until_snapshot("PipeWire", |seen| seen.manager.state == "running").await; // and it listens
        let device = Announcer::new(21);
        device.announce(&device.sdp(4711, 1, "Stage L : mics", "239.69.1.1"));
        let seen = world
            .until_snapshot("one of everything", |seen| {
                !seen.streams.is_empty() && !seen.clocks.is_empty() && !seen.interfaces.is_empty()
            })
            .await;
        let job = world.manager().await.discover(Default::default()).await.expect("discovers");
        let stream = seen.streams[0].path.as_str();
        let manager = world.manager().await;
        let own = manager.create_stream("Drums", 2, Default::default()).await.expect("creates");
        let (route, _) =
            manager.connect(stream, own.as_str(), Vec::new(), Default::default()).await.expect("connects");
        let checkpoint = manager.create_checkpoint(600, Default::default()).await.expect("creates");
        for (name, xml) in wireloom_dbus::CONTRACT {
            let path = match name.rsplit('.').next() {
                Some("Manager") => wireloom_dbus::ROOT_PATH,
                Some("Interface") => seen.interfaces[0].path.as_str(),
                Some("Clock") => seen.clocks[0].path.as_str(),
                Some("Device") => seen.devices[0].path.as_str(),
                Some("Stream" | "Statistics") => stream,
                Some("Job") => job.as_str(),
                Some("Route") => route.as_str(),
                Some("Checkpoint") => checkpoint.as_str(),
                other => panic!("{other:?} has no object in this test"),
            };
            let proxy = zbus::fdo::IntrospectableProxy::builder(&world.connection)
                .destination(wireloom_dbus::BUS_NAME)
                .path(path)
                .build()
                .await
                .expect("a proxy");
            let served = proxy.introspect().await.expect("introspects");
            let served = Node::from_reader(served.as_bytes()).expect("served XML parses");
            let promised = Node::from_reader(xml.as_bytes()).expect("our XML parses");
            let served = served.interfaces().iter().find(|interface| interface.name().as_str() == *name);
            let served = served.unwrap_or_else(|| panic!("{path} does not serve {name}"));
            assert_eq!(members(served), members(&promised.interfaces()[0]), "{name}");
        }
    });
}

/// Interface and name of every property of the contract.
fn promised_properties() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (name, xml) in wireloom_dbus::CONTRACT {
        let node = Node::from_reader(xml.as_bytes()).expect("our XML parses");
        for property in node.interfaces()[0].properties() {
            found.insert(((*name).to_owned(), property.name().to_string()));
        }
    }
    found
}

/// The name on the bus of a property that the client calls `name`.
fn pascal(name: &str) -> String {
    let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.split('_').map(word).collect()
}

#[test]
fn every_property_of_the_client_has_the_type_that_is_served() {
    world::run("every_property_of_the_client_has_the_type_that_is_served", async || {
        let mut world = World::new().await;
        world.publish_clock(world::LEADER, wireloom_clock_page::LineState::Locked);
        world.start_agent().await;
        let bus = &world.connection;
        let manager = world.manager().await;
        let created = manager.create_stream("Drums", 2, Default::default()).await.expect("creates");
        let seen = world.until_snapshot("a clock", |seen| !seen.clocks.is_empty()).await;
        let mut were_read = BTreeSet::new();
        macro_rules! read {
            ($proxy:expr, $($property:ident),+) => {
                $(
                    $proxy.$property().await.unwrap_or_else(|e| panic!("{}: {e}", stringify!($property)));
                    were_read.insert(($proxy.inner().interface().to_string(), pascal(stringify!($property))));
                )+
            };
        }
        read!(manager, version, state, state_reason, state_text, state_since, network_interfaces, node_limit);
        read!(manager, show, latency_frames, address_pool, stream_count, shown_count, active_clock);
        read!(manager, announcement_counters, presets, clock_service_text);
        let stream =
            wireloom_dbus::StreamProxy::builder(bus).path(created.clone()).build().await.expect("a proxy");
        read!(stream, id, device, protocol, direction, origin, name, alias, state, state_reason, state_text);
        read!(
            stream,
            state_since,
            shown,
            hidden_reason,
            pinned,
            show,
            node_name,
            channels,
            encoding,
            rate_hz
        );
        read!(stream, packet_frames, payload_type, legs, reference_clock, clock_relation, clock_text);
        read!(
            stream,
            media_offset,
            mode,
            latency_frames,
            links,
            heard_on,
            found_by,
            last_heard,
            warnings,
            checks,
            sdp_text
        );
        let statistics =
            wireloom_dbus::StatisticsProxy::builder(bus).path(created).build().await.expect("a proxy");
        read!(statistics, counters);
        let path = seen.interfaces[0].path.as_str();
        let interface =
            wireloom_dbus::InterfaceProxy::builder(bus).path(path).build().await.expect("a proxy");
        read!(interface, id, name, index, state, state_reason, used, addresses, hardware_address);
        read!(interface, announcements_received, ravenna, sessions_found);
        let path = seen.clocks[0].path.as_str();
        let clock = wireloom_dbus::ClockProxy::builder(bus).path(path).build().await.expect("a proxy");
        read!(clock, id, source, domain, state, state_reason, state_text, state_since, grandmaster, active);
        read!(clock, error_bound_ns, frequency_ppb, generation);
        let path = seen.devices[0].path.as_str();
        let device = wireloom_dbus::DeviceProxy::builder(bus).path(path).build().await.expect("a proxy");
        read!(device, id, protocol, local, name, alias, address, streams);
        let announcer = world::Announcer::new(21);
        announcer.announce(&announcer.sdp(4711, 1, "Stage L : mics", "239.69.1.1"));
        let seen = world.until_snapshot("two streams", |seen| seen.streams.len() == 2).await;
        let heard = seen.streams.iter().find(|stream| stream.origin == "announced").expect("is there");
        let own = seen.streams.iter().find(|stream| stream.origin == "own").expect("is there");
        let (route, _) =
            manager.connect(&heard.id, &own.id, Vec::new(), Default::default()).await.expect("connects");
        let route = wireloom_dbus::RouteProxy::builder(bus).path(route).build().await.expect("a proxy");
        read!(route, id, source, sink, source_stream, sink_stream, source_name, sink_name, channels, desired);
        read!(route, way, relay_latency_ns, state, state_reason, state_text, state_since, checks);
        let checkpoint = manager.create_checkpoint(600, Default::default()).await.expect("creates");
        let checkpoint =
            wireloom_dbus::CheckpointProxy::builder(bus).path(checkpoint).build().await.expect("a proxy");
        read!(checkpoint, id, client, created, expires);
        let job = manager.discover(Default::default()).await.expect("discovers");
        let job = wireloom_dbus::JobProxy::builder(bus).path(job).build().await.expect("a proxy");
        read!(job, operation, progress, progress_valid, cancelable);
        manager.describe().await.expect("Manager describes itself");
        interface.describe().await.expect("an Interface describes itself");
        clock.describe().await.expect("a Clock describes itself");
        device.describe().await.expect("a Device describes itself");
        route.describe().await.expect("a Route describes itself");
        checkpoint.confirm().await.expect("can be confirmed");
        job.cancel().await.expect("a running job can be cancelled");
        let promised = promised_properties();
        let apart: Vec<_> = promised.symmetric_difference(&were_read).collect();
        assert!(apart.is_empty(), "not read by the client's names, or not in the XML: {apart:?}");
    });
}
