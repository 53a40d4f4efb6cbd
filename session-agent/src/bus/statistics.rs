use std::collections::HashMap;
use std::sync::Arc;

use crate::request::{Ask, Core};
use crate::view::StreamView;

/// Serves `org.wireloom.Wireloom1.Stream.Statistics`. Reading asks the core to keep the module counting.
pub struct Statistics {
    pub view: Arc<StreamView>,
    pub core: Core,
}

#[zbus::interface(name = "org.wireloom.Wireloom1.Stream.Statistics", introspection_docs = false)]
impl Statistics {
    #[zbus(property(emits_changed_signal = "false"))]
    fn counters(&self, #[zbus(header)] header: Option<zbus::message::Header<'_>>) -> HashMap<String, i64> {
        if header.is_some() {
            self.core.hint(Ask::Watch); // a client reads, not the object server itself
        }
        let Some((stats, at_us)) = &self.view.statistics else { return HashMap::new() };
        let mut counters: HashMap<String, i64> = HashMap::new();
        if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(stats) {
            for (name, value) in fields {
                let number = value.as_i64().or_else(|| value.as_u64().map(|_| i64::MAX));
                counters.extend(number.map(|number| (name.replace('_', "-"), number)));
            }
        }
        let age_us = crate::time::wall_us().saturating_sub(*at_us);
        counters.insert("age-ms".to_owned(), i64::try_from(age_us / 1000).unwrap_or(i64::MAX));
        counters
    }
}
