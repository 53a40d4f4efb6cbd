use std::sync::Arc;

use super::Fault;
use crate::request::{Ask, Core, RouteAsk};
use crate::view::CheckpointView;

/// Serves `org.wireloom.Wireloom1.Checkpoint`.
pub struct Checkpoint {
    pub view: Arc<CheckpointView>,
    pub core: Core,
}

impl Checkpoint {
    async fn end(&self, rollback: bool) -> Result<(), Fault> {
        let ask = RouteAsk::EndCheckpoint { id: self.view.id.clone(), rollback };
        self.core.ask(Ask::Route(ask)).await?;
        Ok(())
    }
}

#[zbus::interface(name = "org.wireloom.Wireloom1.Checkpoint", introspection_docs = false)]
impl Checkpoint {
    async fn confirm(&self) -> Result<(), Fault> {
        self.end(false).await
    }

    async fn rollback(&self) -> Result<(), Fault> {
        self.end(true).await
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> &str {
        &self.view.id
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn client(&self) -> &str {
        &self.view.client
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn created(&self) -> u64 {
        self.view.created_us
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn expires(&self) -> u64 {
        self.view.expires_us
    }
}
