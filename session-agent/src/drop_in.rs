//! The drop-in by which the user's PipeWire loads our module: switched off when the daemon keeps dying with it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// As the user was told to link it.
const NAME: &str = "50-wireloom.conf";
/// What is appended to switch it off: PipeWire reads `*.conf` only.
const OFF: &str = ".off";
/// systemd answers at once or is stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the user's drop-ins for PipeWire are.
#[derive(Debug, Clone)]
pub struct DropIn {
    folder: PathBuf,
}

impl DropIn {
    /// Of the user with this environment; `None` for one without a home.
    pub fn new(env: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
        Some(Self { folder: config.join("pipewire/pipewire.conf.d") })
    }

    /// The command that switches it on again; `None` while it is on, or was never there.
    pub fn remedy(&self) -> Option<String> {
        let (on, off) = self.paths();
        (!is_there(&on) && is_there(&off)).then(|| {
            let [on, off] = [on, off].map(|path| quoted(&path));
            format!("mv {off} {on} && systemctl --user restart pipewire")
        })
    }

    /// Renames it, so that PipeWire starts without our module. Never takes the place of another file.
    pub fn switch_off(&self) -> io::Result<()> {
        let (on, off) = self.paths();
        if !is_there(&on) {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no {}", on.display())));
        }
        if is_there(&off) {
            let older = (1..).map(|number| off.with_extension(format!("off.{number}")));
            fs::rename(&off, older.into_iter().find(|path| !is_there(path)).unwrap_or_default())?;
        }
        fs::rename(on, off)
    }

    fn paths(&self) -> (PathBuf, PathBuf) {
        (self.folder.join(NAME), self.folder.join(format!("{NAME}{OFF}")))
    }
}

/// Whether somebody restarted PipeWire in order, as far as systemd knows: it counts the restarts that it made by
/// itself.
pub async fn is_restarted_in_order() -> bool {
    let mut command = tokio::process::Command::new("systemctl");
    command.args([
        "--user",
        "show",
        "--property=NRestarts,ActiveEnterTimestampMonotonic",
        "pipewire.service",
    ]);
    let output = command.stderr(Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(PATIENCE, output).await {
        Ok(Ok(output)) if output.status.success() => is_in_order(&String::from_utf8_lossy(&output.stdout)),
        _ => false, // PipeWire is not systemd's here
    }
}

/// From what `systemctl show` prints of the service.
fn is_in_order(properties: &str) -> bool {
    let value = |key: &str| properties.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let was_ever_active = value("ActiveEnterTimestampMonotonic").is_some_and(|time| time != "0");
    was_ever_active && value("NRestarts") == Some("0")
}

/// Whether there is a file or a link, wherever it leads.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// As a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/._-+".contains(&octet);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_in_is_renamed_and_nothing_is_lost() {
        let home = tempfile::tempdir().expect("temporary directory");
        let drop_in =
            DropIn::new(|name| (name == "HOME").then(|| home.path().as_os_str().to_owned())).expect("a home");
        let folder = home.path().join(".config/pipewire/pipewire.conf.d");
        fs::create_dir_all(&folder).expect("can be made");
        assert!(drop_in.switch_off().is_err_and(|error| error.kind() == io::ErrorKind::NotFound));
        for turn in 0..3 {
            std::os::unix::fs::symlink(format!("/nowhere/{turn}"), folder.join(NAME)).expect("can be made");
            assert_eq!(drop_in.remedy(), None);
            drop_in.switch_off().expect("there");
            let remedy = drop_in.remedy().expect("it is off");
            assert!(remedy.starts_with(&format!("mv {}/{NAME}.off ", folder.display())), "{remedy}");
        }
        let mut targets: Vec<_> = fs::read_dir(&folder)
            .expect("there")
            .map(|entry| fs::read_link(entry.expect("there").path()).expect("a link"))
            .collect();
        targets.sort();
        assert_eq!(targets, ["/nowhere/0", "/nowhere/1", "/nowhere/2"].map(PathBuf::from));
    }

    #[test]
    fn only_systemd_can_say_that_restarts_were_in_order() {
        for (properties, expected) in [
            ("NRestarts=0\nActiveEnterTimestampMonotonic=812\n", true),
            ("ActiveEnterTimestampMonotonic=812\nNRestarts=3\n", false),
            ("NRestarts=0\nActiveEnterTimestampMonotonic=0\n", false), // PipeWire runs otherwise
            ("", false),
        ] {
            assert_eq!(is_in_order(properties), expected, "{properties}");
        }
    }

    #[test]
    fn a_path_is_one_word_to_a_shell() {
        assert_eq!(quoted(Path::new("/home/a.b/x")), "/home/a.b/x");
        assert_eq!(quoted(Path::new("/home/a b's")), r"'/home/a b'\''s'");
    }
}
