//! What clients of the control socket ask for, and what they are told.

use serde_json::{Value, json};
use wireloom_clock_page::{Line, raw_now};
use wireloom_ptp::PortState;

use super::Daemon;
use super::lines::is_wanted;
use crate::control::{Request, refusal, success};
use crate::phc::Stamping;
use crate::port::Port;
use crate::settings::{Changes, LeadKind, Settings};
use crate::status;

impl Daemon {
    pub(super) fn serve_control(&mut self, now: i64) {
        let Some(mut control) = self.control.take() else { return };
        control.serve(now, |request| self.answer(request));
        self.control = Some(control);
    }

    fn answer(&mut self, request: Request) -> Value {
        let (changes, remembered) = match request {
            Request::Status => return success(self.status()),
            Request::Set(changes) => {
                let mut remembered = self.memory.changes().clone();
                remembered.merge(changes.clone());
                (Some(changes), remembered)
            }
            Request::Reset => (None, Changes::default()),
        };
        let mut settings = if changes.is_some() { self.settings.clone() } else { self.file.clone() };
        if let Err(error) = settings.apply(changes.as_ref().unwrap_or(&self.options)) {
            return refusal(&error.to_string());
        }
        let is_preferred = changes.is_some_and(|changes| changes.preferred == Some(true));
        if is_preferred && settings.lead == LeadKind::Never {
            return refusal("preferred means nothing while lead is \"never\"");
        }
        self.change_settings(settings);
        match self.memory.remember_changes(remembered) {
            Ok(()) => success(self.status()),
            Err(error) => {
                tracing::warn!(%error, "not remembered for later runs");
                success(self.status())
            }
        }
    }

    fn change_settings(&mut self, settings: Settings) {
        let now = raw_now();
        let old = std::mem::replace(&mut self.settings, settings);
        let only_interfaces = Settings { interfaces: old.interfaces.clone(), ..self.settings.clone() };
        if only_interfaces != old {
            self.rebuild_ptp(now);
            let settings = self.settings.clone();
            self.publisher.retain(|source| is_wanted(&settings, source));
        }
        self.rescan(now);
        self.line_changed = true;
        tracing::info!("settings changed");
    }

    fn status(&self) -> Value {
        let now = raw_now();
        let status = self.ptp.as_ref().map(|ptp| (ptp.identity().to_string(), ptp.status(now)));
        let clock = status
            .as_ref()
            .map(|(identity, status)| status::clock(identity, status, self.leader_interface()));
        let port_state =
            |index: usize| self.ptp.as_ref().map_or(PortState::Disabled, |ptp| ptp.port_state(index as u16));
        let ports = self.ports.iter().enumerate();
        let ports = ports.filter_map(|(index, port)| Some(status::port(port.as_ref()?, port_state(index))));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "page": self.settings.page,
            "summary": self.present_summary(),
            "settings": status::settings(&self.settings),
            "clock": clock,
            "lines": self.publisher.lines().map(status::line).collect::<Vec<_>>(),
            "interfaces": ports.collect::<Vec<_>>(),
            "problems": self.problems,
            "realtime_steps": self.clocks.converter.steps,
            "stamps_rejected": self.clocks.converter.rejected,
        })
    }

    fn leader_port(&self) -> Option<&Port> {
        let leader = self.ptp.as_ref()?.status(raw_now()).leader?;
        self.ports.get(usize::from(leader.port))?.as_ref()
    }

    fn leader_interface(&self) -> Option<&str> {
        self.leader_port().map(|port| port.interface.name.as_str())
    }

    fn present_summary(&self) -> String {
        let mut best: Option<&Line> = None;
        for line in self.publisher.lines() {
            let better = |other: &Line| line.rung() < other.rung();
            if line.rung().is_some() && best.is_none_or(better) {
                best = Some(line);
            }
        }
        let hardware = self.leader_port().is_some_and(|port| matches!(port.stamping, Stamping::Hardware(_)));
        let ptp = self.ptp.as_ref().map(|ptp| ptp.status(raw_now()));
        let ptp = ptp.as_ref().map(|status| (status, self.settings.domain));
        status::summary(best, self.leader_interface(), hardware, ptp)
    }

    pub(super) fn tell_summary(&mut self) {
        let summary = self.present_summary();
        if summary != self.summary {
            tracing::info!("{summary}");
            self.notifier.send(&format!("STATUS={summary}"));
            self.summary = summary;
        }
    }
}
