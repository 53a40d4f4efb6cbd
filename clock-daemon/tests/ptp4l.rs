//! Our clock against linuxptp's, both ways, over one cable.

mod net;

use std::thread::sleep;
use std::time::{Duration, Instant};

use net::{Clock, Net, PATIENCE, Ptp4l, statistics};
use wireloom_clock_page::{LineState, Source};

const FOLLOWER: &str = "interfaces = [\"eth0\"]\n";

#[test]
fn follows_a_ptp4l_leader_and_locks_within_twelve_announces() {
    let Some(net) = Net::pair() else { return };
    let clock = Clock::start(&net, 0, "ours", FOLLOWER);
    let Some(leader) = Ptp4l::start(&net, 1, "ptp4l", "priority1 100\n") else { return };
    let locked = clock.wait_for_state("locked");
    // One Announce a second: the count is the time since the first one.
    let announces = locked["clock"]["counters"]["announces"].as_u64().unwrap_or(u64::MAX);
    println!("locked at Announce number {announces}");
    assert!(announces <= 13, "locked only at Announce number {announces}\n{}", leader.log());
    assert_eq!(locked["clock"]["leader"]["grandmaster"], "00-00-5E-FF-FE-00-53-02");
    assert_eq!(locked["clock"]["leader"]["priority1"], 100);
    assert_eq!(locked["interfaces"][0]["state"], "slave");
    assert!(locked["summary"].as_str().is_some_and(|text| text.starts_with("Locked to PTP leader")));

    let reader = clock.reader();
    let line = reader.line(Source::PtpV2(0)).expect("published");
    assert_eq!((line.state, line.generation), (LineState::Locked, 1));
    assert_eq!(reader.best(), Some(reader.line(Source::PtpV2(0)).expect("still there")));

    let mut offsets = Vec::new();
    let mut delays = Vec::new();
    while offsets.len() < 80 {
        let status = clock.status();
        assert_eq!(status["lines"][1]["generation"], 1, "{status:#}");
        offsets.extend(status["clock"]["offset_ns"].as_f64());
        delays.extend(status["clock"]["path_delay_ns"].as_f64());
        sleep(Duration::from_millis(125));
    }
    let (mean, deviation, p95, max) = statistics(&offsets);
    println!("offset: mean {mean:.0} ns, sd {deviation:.0} ns, p95 {p95:.0} ns, max {max:.0} ns");
    println!("path delay: mean {:.0} ns", statistics(&delays).0);
    // Both see the same oscillator, so the frequency is that of CLOCK_REALTIME against CLOCK_MONOTONIC_RAW.
    let counters = clock.status()["clock"]["counters"].clone();
    assert!(counters["delay_responses"].as_u64() > Some(20), "{counters:#}");
    assert_eq!(counters["malformed"], 0);
}

#[test]
fn leads_a_ptp4l_follower_that_settles() {
    let Some(net) = Net::pair() else { return };
    let settings = "interfaces = [\"eth0\"]\nlead = \"always\"\npriority1 = 100\nlog-announce-interval = 0\n\
                    log-min-delay-req-interval = -3\nsources = [\"system\"]\n";
    let clock = Clock::start(&net, 0, "ours", settings);
    clock.wait_for_state("leader");
    let Some(follower) = Ptp4l::start(&net, 1, "ptp4l", "slaveOnly 1\npriority1 200\n") else { return };
    let offsets = |log: &str| -> Vec<f64> {
        // "ptp4l[12.345]: master offset       -123 s0 freq +0 path delay      1234"; several spellings exist
        let after =
            |line: &str, word: &str| line.split(word).nth(1)?.split_whitespace().next()?.parse::<f64>().ok();
        log.lines()
            .filter(|line| line.contains("path delay"))
            .filter_map(|line| after(line, "offset"))
            .collect()
    };
    let start = Instant::now();
    while offsets(&follower.log()).len() < 30 {
        assert!(start.elapsed() < PATIENCE, "ptp4l does not follow:\n{}\n{}", follower.log(), clock.log());
        sleep(Duration::from_millis(250));
    }
    let log = follower.log();
    // It measures and does not steer (`free_running 1`), so this is as far as its port goes.
    assert!(log.contains("LISTENING to UNCALIBRATED on RS_SLAVE"), "{log}");
    let all = offsets(&log);
    // The first ones come before its path delay is known.
    let (mean, deviation, p95, max) = statistics(&all[10..]);
    println!("ptp4l sees us: mean {mean:.0} ns, sd {deviation:.0} ns, p95 {p95:.0} ns, max {max:.0} ns");
    assert!(p95 < 100_000.0, "ptp4l would not call this locked\n{log}");
    let status = clock.status();
    assert!(status["clock"]["counters"]["delay_requests_answered"].as_u64() > Some(20), "{status:#}");
    assert_eq!(status["interfaces"][0]["counters"]["transmit_stamp_missing"], 0, "{status:#}");
    assert_eq!(status["interfaces"][0]["state"], "master");
}
