//! The module's arguments.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value};
use wireloom_clock_page::Source;
use wireloom_wanted::{Node, stable_id_is_valid};

use crate::spa_json::{SpaJsonError, parse_object};

/// Where the clock service publishes its page.
const DEFAULT_PAGE: &str = "/run/wireloom/clock";

/// What the module is told when it is loaded.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// `clock.page`: path of the clock page.
    pub page: PathBuf,
    /// `clock.domain`: the one PTPv2 domain to follow; the best line of the page when absent.
    pub pinned: Option<Source>,
    /// `test.panic-cycle`: the node cycle, counted over all nodes, in which this module's own code panics. For tests
    /// of what that does to PipeWire; never set it.
    pub panic_cycle: Option<u64>,
    /// `nodes`: nodes that exist whatever the metadata says, by id.
    pub nodes: Vec<(String, Node)>,
    /// What was not understood, in words.
    pub warnings: Vec<String>,
}

/// Why the arguments cannot be used.
#[derive(Debug)]
pub(crate) enum ArgumentsError {
    /// The text is not SPA-JSON.
    Syntax(SpaJsonError),
    /// This argument has a value that it cannot have.
    Value(&'static str, &'static str),
}

impl fmt::Display for ArgumentsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => write!(f, "module arguments: {error}"),
            Self::Value(name, expected) => write!(f, "module argument {name} must be {expected}"),
        }
    }
}

impl std::error::Error for ArgumentsError {}

impl Arguments {
    /// Reads `text` as it stands in the configuration.
    pub(crate) fn parse(text: &str) -> Result<Self, ArgumentsError> {
        let map = parse_object(text).map_err(ArgumentsError::Syntax)?;
        let mut this = Self {
            page: DEFAULT_PAGE.into(),
            pinned: None,
            panic_cycle: None,
            nodes: Vec::new(),
            warnings: Vec::new(),
        };
        for (name, value) in map {
            this.set(&name, value)?;
        }
        Ok(this)
    }

    /// Sets one argument; a later one of the same name wins.
    pub(crate) fn set(&mut self, name: &str, value: Value) -> Result<(), ArgumentsError> {
        match name {
            "clock.page" => match value {
                Value::String(path) if path.starts_with('/') => self.page = path.into(),
                _ => return Err(ArgumentsError::Value("clock.page", "an absolute path")),
            },
            "clock.domain" => {
                let domain = match &value {
                    Value::String(text) => text.parse().ok(),
                    other => other.as_u64().and_then(|n| u8::try_from(n).ok()),
                };
                let domain = domain.filter(|n| *n < 128);
                let domain = domain.ok_or(ArgumentsError::Value("clock.domain", "a number from 0 to 127"))?;
                self.pinned = Some(Source::PtpV2(domain));
            }
            "test.panic-cycle" => {
                let cycle = value.as_u64().filter(|n| *n > 0);
                self.panic_cycle =
                    Some(cycle.ok_or(ArgumentsError::Value("test.panic-cycle", "a number above 0"))?);
            }
            "nodes" => {
                let map = match value {
                    Value::Object(map) => map,
                    Value::String(text) => parse_object(&text).map_err(ArgumentsError::Syntax)?,
                    _ => return Err(ArgumentsError::Value("nodes", "an object of nodes by id")),
                };
                self.nodes_from(map);
            }
            _ => self.warnings.push(format!("the module has no argument {name}")),
        }
        Ok(())
    }

    /// A node that cannot be read is left out with a warning: the others are none the worse for it.
    fn nodes_from(&mut self, map: Map<String, Value>) {
        for (id, value) in map {
            if !stable_id_is_valid(&id) {
                self.warnings.push(format!("{id:?} is no node id: use letters, digits, '.', '_' and '-'"));
                continue;
            }
            match serde_json::from_value::<Node>(labels_as_text(value)) {
                Ok(node) => match node.check() {
                    Ok(()) => self.nodes.push((id, node)),
                    Err(error) => self.warnings.push(format!("node {id}: {error}")),
                },
                Err(error) => self.warnings.push(format!("node {id}: {error}")),
            }
        }
    }
}

/// Channel labels that look like numbers (`[ 1 2 ]`) are texts all the same.
fn labels_as_text(mut node: Value) -> Value {
    if let Some(Value::Array(labels)) = node.get_mut("channels") {
        for label in labels {
            if !label.is_string() {
                *label = Value::String(label.to_string());
            }
        }
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_is_understood() {
        let arguments = Arguments::parse(include_str!("../example-arguments.conf")).expect("valid");
        assert_eq!(arguments.warnings, Vec::<String>::new());
        assert_eq!(arguments.pinned, Some(Source::PtpV2(0)));
        let (id, node) = arguments.nodes.first().expect("one node");
        assert_eq!((id.as_str(), node.channels.len(), node.legs.len()), ("stage-l.tx", 2, 1));
    }

    #[test]
    fn nothing_at_all_gives_the_defaults() {
        for text in ["", "{}", "{ # nothing\n }"] {
            let arguments = Arguments::parse(text).expect("valid");
            assert_eq!(arguments.page, PathBuf::from(DEFAULT_PAGE));
            assert_eq!(arguments.nodes.len(), 0);
        }
    }

    #[test]
    fn wrong_values_are_refused_and_wrong_nodes_left_out() {
        let error = Arguments::parse("clock.domain = 128").expect_err("too large");
        assert_eq!(error.to_string(), "module argument clock.domain must be a number from 0 to 127");
        let arguments =
            Arguments::parse("nodes = { a = { direction = up } \"b c\" = {} } x = 1").expect("valid");
        assert_eq!(arguments.nodes.len(), 0);
        assert_eq!(arguments.warnings.len(), 3, "{:?}", arguments.warnings);
    }
}
