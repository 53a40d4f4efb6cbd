//! Configuration files: where they are, who wins, what is odd in them. Never written.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::settings::{KEYS, Settings};

/// Files larger than this are not configuration.
const MAX_BYTES: u64 = 256 * 1024;

/// Settings from files, with one sentence for everything that was not understood.
#[derive(Debug, Default)]
pub struct Loaded {
    pub settings: Settings,
    pub files: Vec<PathBuf>,
    pub warnings: Vec<String>,
}

/// The directories in which configuration is looked for, lowest priority first (desktop-conventions section 4).
pub fn directories(env: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    if let Some(list) = env("WIRELOOM_CONFIG_DIR") {
        return std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect();
    }
    let user = env("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(env("HOME")?).join(".config")));
    let mut directories = vec![PathBuf::from("/usr/share/wireloom"), PathBuf::from("/etc/wireloom")];
    directories.extend(user.map(|path| path.join("wireloom")));
    directories
}

/// Reads the winning main file and every fragment. A file that cannot be read is a warning, never an end.
pub fn load(directories: &[PathBuf]) -> Loaded {
    let mut loaded = Loaded::default();
    let main = directories.iter().rev().map(|path| path.join("wireloom.conf")).find(|path| path.is_file());
    let fragments = directories.iter().flat_map(|path| fragments(&path.join("wireloom.conf.d")));
    for path in main.into_iter().chain(fragments) {
        read(&path, &mut loaded);
        loaded.files.push(path);
    }
    loaded
}

/// The merged result as a configuration file, for `--check-config`.
pub fn print(loaded: &Loaded) -> String {
    let mut text = String::new();
    for path in &loaded.files {
        text.push_str(&format!("# read {}\n", path.display()));
    }
    for key in KEYS {
        match loaded.settings.value(key) {
            Some(value) => text.push_str(&format!("{key} = {value}\n")),
            None => text.push_str(&format!("# {key} is not set\n")),
        }
    }
    text
}

fn fragments(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "conf"))
        .collect();
    paths.sort();
    paths
}

fn read(path: &Path, loaded: &mut Loaded) {
    let place = path.display();
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            return loaded.warnings.push(format!("{place}: larger than {MAX_BYTES} bytes, not read"));
        }
        Err(error) => return loaded.warnings.push(format!("{place}: {error}")),
        Ok(_) => {}
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return loaded.warnings.push(format!("{place}: {error}")),
    };
    let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
    let (keys, values) = match (DeTable::parse(&text), text.parse::<toml::Table>()) {
        (Ok(keys), Ok(values)) => (keys, values),
        (Err(error), _) | (_, Err(error)) => {
            let line = error.span().map_or(1, |span| line_of(span.start));
            return loaded.warnings.push(format!("{place}:{line}: {}; the file is ignored", error.message()));
        }
    };
    for key in keys.get_ref().keys() {
        let (name, line) = (key.get_ref().as_ref(), line_of(key.span().start));
        let Some(value) = values.get(name) else { continue };
        if !KEYS.contains(&name) {
            loaded.warnings.push(format!("{place}:{line}: unknown key \"{name}\""));
        } else if let Err(why) = loaded.settings.set(name, value) {
            loaded.warnings.push(format!("{place}:{line}: {name} {why}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, text: &str) {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("can be made");
        std::fs::write(path, text).expect("can be written");
    }

    #[test]
    fn the_best_main_file_wins_as_a_whole_and_fragments_override() {
        let [low, high] = [(); 2].map(|()| tempfile::tempdir().expect("temporary directory"));
        write(low.path(), "wireloom.conf", "node-limit = 5\nlatency-frames = 96\n");
        write(high.path(), "wireloom.conf", "node-limit = 7\n");
        write(low.path(), "wireloom.conf.d/20.conf", "show = \"desktop\"\n");
        write(
            low.path(),
            "wireloom.conf.d/10.conf",
            "show = \"patchbay\"\naddress-pool = \"239.1.0.0/16\"\n",
        );
        write(high.path(), "wireloom.conf.d/10.conf", "address-pool = \"239.2.0.0/16\"\n");
        let loaded = load(&[low.path().to_owned(), high.path().to_owned()]);
        assert_eq!(loaded.warnings, Vec::<String>::new());
        assert_eq!((loaded.settings.node_limit, loaded.settings.latency_frames), (7, 144));
        assert_eq!(loaded.settings.show, crate::settings::Show::Desktop);
        assert_eq!(loaded.settings.address_pool.to_string(), "239.2.0.0/16");
        assert_eq!(loaded.files.len(), 4);
        assert!(print(&loaded).contains("node-limit = 7\n"));
    }

    #[test]
    fn odd_keys_are_named_with_file_and_line() {
        let directory = tempfile::tempdir().expect("temporary directory");
        write(directory.path(), "wireloom.conf", "\nnode-limit = \"many\"\ncolour = 3\nshow = \"desktop\"\n");
        write(directory.path(), "wireloom.conf.d/a.conf", "node-limit = 3\nnot toml at all\n");
        let loaded = load(&[directory.path().to_owned()]);
        let path = directory.path().join("wireloom.conf").display().to_string();
        assert!(
            loaded.warnings.contains(&format!("{path}:3: unknown key \"colour\"")),
            "{:?}",
            loaded.warnings
        );
        let bad = format!("{path}:2: node-limit must be a number from 0 to 1024");
        assert!(loaded.warnings.contains(&bad), "{:?}", loaded.warnings);
        assert!(loaded.warnings.iter().any(|w| w.contains("a.conf:2: ")), "{:?}", loaded.warnings);
        assert_eq!(loaded.settings.show, crate::settings::Show::Desktop);
        assert_eq!(loaded.settings.node_limit, 128);
    }

    #[test]
    fn the_example_is_the_defaults() {
        let directory = tempfile::tempdir().expect("temporary directory");
        write(directory.path(), "wireloom.conf", include_str!("../../data/wireloom.conf"));
        let loaded = load(&[directory.path().to_owned()]);
        assert_eq!((loaded.warnings, loaded.settings), (Vec::new(), Settings::default()));
    }

    #[test]
    fn the_override_replaces_every_default_place() {
        let env = |name: &str| (name == "WIRELOOM_CONFIG_DIR").then(|| OsString::from("/a:/b"));
        assert_eq!(directories(env), [PathBuf::from("/a"), PathBuf::from("/b")]);
        let env = |name: &str| (name == "HOME").then(|| OsString::from("/home/x"));
        assert_eq!(directories(env).last(), Some(&PathBuf::from("/home/x/.config/wireloom")));
    }
}
