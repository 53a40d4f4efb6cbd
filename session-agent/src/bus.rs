//! The objects on the bus: thin, one file per interface, no knowledge of streams.

mod checkpoint;
mod clients;
mod clock;
mod device;
mod interface;
mod job;
mod manager;
mod options;
mod publish;
mod route;
mod route_options;
mod statistics;
mod stream;

pub use clients::watch as watch_clients;
pub use publish::{Taken, connect, publish, publish_manager};

mod fault;

pub use fault::Fault;

/// A JSON object of `value` with the version of the format in front.
fn describe(value: &impl serde::Serialize) -> String {
    let mut json = serde_json::to_value(value).unwrap_or_default();
    if let Some(object) = json.as_object_mut() {
        object.insert("schema".to_owned(), 1.into());
    }
    json.to_string()
}

/// What `Stream.Checks` and `Route.Checks` say.
fn check_dictionaries(
    checks: &[crate::view::Check],
) -> Vec<std::collections::HashMap<&'static str, zbus::OwnedVariant>> {
    let text = |value: &str| zbus::OwnedVariant::from(zbus::Str::from(value.to_owned()));
    let dictionary = |check: &crate::view::Check| {
        let fields = [("name", check.name), ("verdict", check.verdict.word()), ("text", &check.text)];
        fields.map(|(key, value)| (key, text(value))).into()
    };
    checks.iter().map(dictionary).collect()
}

/// The object path of the `kind` named `id`.
fn object_path(kind: &str, id: &str) -> zbus::OwnedObjectPath {
    let path = if id.is_empty() { "/".to_owned() } else { wireloom_dbus::path(kind, id) };
    path.try_into().expect("wireloom_dbus::path keeps to the alphabet of object paths")
}
