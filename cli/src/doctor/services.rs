//! The agent, PipeWire with our module, and the clock service.

use wireloom_dbus::Snapshot;

use super::Finding;
use super::processes::{Process, daemons, named};
use super::root::Root;
use crate::failure::Failure;

/// The oldest PipeWire that the module loads into.
const OLDEST: (u32, u32, u32) = (0, 3, 65);

/// Has PipeWire load the module, as README says.
const SWITCH_ON: [&str; 3] = [
    "mkdir -p ~/.config/pipewire/pipewire.conf.d",
    "ln -s /usr/share/pipewire/pipewire.conf.avail/50-wireloom.conf ~/.config/pipewire/pipewire.conf.d/",
    "systemctl --user restart pipewire",
];

/// When the agent began before the session was set up, or one of the two has another environment.
const ELSEWHERE: &str = "systemctl --user restart wireloom; if that is not enough, compare XDG_RUNTIME_DIR, \
                         PIPEWIRE_RUNTIME_DIR and PIPEWIRE_REMOTE in: systemctl --user show-environment";

/// Whether the agent answers, and what it says of itself.
pub fn agent(processes: &[Process], snapshot: &Result<Snapshot, Failure>) -> Vec<Finding> {
    let finding = match snapshot {
        Err(error) => {
            let first = error.to_string().lines().next().unwrap_or_default().to_owned();
            Finding::failed("agent", first).advise("systemctl --user start wireloom")
        }
        Ok(snapshot) => match (snapshot.manager.state.as_str(), &snapshot.manager.state_text) {
            ("in-use", text) => Finding::failed("agent", text.clone())
                .advise("use Wireloom in that session, or log out there"),
            // That PipeWire does not run at all is a finding of its own.
            (_, _)
                if snapshot.manager.state_reason == "no-pipewire" && daemons(processes).next().is_some() =>
            {
                Finding::failed("agent", "PipeWire runs, but not where the agent looks for it.")
                    .advise(ELSEWHERE)
            }
            // The module's finding says it.
            (_, text) if text.is_empty() || snapshot.manager.state_reason == "drop-in" => {
                Finding::ok("agent", format!("It runs, version {}.", snapshot.manager.version))
            }
            (_, text) => Finding::ok("agent", format!("It runs: {text}")),
        },
    };
    vec![finding]
}

/// Whether PipeWire runs, in which version, with our module, and at which latency.
pub fn pipewire(root: &Root, processes: &[Process], snapshot: &Snapshot) -> Vec<Finding> {
    let Some(daemon) = daemons(processes).next() else {
        let none = Finding::failed("pipewire", "PipeWire does not run.");
        return vec![none.advise("systemctl --user start pipewire")];
    };
    // Of another user's daemon this cannot be read.
    let maps = root.text(&format!("proc/{}/maps", daemon.id)).unwrap_or_default();
    let mut findings = vec![match version(&maps) {
        Some(version) if version < OLDEST => {
            let (major, minor, micro) = version;
            Finding::failed("pipewire", format!("PipeWire {major}.{minor}.{micro} is too old."))
                .advise("install PipeWire 0.3.65 or newer")
        }
        Some((major, minor, micro)) => {
            Finding::ok("pipewire", format!("PipeWire {major}.{minor}.{micro} runs."))
        }
        None => Finding::ok("pipewire", "PipeWire runs; its version cannot be told."),
    }];
    let loaded = maps.contains("libpipewire-module-wireloom.so");
    findings.push(match snapshot.manager.state_reason.as_str() {
        "drop-in" => {
            let (text, advice) = split(&snapshot.manager.state_text);
            let found = if loaded { Finding::warning } else { Finding::failed };
            found("module", text).advise(advice)
        }
        _ if loaded || snapshot.manager.state == "running" => {
            Finding::ok("module", "The Wireloom module is in it.")
        }
        "schema-mismatch" => Finding::failed("module", snapshot.manager.state_text.clone())
            .advise("systemctl --user restart pipewire, so that it loads the module that is installed now"),
        "" if maps.is_empty() => {
            Finding::unknown("module", "Whether the Wireloom module is in it cannot be told.")
        }
        _ => Finding::failed("module", "The Wireloom module is not in it.").advise(SWITCH_ON.join("; ")),
    });
    let class = snapshot.manager.latency_frames;
    let raised =
        snapshot.streams.iter().filter(|stream| !stream.mode.is_empty() && stream.direction == "receive");
    findings.extend(raised.map(|stream| stream.latency_frames).max().map(|latency| {
        if latency > class {
            let text = format!(
                "The graph's quantum, or a sender in bursts, raises the latency from {class} to {latency} frames."
            );
            Finding::warning("quantum", text)
                .advise("wireloom why names a sender in bursts; see pw-top who asks for a long quantum; pw-metadata -n settings 0 clock.force-quantum 64 tries a short one")
        } else {
            Finding::ok("quantum", format!("It allows the latency of {class} frames."))
        }
    }));
    findings
}

/// What happened, and the command that the sentence ends with.
fn split(text: &str) -> (&str, &str) {
    text.split_once(" To switch it on again: ").unwrap_or((text, "wireloom-agent(1) says more"))
}

/// From the name of the library: `libpipewire-0.3.so.0.365.0` is 0.3.65, `...so.0.1402.0` is 1.4.2.
fn version(maps: &str) -> Option<(u32, u32, u32)> {
    let (_, rest) = maps.split_once("libpipewire-0.3.so.0.")?;
    let digits = rest.split('.').next()?;
    let number: u32 = digits.parse().ok()?;
    Some((number / 1000, number / 100 % 10, number % 100))
}

/// Whether the clock service runs, and what the clock is.
pub fn clock(root: &Root, processes: &[Process], snapshot: &Snapshot) -> Vec<Finding> {
    if named(processes, "wireloom-clock").next().is_none() {
        let held = if root.exists("run/wireloom/clock") { "; the last time known is held" } else { "" };
        let text = format!("The clock service does not run{held}: streams are resampled.");
        return vec![Finding::warning("clock", text).advise("systemctl start wireloom-clock (as root)")];
    }
    let active = snapshot.clocks.iter().find(|clock| clock.active);
    vec![match active {
        None => Finding::warning("clock", "The clock service runs, but the agent sees no clock of it."),
        Some(clock) if matches!(clock.state.as_str(), "locked" | "tracking" | "leader") => {
            Finding::ok("clock", clock.state_text.clone())
        }
        Some(clock) => Finding::warning("clock", clock.state_text.clone()).advise(
            "without a PTP grandmaster streams are resampled; let a device lead, or this computer while none does: \
             wireloom clock --lead last-resort",
        ),
    }]
}

#[cfg(test)]
mod tests {
    use super::{SWITCH_ON, version};

    #[test]
    fn the_module_is_switched_on_as_the_readme_does() {
        let readme = include_str!("../../../README.md");
        assert!(readme.contains(&SWITCH_ON.join("\n")));
    }

    #[test]
    fn the_library_tells_the_version() {
        let maps = |number: u32| format!("7f00 r-xp 0 0:0 1 /usr/lib/libpipewire-0.3.so.0.{number}.0\n");
        assert_eq!(version(&maps(365)), Some((0, 3, 65)));
        assert_eq!(version(&maps(1005)), Some((1, 0, 5)));
        assert_eq!(version(&maps(1402)), Some((1, 4, 2)));
        assert_eq!(version("7f00 r-xp 0 0:0 1 /usr/lib/libc.so.6\n"), None);
    }
}
