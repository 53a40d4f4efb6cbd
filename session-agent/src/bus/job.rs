use std::sync::Arc;

use super::Fault;
use zbus::object_server::SignalEmitter;

use crate::request::{Ask, Core};
use crate::view::JobView;

/// Serves `org.wireloom.Wireloom1.Job`.
pub struct Job {
    pub id: String,
    pub view: Arc<JobView>,
    pub core: Core,
}

#[zbus::interface(name = "org.wireloom.Wireloom1.Job", introspection_docs = false)]
impl Job {
    async fn cancel(&self) -> Result<(), Fault> {
        self.core.ask(Ask::CancelJob { id: self.id.clone() }).await?;
        Ok(())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn operation(&self) -> &str {
        self.view.operation
    }

    #[zbus(property)]
    fn progress(&self) -> f64 {
        self.view.progress
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn progress_valid(&self) -> bool {
        true
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn cancelable(&self) -> bool {
        true
    }

    #[zbus(signal)]
    pub async fn completed(
        emitter: &SignalEmitter<'_>,
        success: bool,
        error_name: &str,
        message: &str,
    ) -> zbus::Result<()>;
}
