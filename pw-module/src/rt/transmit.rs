//! A node that sends what is linked to it: samples go to the pacer, which owns the stream.

use std::sync::Arc;

use wireloom_units::{MediaIndex, Rate, Samples};
use wireloom_wanted::Mode;

use super::{Report, Resend, World};
use crate::ffi::{Ports, Position};

/// The cycle side of a transmit node.
pub(crate) struct Transmit {
    slot: Option<usize>,
    rate: Rate,
    resend: Option<Box<Resend>>,
    report: Arc<Report>,
    jumps: u32,
}

impl Transmit {
    /// A node for a stream at `rate` that sends nothing yet.
    pub(crate) fn new(rate: Rate, report: Arc<Report>) -> Self {
        Self { slot: None, rate, resend: None, report, jumps: 0 }
    }

    /// Sends by the pacer's place `slot` from now on; `None`: not at all. Returns the place used before.
    pub(crate) fn set_slot(&mut self, slot: Option<usize>) -> Option<usize> {
        self.report.set_mode(None);
        std::mem::replace(&mut self.slot, slot)
    }

    /// Gives it what sending from a foreign clock needs; returns what it had.
    pub(crate) fn set_resend(&mut self, resend: Option<Box<Resend>>) -> Option<Box<Resend>> {
        std::mem::replace(&mut self.resend, resend)
    }

    /// One cycle.
    pub(crate) fn process(&mut self, world: &mut World, position: &Position, ports: &mut Ports<'_>) {
        let Some(slot) = self.slot else { return };
        if world.drives(position) && position.rate == self.rate.hz() {
            self.report.set_mode(Some(Mode::Locked));
            self.report.set_wants_adaptive(false, 0);
            if let Some(resend) = &mut self.resend {
                resend.restart();
            }
            world.transmit(slot, MediaIndex(position.index), Samples(position.frames), ports);
            return;
        }
        // Another clock drives the graph, or it runs at another rate.
        self.report.set_mode(Some(Mode::Adaptive));
        let resend = self.resend.as_mut().filter(|resend| resend.is_for(position.rate));
        self.report.set_wants_adaptive(resend.is_none(), position.rate);
        let Some(resend) = resend else { return };
        let clock = world.clock_for(position);
        if std::mem::replace(&mut self.jumps, clock.jumps()) != clock.jumps() {
            resend.restart();
        }
        // The clock counts in the driver's rate; the stream has its own.
        let start = clock.index_at_rate(position.nsec.cast_signed(), self.rate);
        let graph_rate_diff = if position.rate_diff > 0.0 { position.rate_diff } else { 1.0 };
        let rate_ratio = clock.rate_diff() / graph_rate_diff;
        if let Some(made) = resend.process(start, position.frames, rate_ratio, ports) {
            world.transmit(slot, made.at, made.frames, &made);
        }
    }
}
