//! What users and programs ask through the bus.

use wireloom_sdp::for_display;
use wireloom_units::Nanos;

use super::Model;
use super::known::Origin;
use crate::request::{Answer, Ask, Refused, RouteAsk, Setting, StreamSetting};
use crate::settings::{Settings, Show};
use crate::time::Now;

/// Counters are asked of the module for so long after a client read them.
const WATCH: Nanos = Nanos::from_secs(10);
/// Descriptions that may be stored.
const MAX_ADDED: usize = 256;
/// The longest description.
const MAX_SDP: usize = 8192;

impl Model {
    /// Does what is asked, or says why not. [`Model::settle`] has to follow.
    pub fn handle_ask(&mut self, now: Now, ask: Ask) -> Answer {
        if !self.active
            && !matches!(ask, Ask::Watch | Ask::CancelJob { .. } | Ask::Route(RouteAsk::ClientLeft { .. }))
        {
            let text = "another session of this computer is active on the network";
            return Err(Refused::NotReady(text.to_owned()));
        }
        match ask {
            Ask::Set(setting) => self.set(now, setting),
            Ask::SetStream { id, setting } => self.set_stream(now, &id, setting),
            Ask::SetDeviceAlias { id, alias } => {
                let name = self.streams.values().find(|stream| stream.device() == id);
                let name = name.map(|stream| stream.device_name());
                let name = name.ok_or_else(|| Refused::NotFound(format!("no device {id}")))?;
                let alias = checked_alias(&alias, &name)?;
                let shown = if alias.is_empty() { name } else { alias.clone() };
                if alias.is_empty() {
                    self.saved.devices.remove(&id);
                } else {
                    self.saved.devices.insert(id, alias);
                }
                self.save_within(now, Nanos::ZERO);
                Ok(vec![shown])
            }
            Ask::Create(new) => self.create(now, &new),
            Ask::AddSdp { text, dry_run } => self.add_sdp(now, &text, dry_run),
            Ask::Remove { id, dry_run } => self.remove(now, &id, dry_run),
            Ask::Discover { timeout_ms } => self.discover(now, timeout_ms),
            Ask::CancelJob { id } => self.cancel_job(now, &id),
            Ask::Route(ask) => self.handle_route_ask(now, ask),
            Ask::Watch => {
                self.watch_until = Some(now.mono.plus(WATCH));
                Ok(Vec::new())
            }
        }
    }

    fn set(&mut self, now: Now, setting: Setting) -> Answer {
        let saved = &mut self.saved.settings;
        let (key, value): (_, toml::Value) = match &setting {
            Setting::NetworkInterfaces(names) => ("network-interfaces", names.clone().into()),
            Setting::NodeLimit(limit) => ("node-limit", i64::from(*limit).into()),
            Setting::Show(policy) => ("show", policy.as_str().into()),
            Setting::LatencyFrames(frames) => ("latency-frames", i64::from(*frames).into()),
            Setting::AddressPool(prefix) => ("address-pool", prefix.as_str().into()),
        };
        self.settings.set(key, &value).map_err(|why| Refused::Invalid(format!("{key} {why}")))?;
        match setting {
            Setting::NetworkInterfaces(names) => saved.network_interfaces = Some(names),
            Setting::NodeLimit(limit) => saved.node_limit = Some(limit),
            Setting::Show(policy) => saved.show = Some(policy),
            Setting::LatencyFrames(frames) => saved.latency_frames = Some(frames),
            Setting::AddressPool(prefix) => saved.address_pool = Some(prefix),
        }
        self.save_within(now, Nanos::ZERO);
        Ok(Vec::new())
    }

