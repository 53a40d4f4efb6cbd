//! The completion scripts in real shells. A program that only knows names answers in place of `wireloom`; what it is
//! told to do otherwise, it writes down.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

const NAMES: [&str; 8] = [
    "Stage box",
    "Stage \"left\"",
    "It's Ann's $(touch owned) `touch owned`",
    "Bühne [1] & *",
    "Desk: Main",
    "Desk: Monitor",
    "Desk=Aux",
    "\\o/ #1",
];

/// A folder with the script of `shell` and the program that answers.
fn folder(shell: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    let script = Command::new(env!("CARGO_BIN_EXE_wireloom")).args(["completions", shell]).output();
    let write = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).expect("writable");
    write("script", &script.expect("wireloom can be run").stdout);
    write("names", (NAMES.join("\n") + "\n").as_bytes());
    write(
        "wireloom",
        b"#!/bin/sh\n[ \"$1\" = complete ] || { printf '%s|' \"$@\" >> ran; echo >> ran; exit; }\n\
          printf '%s|' \"$@\" >> asked; echo >> asked\n\
          case \"$*\" in *show*|*why*|*connect*) cat names ;; esac\n",
    );
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path().join("wireloom"), executable).expect("it is ours");
    folder
}

/// `program` in `folder`, with nothing of the user who runs the test.
fn shell(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.current_dir(folder).env("PATH", format!("{}:{path}", folder.display()));
    command.env("HOME", folder).env("LC_ALL", "C.UTF-8").env("TERM", "dumb").env("INPUTRC", "/dev/null");
    command
}

/// Types `lines` into an interactive bash and gives back what `wireloom` was run with, line by line.
fn typed(folder: &Path, lines: &[&str]) -> Vec<String> {
    // Without a terminal of its own, which it would take from the test.
    let mut bash = shell("setsid", folder);
    bash.args(["--wait", "bash", "--noprofile", "--norc", "-i"]).stdin(Stdio::piped());
    let mut bash = bash.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("bash can be run");
    let text = format!(". ./script\n{}\nexit\n", lines.join("\n"));
    bash.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("bash reads");
    bash.wait().expect("bash ends");
    let ran = fs::read_to_string(folder.join("ran")).unwrap_or_default();
    ran.lines().map(str::to_owned).collect()
}

#[test]
fn tab_in_bash_completes_names_as_one_word() {
    let folder = folder("bash");
    let cases = [
        (r"show Stage\ b", "show|Stage box|"),
        ("show \"Stage b", "show|Stage box|"),
        ("show 'Stage b", "show|Stage box|"),
        (r#"show Stage\ \""#, "show|Stage \"left\"|"),
        (r#"show "Stage \""#, "show|Stage \"left\"|"),
        ("why It", "why|It's Ann's $(touch owned) `touch owned`|"),
        ("why 'It", "why|It's Ann's $(touch owned) `touch owned`|"),
        ("why \"It", "why|It's Ann's $(touch owned) `touch owned`|"),
        ("show B", "show|Bühne [1] & *|"),
        ("--json show B", "--json|show|Bühne [1] & *|"),
        (r"show Desk:\ Ma", "show|Desk: Main|"),
        (r"show Desk\:\ Mo", "show|Desk: Monitor|"),
        ("show \"Desk: Ma", "show|Desk: Main|"),
        ("show Desk=", "show|Desk=Aux|"),
        (r"connect Stage\ b", "connect|Stage box|"),
        (r"connect 'Stage box' \\", "connect|Stage box|\\o/ #1|"),
        ("sh", "show|"),
        ("show --stat", "show|--statistics|"),
        ("clock --lead al", "clock|--lead|always|"),
    ];
    let lines = cases.map(|(line, _)| format!("wireloom {line}\t"));
    let ran = typed(folder.path(), &lines.each_ref().map(String::as_str));
    assert_eq!(ran, cases.map(|(_, ran)| ran));
    assert!(!folder.path().join("owned").exists(), "a name was run as a command");
    let asked = fs::read_to_string(folder.path().join("asked")).expect("it was asked");
    assert!(asked.contains("complete|--|--json|show|B|\n"), "{asked}");
}

#[test]
fn bash_offers_every_name_that_fits() {
    let folder = folder("bash");
    let offered = |line: &str, words: &str| {
        let point = line.len();
        let text = format!(
            ". ./script; COMP_LINE='{line}' COMP_POINT={point} COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             _wireloom_or_names wireloom \"${{COMP_WORDS[COMP_CWORD]}}\" show; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let output = shell("bash", folder.path()).args(["--norc", "-c", &text]).output();
        String::from_utf8(output.expect("bash can be run").stdout).expect("text")
    };
    assert_eq!(offered("wireloom show St", "wireloom show St"), "Stage\\ box\nStage\\ \\\"left\\\"\n");
    assert_eq!(offered("wireloom show ", "wireloom show ''").lines().count(), NAMES.len());
    assert_eq!(offered("wireloom show Desk:", "wireloom show Desk :"), "\\ Main\n\\ Monitor\n");
    assert!(offered("wireloom stream rem", "wireloom stream rem").starts_with("remove\n"), "no names here");
}

/// Fish is on few machines; where it is not, this looks at nothing.
#[test]
fn fish_offers_every_name_where_it_is_installed() {
    let folder = folder("fish");
    let text = "source script; complete -C 'wireloom show St'; complete -C 'wireloom clock --lead al'";
    let Ok(output) = shell("fish", folder.path()).args(["--no-config", "-c", text]).output() else {
        eprintln!("no fish here");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().collect::<Vec<_>>(), ["Stage box", "Stage \"left\"", "always"]);
}

/// Zsh completes on a terminal only: this sees that the script asks for names before anything else.
#[test]
fn the_script_for_zsh_asks_for_names_first() {
    let folder = folder("zsh");
    let script = fs::read_to_string(folder.path().join("script")).expect("it was written");
    let (_, function) = script.split_once("\n_wireloom() {\n").expect("a function");
    let (before, _) = function.split_once("_arguments ").expect("commands and options");
    assert!(before.contains("command wireloom complete -- ") && before.contains("compadd -a names"));
}
