//! Names for completion: what a TAB offers where a stream, route, preset or interface is to be named.
//!
//! The scripts that `clap_complete` writes know commands and options only. Glue in each of them asks the hidden
//! `wireloom complete -- WORD...` for the names that fit the last word, and quotes them as its shell wants.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Arg, Command, CommandFactory as _};
use clap_complete::Shell;
use wireloom_dbus::Snapshot;

use crate::client;
use crate::failure::Failure;

/// How long a shell may be kept waiting.
const PATIENCE: Duration = Duration::from_millis(300);

/// What an argument names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stream,
    /// Of this computer, at an end of a route: others the agent does not tell of.
    Node,
    Device,
    Clock,
    Interface,
    Route,
    Preset,
}

use Kind::{Clock, Device, Interface, Node, Preset, Route, Stream};

/// Subcommands, the argument in them by its id, and what it names.
const NAMED: &[(&[&str], &str, &[Kind])] = &[
    (&["show"], "name", &[Stream, Device, Clock, Interface]),
    (&["why"], "name", &[Stream, Node, Route]),
    (&["why"], "sink", &[Stream, Node]),
    (&["connect"], "source", &[Stream, Node]),
    (&["connect"], "sink", &[Stream, Node]),
    (&["disconnect"], "route", &[Route, Stream, Node]),
    (&["disconnect"], "sink", &[Stream, Node]),
    (&["preset", "save"], "name", &[Preset]),
    (&["preset", "load"], "name", &[Preset]),
    (&["preset", "remove"], "name", &[Preset]),
    (&["stream", "remove"], "name", &[Stream]),
    (&["stream", "rename"], "name", &[Stream]),
    (&["stream", "pin"], "name", &[Stream]),
    (&["clock"], "interfaces", &[Interface]),
    (&["interface"], "chosen", &[Interface]),
    (&["selftest"], "interface", &[Interface]),
    (&["stream", "create"], "interface", &[Interface]),
];

#[derive(Debug, clap::Args)]
pub struct Complete {
    /// The words after `wireloom`; the last is the one to complete, perhaps empty
    #[arg(last = true)]
    words: Vec<String>,
}

impl Complete {
    /// Prints nothing, rather than making a shell wait, when the agent does not answer soon.
    pub async fn run(self) -> Result<(), Failure> {
        let command = crate::Arguments::command();
        let Some((kinds, prefix)) = expected(&command, &self.words) else {
            return Ok(());
        };
        let snapshot = async { client::snapshot(&client::connect().await?).await };
        if let Ok(Ok(snapshot)) = tokio::time::timeout(PATIENCE, snapshot).await {
            names(&snapshot, kinds).iter().for_each(|name| println!("{prefix}{name}"));
        }
        Ok(())
    }
}

/// `script` as `clap_complete` wrote it for `shell`, with the glue that asks for names.
pub fn with_names(shell: Shell, script: String) -> String {
    match shell {
        Shell::Bash => script + "\n" + include_str!("complete/names.bash"),
        Shell::Fish => script + "\n" + include_str!("complete/names.fish"),
        // The first call replaces the function by the one in the script: the names must come from inside.
        Shell::Zsh => {
            script.replacen(ZSH_START, &format!("{ZSH_START}{}", include_str!("complete/names.zsh")), 1)
        }
        _ => script,
    }
}

/// Where the script for zsh begins to complete.
const ZSH_START: &str = "\n_wireloom() {\n";

/// What the last of `words` names, and what of that word comes before the name, as in `--interface=`.
fn expected<'a>(command: &Command, words: &'a [String]) -> Option<(&'static [Kind], &'a str)> {
    let (current, before) = words.split_last()?;
    let (mut command, mut path) = (command, Vec::new());
    let mut position = 0;
    let mut option: Option<&Arg> = None; // may take the next word
    for word in before {
        if let Some(name) = word.strip_prefix("--").filter(|name| !name.is_empty()) {
            let long = |name: &str| command.get_arguments().find(|arg| arg.get_long() == Some(name));
            option = long(name).filter(|arg| arg.get_action().takes_values());
        } else if word.starts_with('-') && word != "-" {
            option = None; // no short option takes a value
        } else if let Some(arg) = option {
            option = takes_more(arg).then_some(arg);
        } else if let Some(subcommand) = command.find_subcommand(word) {
            path.push(subcommand.get_name());
            (command, position) = (subcommand, 0);
        } else {
            position += 1;
        }
    }
    let kinds = |arg: &Arg| {
        let named = |(of, id, _): &&(&[&str], &str, _)| *of == path.as_slice() && arg.get_id() == *id;
        NAMED.iter().find(named).map(|(_, _, kinds)| *kinds)
    };
    if let Some(rest) = current.strip_prefix("--") {
        let (name, value) = rest.split_once('=')?;
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(name))?;
        return Some((kinds(arg)?, current.strip_suffix(value)?));
    }
    if current.starts_with('-') {
        return None;
    }
    let arg = option.or_else(|| command.get_positionals().nth(position))?;
    Some((kinds(arg)?, ""))
}

