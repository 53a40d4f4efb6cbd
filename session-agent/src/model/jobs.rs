//! Work that takes longer than a call: for now, asking the network again.

use std::collections::BTreeMap;

use wireloom_units::Nanos;

use super::Model;
use crate::request::{Answer, Refused};
use crate::time::Now;
use crate::view::JobView;

const STEP: Nanos = Nanos::from_millis(500);
/// An ended job stays so long, so that its last state can be read.
const ENDED_STAYS: Nanos = Nanos::from_secs(1);

#[derive(Debug, Default)]
pub struct Jobs {
    next: u64,
    list: BTreeMap<String, Job>,
}

#[derive(Debug)]
struct Job {
    begun: Nanos,
    ends: Nanos,
    streams_before: usize,
    step: Nanos,
    outcome: Option<(bool, &'static str, String)>,
}

impl Jobs {
    pub fn timeout(&self) -> Option<Nanos> {
        self.list.values().map(|job| job.step).min()
    }

    pub fn views(&self, now: Now) -> impl Iterator<Item = (String, JobView)> {
        self.list.iter().map(move |(id, job)| {
            let span = job.ends.since(job.begun).0.max(1);
            let done = now.mono.since(job.begun).0.min(span);
            let progress = if job.outcome.is_some() { 1.0 } else { done as f64 / span as f64 };
            (id.clone(), JobView { operation: "discover", progress, outcome: job.outcome.clone() })
        })
    }
}

impl Model {
    pub(super) fn discover(&mut self, now: Now, timeout_ms: u32) -> Answer {
        if !(1000..=300_000).contains(&timeout_ms) {
            return Err(Refused::Invalid(format!("timeout-ms is 1000 to 300000, not {timeout_ms}")));
        }
        if let Some((id, _)) = self.jobs.list.iter().find(|(_, job)| job.outcome.is_none()) {
            let path = wireloom_dbus::path("job", id);
            return Err(Refused::InProgress(format!("{path} asks the network already")));
        }
        self.jobs.next += 1;
        let id = self.jobs.next.to_string();
        let ends = now.mono.plus(Nanos::from_millis(u64::from(timeout_ms)));
        let (streams_before, step) = (self.streams.len(), now.mono.plus(STEP).min(ends));
        let job = Job { begun: now.mono, ends, streams_before, step, outcome: None };
        self.jobs.list.insert(id.clone(), job);
        self.rejoin = true;
        Ok(vec![id])
    }

    pub(super) fn cancel_job(&mut self, now: Now, id: &str) -> Answer {
        let job = self.jobs.list.get_mut(id).ok_or_else(|| Refused::NotFound(format!("no job {id}")))?;
        if job.outcome.is_none() {
            let message = "cancelled by a client".to_owned();
            job.outcome = Some((false, "org.wireloom.Wireloom1.Error.Failed", message));
            job.step = now.mono.plus(ENDED_STAYS);
        }
        Ok(Vec::new())
    }

    pub(super) fn settle_jobs(&mut self, now: Now) {
        let streams = self.streams.len();
        for job in self.jobs.list.values_mut().filter(|job| job.step <= now.mono && job.outcome.is_none()) {
            if job.ends <= now.mono {
                let more = streams.saturating_sub(job.streams_before);
                job.outcome = Some((true, "", format!("{streams} streams, {more} of them new")));
                job.step = now.mono.plus(ENDED_STAYS);
            } else {
                job.step = now.mono.plus(STEP).min(job.ends);
            }
        }
        self.jobs.list.retain(|_, job| job.outcome.is_none() || job.step > now.mono);
    }
}
