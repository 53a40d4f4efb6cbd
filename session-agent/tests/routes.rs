//! Routes over the bus: wished, kept, withdrawn, rolled back.

mod world;

use std::collections::HashMap;

use wireloom_dbus::{CheckpointProxy, Error, ManagerProxy, RouteInfo, Snapshot};
use world::{Announcer, World};
use zbus::{ObjectPath, Variant};

/// A stage box that is announced, and two streams of this computer: ids of the three.
async fn studio(world: &mut World) -> (Announcer, [String; 3]) {
    world.start_pipewire(true).await;
    world.start_agent().await;
    world.until_snapshot("it runs", |seen| seen.manager.state == "running").await;
    let device = Announcer::new(21);
    device.announce(&device.sdp(4711, 1, "Stage L : mics", "239.69.1.1"));
    let manager = world.manager().await;
    for name in ["Drums", "Choir"] {
        manager.create_stream(name, 2, HashMap::new()).await.expect("creates");
    }
    let seen = world.until_snapshot("three streams", |seen| seen.streams.len() == 3).await;
    let id = |name: &str| {
        let found = seen.streams.iter().find(|stream| stream.name == name);
        found.expect("is there").id.clone()
    };
    (device, [id("Stage L : mics"), id("Drums"), id("Choir")])
}

async fn connect(manager: &ManagerProxy<'_>, source: &str, sink: &str) -> String {
    let (route, plan) = manager.connect(source, sink, Vec::new(), HashMap::new()).await.expect("connects");
    assert_eq!(plan, [""; 0], "it was no dry run");
    route.to_string()
}

fn wished(seen: &Snapshot) -> Vec<(&str, &str)> {
    let wished = seen.routes.iter().filter(|route| route.desired);
    wished.map(|route| (route.source_name.as_str(), route.sink_name.as_str())).collect()
}

#[test]
fn a_wish_is_kept_over_the_death_of_agent_and_pipewire_until_it_is_withdrawn() {
    world::run("a_wish_is_kept_over_the_death_of_agent_and_pipewire_until_it_is_withdrawn", async || {
        let mut world = World::new().await;
        let (device, [stage, drums, _]) = studio(&mut world).await;
        let manager = world.manager().await;
        let path = connect(&manager, &stage, &drums).await;
        let seen = world.snapshot().await;
        let [RouteInfo { id, channels, way, state, .. }] = &seen.routes[..] else {
            panic!("{:?}", seen.routes)
        };
        assert!(id.starts_with("r-") && channels.len() == 2 && way == "here", "{seen:?}");
        // The module is not there in this test, so its nodes never come: tried again and again, and said so.
        assert!(matches!(state.as_str(), "pending" | "connecting"), "{state}");

        world.kill_agent();
        world.stop_pipewire();
        world.start_pipewire(true).await;
        world.start_agent().await;
        let seen = world.until_snapshot("the wish", |seen| !seen.routes.is_empty()).await;
        assert_eq!((seen.routes[0].path.as_str(), seen.routes[0].desired), (path.as_str(), true));
        assert_eq!(
            (seen.routes[0].state.as_str(), seen.routes[0].state_reason.as_str()),
            ("offline", "device-away")
        );
        let keys = world.until_metadata("the offline node", |keys| {
            world::nodes(keys).iter().any(|(key, node)| key.contains(&stage) && node.offline)
        });
        keys.await;
        device.announce(&device.sdp(4711, 1, "Stage L : mics", "239.69.1.1"));
        world
            .until_snapshot("it is heard again", |seen| seen.routes.iter().any(|r| r.state != "offline"))
            .await;

        let manager = world.manager().await;
        let route = ObjectPath::try_from(path.as_str()).expect("a path");
        let gone = manager.disconnect(&route, Vec::new(), HashMap::from([("dry-run", true.into())])).await;
        assert_eq!(gone.expect("plans"), [""; 0], "nothing is there to be taken back");
        manager.disconnect(&route, Vec::new(), HashMap::new()).await.expect("disconnects");
        world.until_snapshot("it is gone", |seen| seen.routes.is_empty()).await;
        let again = manager.disconnect(&route, Vec::new(), HashMap::new()).await;
        assert!(matches!(again, Err(Error::NotFound(_))), "{again:?}");
        world.kill_agent();
        world.start_agent().await;
        world.until_snapshot("it runs", |seen| seen.manager.state == "running").await;
        assert_eq!(world.snapshot().await.routes, []);
    });
}

