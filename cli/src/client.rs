//! The way to the agent, and from what a user types to one object.

use wireloom_dbus::{Snapshot, StreamInfo};
use zbus::Connection;

use crate::failure::Failure;

/// Runs a command to its end.
pub fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?.block_on(command)
}

/// The session bus.
pub async fn connect() -> Result<Connection, Failure> {
    Connection::session().await.map_err(|error| Failure::NoAgent(format!("no session bus: {error}")))
}

/// Everything the agent knows.
pub async fn snapshot(bus: &Connection) -> Result<Snapshot, Failure> {
    Ok(Snapshot::read(bus).await?)
}

/// The stream that `text` names by id, alias or name.
pub fn stream<'a>(snapshot: &'a Snapshot, text: &str) -> Result<&'a StreamInfo, Failure> {
    find(&snapshot.streams, "stream", text, |stream| [&stream.id, &stream.alias, &stream.name])
}

/// The one of `items` that `text` names: by id, else by alias or name, case counting only when it must.
pub fn find<'a, T>(
    items: &'a [T],
    kind: &str,
    text: &str,
    names: impl Fn(&T) -> [&String; 3],
) -> Result<&'a T, Failure> {
    if let Some(item) = items.iter().find(|item| names(item)[0] == text) {
        return Ok(item);
    }
    let exact: Vec<_> = items.iter().filter(|item| names(item).iter().any(|name| *name == text)).collect();
    let folded = |name: &String| name.to_lowercase() == text.to_lowercase();
    let loose: Vec<_> = items.iter().filter(|item| names(item).into_iter().any(folded)).collect();
    match (exact.as_slice(), loose.as_slice()) {
        ([item], _) | ([], [item]) => Ok(item),
        ([], []) => Err(Failure::NotFound(format!("no {kind} is called \"{text}\""))),
        ([], several) | (several, _) => {
            let list: Vec<_> =
                several.iter().map(|item| format!("\n  {}  {}", names(item)[0], names(item)[1])).collect();
            Err(Failure::Usage(format!(
                "\"{text}\" is the name of several; say which by id:{}",
                list.concat()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str, alias: &str) -> StreamInfo {
        StreamInfo { id: id.into(), alias: alias.into(), name: alias.into(), ..StreamInfo::default() }
    }

    #[test]
    fn names_lead_to_one_stream_or_say_why_not() {
        let streams =
            vec![named("s-1", "Drums"), named("s-2", "Bass"), named("s-3", "Bass"), named("s-4", "drums")];
        let snapshot = Snapshot { streams, ..Snapshot::default() };
        let id = |text: &str| stream(&snapshot, text).map(|stream| stream.id.clone());
        assert_eq!(id("s-3").ok().as_deref(), Some("s-3"));
        assert_eq!(id("Drums").ok().as_deref(), Some("s-1"));
        assert_eq!(id("Piano").expect_err("none").code(), 3);
        let several = id("bass").expect_err("two");
        assert_eq!(several.code(), 2);
        assert!(several.to_string().contains("s-2") && several.to_string().contains("s-3"));
    }
}
