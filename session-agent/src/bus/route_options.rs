//! Ends, channel maps and lists of connections in calls.

use std::collections::HashMap;

use zbus::OwnedVariant;

use super::Fault;
use super::options::Options;
use crate::request::Connection;

type Dictionary = HashMap<String, OwnedVariant>;

/// `aa{sv}` of pairs of channels.
pub fn map_of(map: Vec<Dictionary>) -> Result<Vec<(u32, u32)>, Fault> {
    map.into_iter()
        .map(|pair| {
            let mut pair = Options::new(pair);
            let numbers = (pair.take::<u32>("source")?, pair.take::<u32>("sink")?);
            pair.finish()?;
            match numbers {
                (Some(source), Some(sink)) => Ok((source, sink)),
                _ => Err(Fault::invalid_args("a pair of channels has \"source\" and \"sink\"")),
            }
        })
        .collect()
}

/// `aa{sv}` of connections.
pub fn connections_of(list: Vec<Dictionary>) -> Result<Vec<Connection>, Fault> {
    list.into_iter()
        .map(|entry| {
            let mut entry = Options::new(entry);
            let ends = (entry.take::<String>("source")?, entry.take::<String>("sink")?);
            let channels = (entry.take::<u32>("source-channel")?, entry.take::<u32>("sink-channel")?);
            entry.finish()?;
            let (Some(source), Some(sink)) = ends else {
                return Err(Fault::invalid_args("a connection has \"source\" and \"sink\""));
            };
            let map = match channels {
                (None, None) => Vec::new(),
                (Some(from), Some(to)) => vec![(from, to)],
                _ => {
                    let text = "\"source-channel\" and \"sink-channel\" come together";
                    return Err(Fault::invalid_args(text));
                }
            };
            Ok(Connection { source, sink, map })
        })
        .collect()
}
