//! Clients that leave the bus: what they did not confirm is undone.

use std::future::poll_fn;
use std::pin::Pin;

use zbus::export::futures_core::Stream as _;
use zbus::{Connection, fdo};

use crate::request::{Ask, Core, RouteAsk};

/// Tells the core of every client that leaves, until the bus is gone.
pub async fn watch(connection: Connection, core: Core) -> zbus::Result<()> {
    let bus = fdo::DBusProxy::new(&connection).await?;
    let mut changes = bus.receive_name_owner_changed().await?;
    while let Some(change) = poll_fn(|context| Pin::new(&mut changes).poll_next(context)).await {
        let change = change.args()?;
        if change.new_owner().is_none() && change.name().as_str().starts_with(':') {
            let client = change.name().to_string();
            let _ = core.ask(Ask::Route(RouteAsk::ClientLeft { client })).await; // the core is stopping
        }
    }
    Ok(())
}
