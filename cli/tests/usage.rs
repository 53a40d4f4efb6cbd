//! The command as scripts see it: exit status, streams of output, generated text. No agent runs here.

use std::process::{Command, Output};

fn wireloom(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wireloom"))
        .args(arguments)
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        .output()
        .expect("wireloom can be run")
}

#[test]
fn without_an_agent_it_says_how_to_start_one() {
    for arguments in [
        &["list"][..],
        &["clock"],
        &["show", "Drums"],
        &["why", "Drums"],
        &["why", "Drums", "Monitor"],
        &["connect", "a", "b"],
        &["routes"],
        &["preset", "list"],
        &["stream", "create", "Drums"],
        &["watch"],
    ] {
        let output = wireloom(arguments);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}");
        assert!(output.stdout.is_empty());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("systemctl --user start wireloom"), "{text}");
    }
}

#[test]
fn wrong_usage_is_status_2() {
    for arguments in [
        &[][..],
        &["list", "chairs"],
        &["stream", "create"],
        &["list", "--wait", "0"],
        &["watch", "--timeout", "18446744073709551615"],
        &["connect", "a"],
        &["connect", "a", "b", "--map", "0:1"],
    ] {
        assert_eq!(wireloom(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn tips_name_what_is_there() {
    for (arguments, tip, not) in [
        (&["create", "Drums"][..], Some("exists: 'stream create'\n"), "complete"),
        (&["compete"], Some("'completions'"), "'complete'"),
        (&["inspect", "stage.wav"], Some("'inspect sdp stage.wav'"), "--help' is"),
        (&["list", "--chanels"], None, "as a value"),
        (&["stream", "create", "Drums", "--chanels", "8"], Some("'--channels'"), "as a value"),
        (&["lst"], Some("'list'"), "as a value"),
    ] {
        let output = wireloom(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(text.contains("tip:"), tip.is_some(), "{text}");
        assert!(tip.is_none_or(|tip| text.contains(tip)) && !text.contains(not), "{text}");
    }
    assert_eq!(wireloom(&["--help"]).status.code(), Some(0), "help is no error");
}

#[test]
fn every_name_in_json_is_documented() {
    use wireloom_dbus::{
        CheckInfo, ClockInfo, DeviceInfo, InterfaceInfo, LegInfo, RouteChannelInfo, RouteInfo, StreamInfo,
    };
    let manual = include_str!("../../man/wireloom.1.scd").replace('\\', "");
    let (_, manual) = manual.split_once("\nA stream has ").expect("the objects are described");
    for object in [
        serde_json::to_value(StreamInfo::default()),
        serde_json::to_value(LegInfo::default()),
        serde_json::to_value(CheckInfo::default()),
        serde_json::to_value(RouteInfo::default()),
        serde_json::to_value(RouteChannelInfo::default()),
        serde_json::to_value(DeviceInfo::default()),
        serde_json::to_value(ClockInfo::default()),
        serde_json::to_value(InterfaceInfo::default()),
    ] {
        let object = object.expect("plain values");
        for name in object.as_object().expect("an object").keys() {
            assert!(manual.contains(&format!("_{name}_")), "{name} is not in wireloom(1)");
        }
    }
}

/// Whatever a command makes of its own around these objects.
#[test]
fn every_document_is_documented() {
    let manual = include_str!("../../man/wireloom.1.scd").replace('\\', "");
    let (_, manual) = manual.split_once("\n# JSON\n").expect("a section");
    let mut found = 0;
    for folder in ["src", "../selftest/src"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let entries = folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path());
        for file in entries.filter(|path| path.is_file()) {
            let text = std::fs::read_to_string(&file).expect("text");
            for document in text.split("json!({").skip(1) {
                let document = document.split_once("})").map_or(document, |(document, _)| document);
                // What is quoted and has a colon after it is a name.
                let parts: Vec<&str> = document.split('"').collect();
                let names = parts.windows(2).skip(1).step_by(2).filter(|pair| pair[1].starts_with(':'));
                for name in names.map(|pair| pair[0]) {
                    found += 1;
                    let is_there = manual.contains(&format!("_{name}_"));
                    assert!(is_there, "{name} of {} is not in wireloom(1)", file.display());
                }
            }
        }
    }
    assert!(found > 20, "{found} names were found");
}

#[test]
fn completions_and_manual_name_every_command() {
    let help = String::from_utf8_lossy(&wireloom(&["--help"]).stdout).into_owned();
    let manual = String::from_utf8_lossy(&wireloom(&["man"]).stdout).into_owned();
    let scripts = ["bash", "zsh", "fish"].map(|shell| {
        let output = wireloom(&["completions", shell]);
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    for command in [
        "list",
        "show",
        "why",
        "doctor",
        "connect",
        "disconnect",
        "routes",
        "preset",
        "selftest",
        "watch",
        "stream",
        "clock",
        "interface",
        "inspect",
        "completions",
    ] {
        assert!(help.contains(&format!("  {command} ")), "--help: {command}");
        assert!(manual.contains(command), "manual: {command}");
        assert!(scripts.iter().all(|script| script.contains(command)), "completions: {command}");
    }
    assert!(!help.contains("  man "), "hidden");
}

#[test]
fn names_for_completion_never_keep_a_shell_waiting() {
    let output = wireloom(&["complete", "--", "show", ""]);
    assert!(output.status.success() && output.stdout.is_empty());
}

#[test]
fn the_doctor_works_without_an_agent_and_says_that_none_answers() {
    let output = wireloom(&["--json", "doctor"]);
    assert_eq!(output.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["sound"], false);
    let checks = document["checks"].as_array().expect("a list");
    assert!(
        checks.iter().any(|check| check["name"] == "agent" && check["verdict"] == "failed"),
        "{checks:?}"
    );
    assert!(checks.iter().any(|check| check["name"] == "ports"), "it looks at everything all the same");
}
