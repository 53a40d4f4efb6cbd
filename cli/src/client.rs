//! The way to the agent, and from what a user types to one object.

use std::collections::HashMap;
use std::time::Duration;

use wireloom_dbus::{Snapshot, StreamInfo};
use zbus::Connection;

use crate::failure::Failure;
use crate::list::{address_of, format_of, way_of};

/// Runs a command to its end.
pub fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?.block_on(command)
}

/// The session bus.
pub async fn connect() -> Result<Connection, Failure> {
    Connection::session().await.map_err(|error| Failure::NoAgent(format!("no session bus: {error}")))
}

/// How often an agent that starts is asked again, and after which pause: it gives itself two seconds.
const ASKS: (usize, Duration) = (30, Duration::from_millis(100));

/// Everything the agent knows. One that the question itself has started looks around first.
pub async fn snapshot(bus: &Connection) -> Result<Snapshot, Failure> {
    for _ in 0..ASKS.0 {
        let snapshot = Snapshot::read(bus).await?;
        if snapshot.manager.state != "starting" {
            return Ok(snapshot);
        }
        tokio::time::sleep(ASKS.1).await;
    }
    Ok(Snapshot::read(bus).await?)
}

/// The stream that `text` names by id, alias or name.
pub fn stream<'a>(snapshot: &'a Snapshot, text: &str) -> Result<&'a StreamInfo, Failure> {
    let more =
        |stream: &StreamInfo| format!("{:<3}  {}  {}", way_of(stream), format_of(stream), address_of(stream));
    find(&snapshot.streams, "stream", text, |stream| [&stream.id, &stream.alias, &stream.name], more)
}

/// How many streams each name leads to.
pub fn name_counts(snapshot: &Snapshot) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for stream in &snapshot.streams {
        *counts.entry(stream.alias.as_str()).or_default() += 1;
        if stream.name != stream.alias {
            *counts.entry(stream.name.as_str()).or_default() += 1;
        }
    }
    counts
}

/// The one of `items` that `text` names: by id, else by alias or name, case counting only when it must. Several are
/// told apart by their ids, and by what `more` says of each.
pub fn find<'a, T>(
    items: &'a [T],
    kind: &str,
    text: &str,
    names: impl Fn(&T) -> [&String; 3],
    more: impl Fn(&T) -> String,
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
            let line = |item: &&T| {
                let [id, alias, _] = names(item);
                format!("\n  {id}  {alias}  {}", more(item)).trim_end().to_owned()
            };
            let list: Vec<_> = several.iter().map(line).collect();
            Err(Failure::Usage(format!(
                "\"{text}\" is the name of several; say which by id:{}",
                list.concat()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use wireloom_dbus::LegInfo;

    use super::*;

    fn named(id: &str, alias: &str) -> StreamInfo {
        let leg = LegInfo { address: "239.69.1.1".into(), port: 5004, ..LegInfo::default() };
        StreamInfo {
            id: id.into(),
            alias: alias.into(),
            name: alias.into(),
            direction: "transmit".into(),
            channels: vec![wireloom_dbus::ChannelInfo::default()],
            encoding: "L24".into(),
            rate_hz: 48_000,
            legs: vec![leg],
            ..StreamInfo::default()
        }
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
        let text = several.to_string();
        let lines: Vec<_> = text.lines().collect();
        let [question, first, second] = lines[..] else { panic!("{text}") };
        assert!(question.ends_with("say which by id:") && second.contains("s-3"), "{text}");
        assert_eq!(first, "  s-2  Bass  out  1 ch L24 48 kHz  239.69.1.1:5004");
        let counts = name_counts(&snapshot);
        assert_eq!((counts["Bass"], counts["Drums"], counts.get("bass")), (2, 1, None));
    }
}
