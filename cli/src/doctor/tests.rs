//! The doctor at made-up computers, one fault at a time.

use std::cell::RefCell;
use std::path::Path;

use wireloom_dbus::{ClockInfo, InterfaceInfo, Snapshot, StreamInfo};

use super::filter::Ruleset;
use super::*;

/// A healthy computer in a folder.
struct Computer(tempfile::TempDir, RefCell<Ruleset>);

impl Computer {
    fn new() -> Self {
        let rules = Ruleset::Read(serde_json::json!({ "nftables": [] }));
        let computer = Self(tempfile::tempdir().expect("a folder"), RefCell::new(rules));
        for (file, text) in [
            ("sys/class/net/eth0/flags", "0x1003"),
            ("sys/class/net/eth0/type", "1"),
            ("sys/class/net/eth0/carrier", "1"),
            ("sys/class/net/eth0/device/ptp/ptp0/clock_name", "igb"),
            ("sys/class/net/lo/flags", "0x9"),
            ("sys/class/net/lo/type", "772"),
            (
                "proc/net/route",
                "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t000000E0\t00000000\t0001\t0\t0\t0\t000000F0\n",
            ),
            ("proc/sys/net/ipv4/conf/all/rp_filter", "0"),
            ("proc/sys/net/ipv4/conf/eth0/rp_filter", "0"),
            (
                "proc/net/igmp",
                "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n2\teth0      :     3      V2\n\t\t\t\tFFFFFFEF     1 0:00000000\t\t0\n",
            ),
            ("proc/modules", "snd 1 0 - Live 0x0\n"),
            (
                "proc/net/udp",
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n",
            ),
            (
                "proc/self/limits",
                "Limit                     Soft Limit           Hard Limit           Units\nMax realtime priority     95                   95\nMax locked memory         unlimited            unlimited            bytes\n",
            ),
            ("proc/7/comm", "pipewire\n"),
            ("proc/7/status", "Name:\tpipewire\nUid:\t1000\t1000\t1000\t1000\n"),
            ("proc/self/status", "Name:\twireloom\nUid:\t1000\t1000\t1000\t1000\n"),
            (
                "proc/7/maps",
                "7f00 r-xp 0 0:0 1 /usr/lib/libpipewire-0.3.so.0.365.0\n7f01 r-xp 0 0:0 1 /usr/lib/pipewire-0.3/libpipewire-module-wireloom.so\n",
            ),
            ("proc/8/comm", "wireloom-clock\n"),
        ] {
            computer.write(file, text);
        }
        computer.write("proc/7/task/9/stat", &stat("data-loop.0", 1));
        computer
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("can be made");
        std::fs::write(path, text).expect("can be written");
    }

    fn remove(&self, file: &str) {
        let path = self.0.path().join(file);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
            .expect("it is there");
    }

    /// What is not ok, as "name verdict".
    fn odd(&self, snapshot: &Snapshot) -> Vec<String> {
        let root = Root::new(self.0.path());
        let processes = processes::read(&root);
        let mut findings = services::pipewire(&root, &processes, snapshot);
        findings.extend(services::clock(&root, &processes, snapshot));
        findings.extend(network::look(&root, snapshot, &self.1.borrow(), &Listening::Not));
        findings.extend(ports::look(&root, &processes));
        findings.extend(machine::look(&root, &processes));
        let odd = findings.into_iter().filter(|finding| finding.verdict != "ok");
        odd.map(|finding| {
            assert!(finding.text.ends_with('.'), "{}", finding.text);
            format!("{} {}", finding.name, finding.verdict)
        })
        .collect()
    }
}

/// A line of `/proc/PID/stat` with this name and policy; other fields count themselves.
fn stat(name: &str, policy: u32) -> String {
    let fields: Vec<String> =
        (3..=52).map(|field| if field == 41 { policy } else { field }.to_string()).collect();
    format!("9 ({name}) {}", fields.join(" "))
}

fn healthy() -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.manager.state = "running".into();
    snapshot.manager.latency_frames = 144;
    let text = "Locked to the grandmaster.".to_owned();
    snapshot.clocks =
        vec![ClockInfo { active: true, state: "locked".into(), state_text: text, ..ClockInfo::default() }];
    snapshot.interfaces = vec![InterfaceInfo { name: "eth0".into(), used: true, ..InterfaceInfo::default() }];
    snapshot
}

