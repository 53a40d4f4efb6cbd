//! `wireloom inspect sdp` as a script sees it: what it prints and how it ends.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

fn inspect(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wireloom"))
        .args(["inspect", "sdp"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    // It may end before it has read everything.
    let _ = child.stdin.take().expect("piped").write_all(input);
    child.wait_with_output().expect("it ends")
}

fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/sdp")
}

fn vector(name: &str) -> Vec<u8> {
    fs::read(vectors().join(name)).expect("the vector is part of the source")
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[test]
fn json_has_exactly_the_documented_form() {
    let output = inspect(&["--json", "-"], &vector("e07-lawo-two-legs-short-ptime.sdp"));
    assert_eq!(output.status.code(), Some(0));
    let leg = |address, source| json!({"address": address, "port": 5004, "ttl": 31, "source": source});
    let expected = json!({
        "streams": [{
            "name": "MADI-A",
            "channels": 64,
            "rate": 48000,
            "encoding": "L24",
            "payload_type": 98,
            "ptime_us": 120,
            "samples_per_packet": 6,
            "legs": [leg("239.3.2.1", "192.0.2.41"), leg("239.4.2.1", "198.51.100.41")],
            "refclk": "ptp=IEEE1588-2008:00-0B-72-FF-FE-07-00-01:0",
            "media_offset": 0
        }],
        "warnings": [],
        "error": null
    });
    assert_eq!(report(&output), expected);
}

#[test]
fn missing_values_are_null() {
    let report = report(&inspect(&["-", "--json"], &vector("odd-livewire-no-origin-no-name.sdp")));
    let stream = &report["streams"][0];
    assert_eq!(
        (&stream["ptime_us"], &stream["refclk"], &stream["media_offset"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!((&stream["samples_per_packet"], &stream["legs"][0]["source"]), (&json!(48), &Value::Null));
    assert_eq!(report["warnings"].as_array().map(Vec::len), Some(6));
}

#[test]
fn every_vector_is_json_and_the_exit_status_tells_whether_it_plays() {
    let mut count = 0;
    for entry in fs::read_dir(vectors()).expect("the vectors are part of the source") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "sdp") {
            continue;
        }
        let file = path.to_str().expect("ASCII");
        let output = inspect(&["--json", file], b"");
        let report = report(&output);
        let refused = file.contains("/refused-");
        assert_eq!(output.status.code(), Some(i32::from(refused)), "{file}");
        assert_eq!(report["error"].is_null(), !refused, "{file}");
        assert_eq!(report["streams"].as_array().expect("a list").is_empty(), refused, "{file}");
        let plain = inspect(&[file], b"");
        assert_eq!(plain.status.code(), Some(i32::from(refused)), "{file}");
        assert!(!plain.stdout.is_empty(), "{file}");
        count += 1;
    }
    assert!(count >= 40, "{count} vectors");
}

#[test]
fn refusals_name_their_kind() {
    for (input, kind) in [
        (&b""[..], "not-sdp"),
        (b"hello", "not-sdp"),
        (&vector("refused-video-only.sdp"), "no-audio"),
        (&vector("refused-host-name.sdp"), "address"),
        (&vector("refused-codec.sdp"), "format"),
        (&vector("refused-too-big-for-a-packet.sdp"), "limit"),
    ] {
        let output = inspect(&["--json", "-"], input);
        assert_eq!(output.status.code(), Some(1));
        let report = report(&output);
        assert_eq!(report["error"]["kind"], kind);
        assert!(report["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
}

#[test]
fn of_what_is_no_description_people_are_told_only_that() {
    let noise = b"RIFF\x24\nWAVEfmt\nnothing\n".repeat(20);
    let plain = inspect(&["-"], &noise);
    assert_eq!(String::from_utf8_lossy(&plain.stdout), "not playable: this is not a session description\n");
    let warnings = report(&inspect(&["--json", "-"], &noise))["warnings"].clone();
    assert!(warnings.as_array().is_some_and(|list| !list.is_empty()), "programs get all: {warnings}");
}

#[test]
fn usage_unreadable_files_and_endless_input_end_in_words() {
    let output = inspect(&[], b"");
    assert_eq!(output.status.code(), Some(2));
    let output = inspect(&["/nonexistent/x.sdp"], b"");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("reading /nonexistent/x.sdp"));
    for unreadable in ["/nonexistent/x.sdp", "/"] {
        let output = inspect(&["--json", unreadable], b"");
        assert_eq!(output.status.code(), Some(1));
        let report = report(&output);
        assert_eq!((&report["streams"], &report["error"]["kind"]), (&json!([]), &json!("not-sdp")));
        assert!(report["error"]["message"].as_str().is_some_and(|message| message.contains(unreadable)));
        assert!(!output.stderr.is_empty());
    }
    let mut endless = vector("e01-neutral.sdp");
    endless.resize(5_000_000, b'\n');
    let output = inspect(&["--json", "-"], &endless);
    assert_eq!(output.status.code(), Some(0), "the first 8 KiB are read");
    assert_eq!(report(&output)["warnings"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_table_has_no_control_characters() {
    let text = String::from_utf8(vector("e01-neutral.sdp")).expect("UTF-8");
    let hostile = text
        .replace("s=Stage", "s=\u{1b}[31mStage\u{202e}")
        .replace("ts-refclk:", "ts-refclk:\u{1b}]0;x\u{7}");
    let output = inspect(&["-"], hostile.as_bytes());
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(shown.starts_with("[31mStage box L"), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']));
}