fn takes_more(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.max_values() > 1)
}

/// In order and each once; a name that cannot be on one line of a terminal is left out.
fn names(snapshot: &Snapshot, kinds: &[Kind]) -> BTreeSet<String> {
    let of = |kind: &Kind| -> Vec<&String> {
        match kind {
            Stream => snapshot.streams.iter().map(|stream| &stream.alias).collect(),
            Node => {
                let is_ours =
                    |node: &&String| !snapshot.streams.iter().any(|stream| stream.node_name == **node);
                let ends = snapshot.routes.iter().flat_map(|route| [&route.source, &route.sink]);
                ends.filter(is_ours).collect()
            }
            Device => snapshot.devices.iter().map(|device| &device.alias).collect(),
            Clock => snapshot.clocks.iter().map(|clock| &clock.id).collect(),
            Interface => snapshot.interfaces.iter().map(|interface| &interface.name).collect(),
            Route => snapshot.routes.iter().map(|route| &route.id).collect(),
            Preset => snapshot.manager.presets.keys().collect(),
        }
    };
    let usable = |name: &&String| !name.is_empty() && !name.contains(char::is_control);
    kinds.iter().flat_map(of).filter(usable).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wireloom_dbus::{RouteInfo, StreamInfo};

    fn command() -> Command {
        let mut command = crate::Arguments::command();
        command.build();
        command
    }

    #[test]
    fn a_word_is_known_by_those_before_it() {
        let command = command();
        for (line, found) in [
            ("why |", Some((&[Stream, Node, Route][..], ""))),
            ("why Drums |", Some((&[Stream, Node], ""))),
            ("why Drums Monitor |", None),
            ("--json --no-color why St", Some((&[Stream, Node, Route], ""))),
            ("show --statistics |", Some((&[Stream, Device, Clock, Interface], ""))),
            ("show --st", None),
            ("connect --wait 10 |", Some((&[Stream, Node], ""))),
            ("connect --wait |", None),
            ("connect --map 1:2 show |", Some((&[Stream, Node], ""))),
            ("stream |", None),
            ("stream remove |", Some((&[Stream], ""))),
            ("stream rename Drums |", None),
            ("stream create |", None),
            ("preset load |", Some((&[Preset], ""))),
            ("preset load Sunday --role |", None),
            ("selftest --interface |", Some((&[Interface], ""))),
            ("selftest --interface=en", Some((&[Interface], "--interface="))),
            ("interface --use eth0 |", Some((&[Interface], ""))),
            ("clock --interfaces eth0 eth1 --reset |", None),
            ("clock --domain |", None),
            ("|", None),
        ] {
            let words: Vec<String> = line.split(' ').map(|word| word.replace('|', "")).collect();
            assert_eq!(expected(&command, &words), found, "{line}");
        }
    }

    /// An argument that was renamed would lose its names unnoticed.
    #[test]
    fn every_argument_that_is_named_exists() {
        let command = command();
        for (path, id, _) in NAMED {
            let mut owner = &command;
            for name in *path {
                owner = owner.find_subcommand(name).expect("a subcommand");
            }
            assert!(owner.get_arguments().any(|arg| arg.get_id() == *id), "{path:?} {id}");
        }
    }

    #[test]
    fn names_come_in_order_and_whole() {
        let stream = |alias: &str| StreamInfo {
            alias: alias.into(),
            node_name: format!("wireloom.{alias}.tx"),
            ..StreamInfo::default()
        };
        let streams = ["Stage box", "Drums", "two\nlines", "", "Drums"].map(stream).to_vec();
        let route =
            RouteInfo { source: "wireloom.Drums.tx".into(), sink: "ardour".into(), ..RouteInfo::default() };
        let snapshot = Snapshot { streams, routes: vec![route], ..Snapshot::default() };
        assert_eq!(names(&snapshot, &[Node]).into_iter().collect::<Vec<_>>(), ["ardour"]);
        assert_eq!(names(&snapshot, &[Stream]).into_iter().collect::<Vec<_>>(), ["Drums", "Stage box"]);
    }
}