#[test]
fn a_healthy_computer_is_found_healthy() {
    assert_eq!(Computer::new().odd(&healthy()), [""; 0]);
}

/// Makes the filter strict on eth0 and adds another interface, of no kind that carries audio.
fn strict_beside(computer: &Computer, name: &str, flags: &str, routes: &str) {
    computer.write("proc/sys/net/ipv4/conf/eth0/rp_filter", "1");
    for (file, text) in [("flags", flags), ("type", "65534"), ("carrier", "1")] {
        computer.write(&format!("sys/class/net/{name}/{file}"), text);
    }
    let multicast = "Iface\neth0\t000000E0\t00000000\t0001\t0\t0\t0\t000000F0\n";
    computer.write("proc/net/route", &(multicast.to_owned() + routes));
}

#[test]
fn a_strict_filter_is_harmless_where_nothing_is_routed_elsewhere() {
    let computer = Computer::new();
    strict_beside(&computer, "br-idle", "0x1003", "");
    assert_eq!(computer.odd(&healthy()), [""; 0], "it has no routes");
    strict_beside(&computer, "br-idle", "0x1002", "br-idle\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\n");
    assert_eq!(computer.odd(&healthy()), [""; 0], "it is down");
}

#[test]
fn each_fault_of_a_computer_is_exactly_its_finding() {
    type Fault = fn(&Computer, &mut Snapshot);
    let socket =
        "   1: 00000000:138C 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4711 2\n";
    let faults: [(&str, Fault); 25] = [
        ("interfaces failed", |c, s| {
            c.write("sys/class/net/eth0/carrier", "0");
            s.interfaces.clear();
        }),
        ("interfaces failed", |_, s| {
            s.interfaces[0].state_reason = "join-failed".into();
        }),
        ("routes warning", |c, _| c.write("proc/net/route", "Iface\n")),
        ("routes warning", |c, _| {
            c.write("proc/net/route", "Iface\nwlan0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n");
        }),
        ("rp_filter warning", |c, s| {
            c.write("proc/sys/net/ipv4/conf/all/rp_filter", "1");
            for (file, text) in
                [("flags", "0x1003"), ("type", "1"), ("carrier", "1"), ("device/ptp/ptp1/n", "")]
            {
                c.write(&format!("sys/class/net/eth1/{file}"), text);
            }
            c.write("proc/net/igmp", "I D : C Q\n2 eth0 : 3 V2\n3 eth1 : 3 V2\n");
            s.interfaces.push(InterfaceInfo { name: "eth1".into(), used: true, ..InterfaceInfo::default() });
        }),
        ("rp_filter warning", |c, s| {
            strict_beside(c, "wlan0", "0x1003", "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n");
            c.write("sys/class/net/wlan0/type", "1");
            s.interfaces.push(InterfaceInfo { name: "wlan0".into(), ..InterfaceInfo::default() });
        }),
        ("rp_filter warning", |c, _| {
            strict_beside(c, "br-lan", "0x3", "br-lan\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\n");
        }),
        ("rp_filter warning", |c, _| strict_beside(c, "wg0", "0x91", "")),
        ("querier unknown", |c, _| c.write("proc/net/igmp", "I D : C Q\n2 eth0 : 3 V3\n")),
        ("bridge warning", |c, _| c.write("sys/class/net/br0/bridge/multicast_snooping", "1")),
        ("firewall warning", |c, _| c.write("proc/net/ip_tables_names", "filter\nnat\n")),
        ("firewall unknown", |c, _| *c.1.borrow_mut() = Ruleset::NoTool),
        ("firewall unknown", |c, _| {
            c.write("proc/modules", "nf_tables 1 0 - Live 0x0\n");
            *c.1.borrow_mut() = Ruleset::NoTool;
        }),
        ("firewall unknown", |c, _| *c.1.borrow_mut() = Ruleset::Refused("not permitted".into())),
        ("real-time warning", |c, _| c.write("proc/7/task/9/stat", &stat("data) 1 (loop", 0))),
        ("memory warning", |c, _| {
            c.write(
                "proc/self/limits",
                "Max realtime priority     95  95\nMax locked memory  65536  65536  bytes\n",
            );
        }),
        ("pipewire failed", |c, _| c.remove("proc/7")),
        ("pipewire failed", |c, _| {
            c.write("proc/7/status", "Name:\tpipewire\nUid:\t1001\t1001\t1001\t1001\n")
        }),
        ("pipewire failed", |c, _| {
            c.write("proc/7/maps", "1 /libpipewire-0.3.so.0.348.0\n2 /libpipewire-module-wireloom.so\n");
        }),
        ("module failed", |c, s| {
            c.write("proc/7/maps", "1 /libpipewire-0.3.so.0.365.0\n");
            (s.manager.state, s.manager.state_reason) = ("waiting".into(), "no-module".into());
        }),
        ("module failed", |c, s| {
            c.write("proc/7/maps", "1 /libpipewire-0.3.so.0.365.0\n");
            (s.manager.state, s.manager.state_reason) = ("waiting".into(), "drop-in".into());
            s.manager.state_text = "It died. To switch it on again: mv a b".into();
        }),
        ("quantum warning", |_, s| {
            let (mode, direction) = ("locked".to_owned(), "receive".to_owned());
            s.streams = vec![StreamInfo { mode, direction, latency_frames: 1120, ..StreamInfo::default() }];
        }),
        ("clock warning", |c, _| c.remove("proc/8")),
        ("clock warning", |_, s| s.clocks[0].state = "free-running".into()),
        ("ports warning", |c, _| {
            c.write("proc/11/comm", "careless\n");
            std::fs::create_dir_all(c.0.path().join("proc/11/fd")).expect("can be made");
            std::os::unix::fs::symlink("socket:[4711]", c.0.path().join("proc/11/fd/3"))
                .expect("can be made");
        }),
    ];
    for (expected, fault) in faults {
        let (computer, mut snapshot) = (Computer::new(), healthy());
        if expected == "ports warning" {
            computer.write("proc/net/udp", &format!("  sl  local_address\n{socket}"));
        }
        fault(&computer, &mut snapshot);
        let odd = computer.odd(&snapshot);
        assert_eq!(odd, [expected]);
    }
}

