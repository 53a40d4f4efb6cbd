//! What a wrong command line is answered with, where clap's own tips lead astray.

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Command, CommandFactory as _};

/// Takes tips away that help nobody, and adds where a command is that was looked for in the wrong place.
pub fn with_better_tips(mut error: Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let command = crate::Arguments::command();
            let tips = subcommands(&command, &error);
            error.remove(ContextKind::SuggestedSubcommand);
            if !tips.is_empty() {
                error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(tips));
            }
        }
        ErrorKind::UnknownArgument => {
            // A word that begins with dashes is hardly ever meant as a name.
            let tips = match error.remove(ContextKind::Suggested) {
                Some(ContextValue::StyledStrs(tips)) => tips,
                _ => Vec::new(),
            };
            let is_of_use = |tip: &clap::builder::StyledStr| !tip.to_string().contains(" as a value, use ");
            let tips: Vec<_> = tips.into_iter().filter(is_of_use).collect();
            if !tips.is_empty() {
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
            }
        }
        _ => {}
    }
    error
}

/// Commands that may have been meant by the one that there is not.
fn subcommands(command: &Command, error: &Error) -> Vec<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return Vec::new();
    };
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    if usage.contains("wireloom inspect") {
        return vec![format!("inspect sdp {word}")];
    }
    let deeper = command.get_subcommands().filter(|outer| outer.find_subcommand(word).is_some());
    let deeper: Vec<_> = deeper.map(|outer| format!("{} {word}", outer.get_name())).collect();
    if !deeper.is_empty() {
        return deeper;
    }
    let similar = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(similar)) => similar.clone(),
        _ => Vec::new(),
    };
    let is_hidden = |name: &String| command.find_subcommand(name).is_some_and(Command::is_hide_set);
    similar.into_iter().filter(|name| !is_hidden(name)).collect()
}