#[test]
fn senseless_routes_are_refused_in_words() {
    world::run("senseless_routes_are_refused_in_words", async || {
        let mut world = World::new().await;
        let (_device, [stage, drums, _]) = studio(&mut world).await;
        let manager = world.manager().await;
        let pair = |source: u32, sink: u32| {
            vec![HashMap::from([("source", Variant::from(source)), ("sink", Variant::from(sink))])]
        };
        let none = HashMap::new;
        for (answer, expected) in [
            (manager.connect("nobody", &drums, vec![], none()).await, "no node is called"),
            (manager.connect(&drums, &stage, vec![], none()).await, "no audio comes out of Drums"),
            (manager.connect(&stage, &drums, pair(0, 7), none()).await, "Drums has 2 channels"),
            (manager.connect(&stage, &drums, vec![none()], none()).await, "\"source\" and \"sink\""),
            (
                manager.connect(&stage, &drums, vec![], HashMap::from([("x", 1_u32.into())])).await,
                "no option \"x\"",
            ),
        ] {
            let text = format!("{:?}", answer.expect_err(expected));
            assert!(text.replace("\\\"", "\"").contains(expected), "{expected}: {text}");
        }
        let (possible, reason, details) = manager.can_connect(&stage, &drums, none()).await.expect("answers");
        let way: String = details["way"].try_clone().expect("copies").try_into().expect("a text");
        assert_eq!((possible, reason.as_str(), way.as_str()), (true, "none", "here"));
        let options = HashMap::from([("map", Variant::from(pair(5, 0)))]);
        let (possible, reason, _) = manager.can_connect(&stage, &drums, options).await.expect("answers");
        assert_eq!((possible, reason.as_str()), (false, "no-such-channel"));
        assert_eq!(world.snapshot().await.routes, []);
    });
}

#[test]
fn a_client_that_dies_before_it_confirms_is_rolled_back() {
    world::run("a_client_that_dies_before_it_confirms_is_rolled_back", async || {
        let mut world = World::new().await;
        let (_device, [stage, drums, choir]) = studio(&mut world).await;
        let manager = world.manager().await;
        let first = connect(&manager, &stage, &drums).await;

        let address = format!("unix:path={}", world.path("bus").display());
        let client = zbus::connection::Builder::address(address.as_str()).build().await.expect("a bus");
        let theirs = ManagerProxy::new(&client).await.expect("a proxy");
        theirs.create_checkpoint(3600, HashMap::new()).await.expect("creates");
        let route = ObjectPath::try_from(first.as_str()).expect("a path");
        theirs.disconnect(&route, Vec::new(), HashMap::new()).await.expect("disconnects");
        connect(&theirs, &stage, &choir).await;
        let seen = world.until_snapshot("their change", |seen| wished(seen).len() == 1).await;
        assert_eq!(wished(&seen), [("Stage L : mics", "Choir")]);
        drop(theirs);
        client.close().await.expect("closes");
        world.until_snapshot("the state before", |seen| wished(seen) == [("Stage L : mics", "Drums")]).await;

        // Confirmed, it stays; and one that nobody ends goes back by itself.
        let path = manager.create_checkpoint(3600, HashMap::new()).await.expect("creates");
        let kept = connect(&manager, &stage, &choir).await;
        let proxy = CheckpointProxy::builder(&world.connection).path(path).build().await.expect("a proxy");
        proxy.confirm().await.expect("confirms");
        manager.create_checkpoint(1, HashMap::new()).await.expect("creates");
        for path in [&first, &kept] {
            let route = ObjectPath::try_from(path.as_str()).expect("a path");
            manager.disconnect(&route, Vec::new(), HashMap::new()).await.expect("disconnects");
        }
        world.until_snapshot("nothing", |seen| wished(seen).is_empty()).await;
        world.until_snapshot("both", |seen| wished(seen).len() == 2).await;
    });
}

#[test]
fn a_preset_comes_back_also_with_other_devices_in_its_roles() {
    world::run("a_preset_comes_back_also_with_other_devices_in_its_roles", async || {
        let mut world = World::new().await;
        let (_device, [stage, drums, choir]) = studio(&mut world).await;
        let manager = world.manager().await;
        let route = connect(&manager, &stage, &drums).await;
        manager.save_preset("Sunday", HashMap::new()).await.expect("saves");
        let seen = world.snapshot().await; // it is there when the call returns
        assert_eq!(seen.manager.presets["Sunday"]["Drums"], format!("wireloom.{drums}.rx"));
        let state = world.path("state/wireloom/state.json");
        let is_saved = || std::fs::read_to_string(&state).is_ok_and(|text| text.contains("Sunday"));
        world::until("the preset in the file", is_saved).await;
        world.kill_agent();
        world.start_agent().await;
        let manager = world.manager().await;
        let roles = HashMap::from([("Drums", choir.as_str())]);
        let exactly = HashMap::from([("exactly", true.into())]);
        let (routes, _) = manager.apply_preset("Sunday", roles, exactly).await.expect("applies");
        assert_eq!(routes.len(), 2, "one is made, the other goes");
        let seen = world.until_snapshot("the other route", |seen| {
            wished(seen).len() == 1 && wished(seen)[0].1 == "Choir"
        });
        let seen = seen.await;
        assert!(seen.routes.iter().all(|other| other.path != route || !other.desired));
        let none = HashMap::from([("Piano", choir.as_str())]);
        let refused = manager.apply_preset("Sunday", none, HashMap::new()).await;
        assert!(format!("{refused:?}").contains("no role"), "{refused:?}");
        manager.remove_preset("Sunday", HashMap::new()).await.expect("removes");
        assert!(world.snapshot().await.manager.presets.is_empty(), "it is gone when the call returns");
        let gone = manager.apply_preset("Sunday", HashMap::new(), HashMap::new()).await;
        assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
    });
}