#[test]
fn an_agent_that_does_not_answer_or_stands_back_prevents_sound() {
    let computer = Computer::new();
    let agent = |snapshot: &Result<Snapshot, Failure>| {
        services::agent(&processes::read(&Root::new(computer.0.path())), snapshot)
    };
    let found = agent(&Err(Failure::NoAgent("nobody".into())));
    assert_eq!((found[0].name, found[0].verdict), ("agent", "failed"));
    assert!(!found[0].advice.is_empty());
    let mut snapshot = healthy();
    assert_eq!(agent(&Ok(snapshot.clone()))[0].verdict, "ok");
    snapshot.manager.state = "in-use".into();
    assert_eq!(agent(&Ok(snapshot.clone()))[0].verdict, "failed");
    (snapshot.manager.state, snapshot.manager.state_reason) = ("waiting".into(), "no-pipewire".into());
    snapshot.manager.state_text = "PipeWire cannot be reached; trying again.".into();
    let found = agent(&Ok(snapshot.clone()));
    assert_eq!(found[0].verdict, "failed", "PipeWire runs elsewhere");
    assert!(found[0].advice.contains("systemctl --user restart wireloom"));
    computer.remove("proc/7");
    assert_eq!(agent(&Ok(snapshot))[0].verdict, "ok", "that PipeWire does not run is another finding");
}

#[test]
fn software_time_stamps_are_said_and_are_no_fault() {
    let computer = Computer::new();
    computer.remove("sys/class/net/eth0/device");
    assert_eq!(computer.odd(&healthy()), [""; 0]);
    let root = Root::new(computer.0.path());
    let found = network::look(&root, &healthy(), &computer.1.borrow(), &Listening::Not);
    assert!(found.iter().any(|one| one.name == "timestamps" && one.text.contains("software")), "{found:?}");
}
