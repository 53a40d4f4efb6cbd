use std::sync::Arc;

use crate::view::ClockView;

/// Serves `org.wireloom.Wireloom1.Clock`.
pub struct Clock {
    pub view: Arc<ClockView>,
}

#[zbus::interface(name = "org.wireloom.Wireloom1.Clock", introspection_docs = false)]
impl Clock {
    #[zbus(out_args("json"))]
    fn describe(&self) -> String {
        super::describe(&*self.view)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> &str {
        &self.view.id
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn source(&self) -> &str {
        self.view.source
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn domain(&self) -> u32 {
        self.view.domain
    }

    #[zbus(property)]
    fn state(&self) -> &str {
        self.view.condition.state
    }

    #[zbus(property)]
    fn state_reason(&self) -> &str {
        self.view.condition.reason
    }

    #[zbus(property)]
    fn state_text(&self) -> &str {
        &self.view.condition.text
    }

    #[zbus(property)]
    fn state_since(&self) -> u64 {
        self.view.condition.since_us
    }

    #[zbus(property)]
    fn grandmaster(&self) -> &str {
        &self.view.grandmaster
    }

    #[zbus(property)]
    fn active(&self) -> bool {
        self.view.active
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn error_bound_ns(&self) -> u64 {
        self.view.error_bound_ns
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn frequency_ppb(&self) -> f64 {
        self.view.frequency_ppb
    }

    #[zbus(property)]
    fn generation(&self) -> u32 {
        self.view.generation
    }
}