    /// Puts saved settings over the configured ones; a saved one that is no longer valid is dropped.
    pub(super) fn restore_settings(&mut self) {
        let saved = &self.saved.settings;
        let values: [(&str, Option<toml::Value>); 5] = [
            ("network-interfaces", saved.network_interfaces.clone().map(Into::into)),
            ("node-limit", saved.node_limit.map(|limit| i64::from(limit).into())),
            ("show", saved.show.clone().map(Into::into)),
            ("latency-frames", saved.latency_frames.map(|frames| i64::from(frames).into())),
            ("address-pool", saved.address_pool.clone().map(Into::into)),
        ];
        let mut settings: Settings = Settings::clone(&self.settings);
        for (key, value) in values.iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
            let _ = settings.set(key, value); // an invalid one leaves the configured value
        }
        self.settings = settings.into();
    }

    fn set_stream(&mut self, now: Now, id: &str, setting: StreamSetting) -> Answer {
        let stream = self.streams.get(id).ok_or_else(|| Refused::NotFound(format!("no stream {id}")))?;
        let name = stream.name.clone();
        let answer = match setting {
            StreamSetting::Alias(alias) => {
                let alias = checked_alias(&alias, &name)?;
                let shown = if alias.is_empty() { name } else { alias.clone() };
                self.saved_stream(id).alias = alias;
                vec![shown]
            }
            StreamSetting::Pinned(pinned) => {
                self.saved_stream(id).pinned = pinned;
                Vec::new()
            }
            StreamSetting::Show(policy) => {
                let valid = policy == "default" || Show::parse(&policy).is_some();
                if !valid {
                    let text = format!("show is default, auto, desktop or patchbay, not {policy:?}");
                    return Err(Refused::Invalid(text));
                }
                self.saved_stream(id).show = if policy == "default" { String::new() } else { policy };
                Vec::new()
            }
        };
        self.save_within(now, Nanos::ZERO);
        Ok(answer)
    }

    fn add_sdp(&mut self, now: Now, text: &str, dry_run: bool) -> Answer {
        if text.len() > MAX_SDP {
            return Err(Refused::Invalid(format!(
                "a description has at most {MAX_SDP} bytes, not {}",
                text.len()
            )));
        }
        wireloom_sdp::read(text.as_bytes()).map_err(|refusal| Refused::Mismatch(refusal.to_string()))?;
        let stored = self.saved.added.iter().any(|added| added == text);
        if !stored && self.saved.added.len() >= MAX_ADDED {
            return Err(Refused::Limit(format!("{MAX_ADDED} descriptions are stored already")));
        }
        if dry_run {
            return Ok(Vec::new());
        }
        let ids = self.insert_added(now, text).map_err(Refused::Mismatch)?;
        if !stored {
            self.saved.added.push(text.to_owned());
            self.save_within(now, Nanos::ZERO);
        }
        Ok(ids)
    }

    fn remove(&mut self, now: Now, id: &str, dry_run: bool) -> Answer {
        let stream = self.streams.get(id).ok_or_else(|| Refused::NotFound(format!("no stream {id}")))?;
        if dry_run {
            return Ok(Vec::new());
        }
        let (origin, sdp) = (stream.origin, stream.sdp.clone());
        if !self.graph.settled && self.not_adopted.len() < 4096 {
            self.not_adopted.insert(id.to_owned());
        }
        match origin {
            Origin::Own => {
                let sessions = self.saved.own.iter().filter(|own| own.id == id).map(|own| own.session_id);
                sessions.for_each(|session| self.announcer.handle_withdrawal(now.mono, session));
                self.saved.own.retain(|own| own.id != id);
                self.streams.remove(id);
                self.tell_own();
            }
            Origin::File => {
                self.saved.added.retain(|added| *added != *sdp);
                // All streams of the description go with it; one that is announced too stays as such.
                let same: Vec<_> = self
                    .streams
                    .iter()
                    .filter(|(_, other)| other.origin == Origin::File && other.sdp == sdp)
                    .map(|(id, _)| id.clone())
                    .collect();
                for id in same {
                    self.streams.remove(&id);
                    self.heard.retain(|_, other| *other != id);
                    self.forget_sessions_of(&id);
                }
            }
            _ => {
                self.streams.remove(id);
                let entries = self.heard.iter().filter(|(_, other)| *other == id);
                self.removed.extend(entries.map(|(entry, _)| (*entry, now.mono)));
                self.heard.retain(|_, other| *other != id);
                self.forget_sessions_of(id);
            }
        }
        self.save_within(now, Nanos::ZERO);
        Ok(Vec::new())
    }
}

/// `alias` as it is kept: harmless to show, empty when it is the name anyway.
fn checked_alias(alias: &str, name: &str) -> Result<String, Refused> {
    if alias.chars().count() > 128 {
        return Err(Refused::Invalid("an alias has at most 128 characters".to_owned()));
    }
    let alias = for_display(alias);
    Ok(if alias == name { String::new() } else { alias })
}
