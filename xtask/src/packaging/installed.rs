use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use super::{Stage, output, read};
use crate::cargo::root;

/// What an installation consists of, one path a line.
const LIST: &str = "data/installed-files.txt";
/// In the list, where PipeWire's modules are: the folder's name has the architecture in it.
const MODULES: &str = "@moduledir@";

/// Compares the installation with the list; `UPDATE_EXPECT=1` rewrites the list.
pub fn compare(stage: &Stage) -> anyhow::Result<String> {
    let modules = output(Command::new("pkg-config").args(["--variable=moduledir", "libpipewire-0.3"]))?;
    let mut found = Vec::new();
    files(&stage.root, &mut |path| {
        let path = path.strip_prefix(&stage.root).unwrap_or(path).display().to_string();
        let path = match path.strip_prefix(modules.trim().trim_start_matches('/')) {
            Some(rest) => format!("{MODULES}{rest}"),
            // Distributions differ in whether /lib is spelled /usr/lib; it is the same folder.
            None if path.starts_with("lib/") => format!("usr/{path}"),
            None => path,
        };
        found.push(path);
    })?;
    found.sort();
    let list = root().join(LIST);
    let text = found.join("\n") + "\n";
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&list, &text)?;
    }
    let expected = read(&list)?;
    let missing: Vec<&str> = expected.lines().filter(|line| !found.iter().any(|path| path == line)).collect();
    let new: Vec<&String> = found.iter().filter(|path| !expected.lines().any(|line| line == *path)).collect();
    ensure!(
        missing.is_empty() && new.is_empty(),
        "{LIST} differs: not installed {missing:?}, not in the list {new:?}"
    );
    for interface in std::fs::read_dir(root().join("dbus"))? {
        let name = interface?.file_name().to_string_lossy().into_owned();
        let installed = found.contains(&format!("usr/share/dbus-1/interfaces/{name}"));
        ensure!(installed || !name.ends_with(".xml"), "dbus/meson.build leaves out {name}");
    }
    Ok(format!("{} files", found.len()))
}

fn files(folder: &Path, found: &mut impl FnMut(&Path)) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() { files(&path, found)? } else { found(&path) }
    }
    Ok(())
}

/// systemd finds no fault with the units, and can make the account that one of them runs under.
pub fn units(stage: &Stage) -> anyhow::Result<String> {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return Ok("not tried: there is no systemd here".to_owned());
    }
    let scratch = stage.build.join("units");
    std::fs::create_dir_all(&scratch)?;
    for (directory, name, manager) in
        [("user", "wireloom.service", "--user"), ("system", "wireloom-clock.service", "--system")]
    {
        let folders = ["/usr/lib/systemd", "/lib/systemd"];
        let mut places = folders.iter().map(|folder| stage.path(&format!("{folder}/{directory}/{name}")));
        let unit = places.find(|place| place.exists()).with_context(|| format!("{name} is not installed"))?;
        // systemd looks whether the program exists, and it exists in the stage only.
        let text = read(&unit)?.replace("ExecStart=/", &format!("ExecStart={}/", stage.root.display()));
        let copy = scratch.join(name);
        std::fs::write(&copy, text)?;
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", manager, "--man=no", "--recursive-errors=no"]).arg(&copy);
        verify.env("XDG_RUNTIME_DIR", &scratch);
        let result = verify.output().context("running systemd-analyze")?;
        let said = String::from_utf8_lossy(&result.stderr);
        let about: Vec<&str> = said.lines().filter(|line| line.contains("wireloom")).collect();
        ensure!(result.status.success() && about.is_empty(), "{name}: {}", said.trim());
    }
    let accounts = scratch.join("accounts");
    std::fs::create_dir_all(accounts.join("etc"))?;
    let rules = stage.path("/usr/lib/sysusers.d/wireloom-clock.conf");
    output(Command::new("systemd-sysusers").arg(format!("--root={}", accounts.display())).arg(rules))?;
    let users = read(&accounts.join("etc/passwd"))?;
    ensure!(users.contains("wireloom-clock:"), "systemd-sysusers made no account: {users}");
    Ok("2 units".to_owned())
}

/// Programs read the installed examples without a word, as they are and with every line in use.
pub fn configuration(stage: &Stage) -> anyhow::Result<String> {
    let scratch = stage.build.join("configuration");
    std::fs::create_dir_all(&scratch)?;
    let [agent, clock] =
        ["wireloom-agent", "wireloom-clock"].map(|name| stage.path(&format!("/usr/libexec/{name}")));
    let check_agent = |text: &str| {
        std::fs::write(scratch.join("wireloom.conf"), text)?;
        output(Command::new(&agent).arg("--check-config").env("WIRELOOM_CONFIG_DIR", &scratch))
    };
    let text = read(&stage.path("/usr/share/wireloom/wireloom.conf"))?;
    let without_names = |printed: String| {
        let lines =
            printed.lines().filter(|line| !line.starts_with('#') && !line.starts_with("clock-domain"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let as_it_is = without_names(check_agent(&text)?);
    ensure!(as_it_is == without_names(check_agent("")?), "wireloom.conf as installed changes a default");
    ensure!(
        as_it_is == without_names(check_agent(&in_use(&text))?),
        "a line of wireloom.conf is not the default"
    );
    for key in super::manuals::agent_keys(&agent)? {
        ensure!(in_use(&text).contains(&format!("\n{key} = ")), "wireloom.conf does not show {key}");
    }

    let text = read(&stage.path("/usr/share/doc/wireloom/examples/clock.conf"))?;
    let file = scratch.join("clock.conf");
    std::fs::write(&file, in_use(&text))?;
    output(Command::new(&clock).arg("--check-config").arg("--config").arg(&file))?;
    Ok(String::new())
}

/// `text` with every setting that it shows in a comment.
fn in_use(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(comment) if is_setting(comment.trim_start()) => comment.trim_start(),
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_setting(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.split_once(" = ").is_some_and(|(key, _)| key.chars().all(word))
        || (text.starts_with('[') && text.ends_with(']'))
}
