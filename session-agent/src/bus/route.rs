use std::collections::HashMap;
use std::sync::Arc;

use zbus::{OwnedObjectPath, OwnedVariant, Str};

use super::object_path;
use crate::view::RouteView;

/// Serves `org.wireloom.Wireloom1.Route`.
pub struct Route {
    pub view: Arc<RouteView>,
}

#[zbus::interface(name = "org.wireloom.Wireloom1.Route", introspection_docs = false)]
impl Route {
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
        &self.view.source
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn sink(&self) -> &str {
        &self.view.sink
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn source_stream(&self) -> OwnedObjectPath {
        object_path("stream", &self.view.source_stream)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn sink_stream(&self) -> OwnedObjectPath {
        object_path("stream", &self.view.sink_stream)
    }

    #[zbus(property)]
    fn source_name(&self) -> &str {
        &self.view.source_name
    }

    #[zbus(property)]
    fn sink_name(&self) -> &str {
        &self.view.sink_name
    }

    #[zbus(property)]
    fn channels(&self) -> Vec<HashMap<&'static str, OwnedVariant>> {
        let channel = |channel: &crate::view::RouteChannelView| {
            HashMap::from([
                ("source", channel.source.into()),
                ("sink", channel.sink.into()),
                ("desired", channel.desired.into()),
                ("state", OwnedVariant::from(Str::from_static(channel.state))),
                ("reason", OwnedVariant::from(Str::from_static(channel.reason))),
            ])
        };
        self.view.channels.iter().map(channel).collect()
    }

    #[zbus(property)]
    fn desired(&self) -> bool {
        self.view.desired
    }

    #[zbus(property)]
    fn way(&self) -> &str {
        self.view.way
    }

    #[zbus(property)]
    fn relay_latency_ns(&self) -> u64 {
        self.view.relay_latency_ns
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
    fn checks(&self) -> Vec<HashMap<&'static str, OwnedVariant>> {
        super::check_dictionaries(&self.view.checks)
    }
}
