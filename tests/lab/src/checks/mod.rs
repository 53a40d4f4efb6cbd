//! What the lab checks, one entry a feature; each runs in a studio of its own.

mod activation;
mod bursts;
mod clock;
mod commands;
mod connect;
mod crowd;
mod default_device;
mod desktop;
mod discovery;
mod doctor;
mod drop_in;
mod drop_in_guard;
mod exclusive;
mod graph;
mod hostile;
mod interrupts;
mod ipv6;
mod latency;
mod leader_loss;
mod learned;
mod many_links;
mod memberships;
mod network;
mod oat;
mod oat_offer;
mod oat_receiver;
mod oat_route;
mod offset_noise;
mod other_media;
mod panic;
mod patchbays;
mod peers;
mod port_taken;
mod power_cycles;
mod quiet;
mod ravenna;
mod realtime;
mod receive;
mod relay;
mod reload;
mod restarts;
mod route_links;
mod rtp_modules;
mod selftest;
mod set_clock;
mod silence;
mod sound_card;
mod stock;
mod transmit;
mod two_hosts;
mod virtual_links;
mod why;
mod why_route;

use crate::products::Products;
use crate::studio::Studio;

/// One thing that must hold.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What must hold, in a few words.
    pub about: &'static str,
    /// What it takes of the machine.
    pub needs: Needs,
    /// Tries it; a remark with the figures when it holds.
    pub run: fn(&mut Studio, &Products) -> anyhow::Result<String>,
}

/// What a check takes of the machine that it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// All of it: it compares samples or judges times, which whatever runs beside it would disturb.
    Machine,
    /// Little but time: mostly it waits for a clock to lock, a state or a lease. Such checks run side by side, after the
    /// others.
    Time,
    /// Little, but all of it in a thorough studio, where it judges more narrowly.
    TimeUnlessThorough,
}

/// All checks, in the order in which they run: what others stand on comes first.
pub const CHECKS: &[Check] = &[
    Check {
        name: "network",
        about: "hosts reach what they should and nothing else",
        needs: Needs::Machine,
        run: network::run,
    },
    Check {
        name: "interrupts",
        about: "test, lab and demo that are ended half-way leave nothing behind",
        needs: Needs::Time,
        run: interrupts::run,
    },
    Check {
        name: "peers",
        about: "peers exchange samples exactly, so the ruler is straight",
        needs: Needs::Machine,
        run: peers::audio,
    },
    Check { name: "peers-clock", about: "ptp4l follows ptp4l", needs: Needs::Time, run: peers::clock },
    Check {
        name: "graph",
        about: "a private PipeWire passes samples on exactly",
        needs: Needs::Machine,
        run: graph::run,
    },
    Check {
        name: "stock",
        about: "PipeWire's own RTP modules work in the lab",
        needs: Needs::Machine,
        run: stock::run,
    },
    Check {
        name: "receive",
        about: "a stream of GStreamer or FFmpeg arrives bit-exact at a PipeWire client",
        needs: Needs::Machine,
        run: receive::run,
    },
    Check {
        name: "memberships",
        about: "lost memberships are repaired; one for a source that brings nothing becomes one for any",
        needs: Needs::Machine,
        run: memberships::run,
    },
    Check {
        name: "transmit",
        about: "GStreamer and FFmpeg receive exactly what an application plays",
        needs: Needs::Machine,
        run: transmit::run,
    },
    Check {
        name: "clock",
        about: "our follower reads our leader's time at +80 and -80 ppm",
        needs: Needs::Time,
        run: clock::ours,
    },
    Check {
        name: "clock-ptp4l",
        about: "our follower locks to ptp4l",
        needs: Needs::Time,
        run: clock::follows_ptp4l,
    },
    Check {
        name: "offset-noise",
        about: "our follower is as calm as ptp4l's on the same cable",
        needs: Needs::TimeUnlessThorough,
        run: offset_noise::run,
    },
    Check {
        name: "set-clock",
        about: "the clock service does as wireloom clock says, and goes back",
        needs: Needs::Time,
        run: set_clock::run,
    },
    Check {
        name: "ptp4l-clock",
        about: "a ptp4l follower chooses our leader",
        needs: Needs::Time,
        run: clock::leads_ptp4l,
    },
    Check {
        name: "two-hosts",
        about: "ours to ours on a clock 80 ppm fast or slow is exact",
        needs: Needs::Machine,
        run: two_hosts::run,
    },
    Check {
        name: "latency",
        about: "ours to ours is as late as before, to the sample, when either side restarts",
        needs: Needs::Machine,
        run: latency::run,
    },
    Check {
        name: "leader-loss",
        about: "the clock's leader dies, the next one takes over, and nothing is heard of it",
        needs: Needs::Machine,
        run: leader_loss::run,
    },
    Check {
        name: "sound-card",
        about: "a tone on a clock 100 ppm off comes pure out of a sound card's graph",
        needs: Needs::Machine,
        run: sound_card::run,
    },
    Check {
        name: "discovery",
        about: "an announced stream becomes a node and is heard exactly",
        needs: Needs::Machine,
        run: discovery::run,
    },
    Check {
        name: "learned",
        about: "a stream of ptp4l's clock without an offset is learned once, and stays exact",
        needs: Needs::Machine,
        run: learned::run,
    },
    Check {
        name: "ipv6",
        about: "a stream of IPv6 is announced, heard and sent exactly; one that cannot be heard is refused in words",
        needs: Needs::Machine,
        run: ipv6::run,
    },
    Check {
        name: "ravenna",
        about: "Avahi and GStreamer's RTSP server offer a stream, FFmpeg is described ours",
        needs: Needs::Machine,
        run: ravenna::run,
    },
    Check {
        name: "oat",
        about: "a stream of a device that must be asked is heard exactly, and given back",
        needs: Needs::Time,
        run: oat::run,
    },
    Check {
        name: "oat-offer",
        about: "devices ask for a stream of ours, keep it while no agent runs, and lose it with its lease",
        needs: Needs::Time,
        run: oat_offer::run,
    },
    Check {
        name: "oat-receiver",
        about: "a device that sends nothing is found by DNS-SD, is a node, and plays what is linked to it",
        needs: Needs::Time,
        run: oat_receiver::run,
    },
    Check {
        name: "oat-route",
        about: "two devices play each other by a link, and no packet comes here",
        needs: Needs::Time,
        run: oat_route::run,
    },
    Check {
        name: "relay",
        about: "devices without a common language are heard through this computer, exactly",
        needs: Needs::Time,
        run: relay::run,
    },
    Check {
        name: "many-links",
        about: "64 links of one channel, wished or drawn at once, are one request to each input",
        needs: Needs::Time,
        run: many_links::run,
    },
    Check {
        name: "power-cycles",
        about: "whoever loses power in whatever order, every wish is honoured again",
        needs: Needs::Time,
        run: power_cycles::run,
    },
    Check {
        name: "connect",
        about: "wireloom connect makes a kept route to an application, disconnect ends it",
        needs: Needs::Time,
        run: connect::run,
    },
    Check {
        name: "commands",
        about: "each other command of wireloom does what it says, and watch tells of it, whoever dies",
        needs: Needs::Time,
        run: commands::run,
    },
    Check {
        name: "realtime",
        about: "our code on the data loop never allocates, locks or waits",
        needs: Needs::Machine,
        run: realtime::run,
    },
    Check {
        name: "drop-in",
        about: "the distribution's PipeWire starts with our drop-in, whatever happens",
        needs: Needs::Time,
        run: drop_in::run,
    },
    Check {
        name: "drop-in-guard",
        about: "a PipeWire that keeps dying with our drop-in gets on without it, and with it again",
        needs: Needs::Time,
        run: drop_in_guard::run,
    },
    Check {
        name: "panic",
        about: "a bug of ours silences one node and nothing else",
        needs: Needs::Machine,
        run: panic::run,
    },
    Check {
        name: "reload",
        about: "the module loads and unloads without a trace",
        needs: Needs::Time,
        run: reload::run,
    },
    Check {
        name: "desktop",
        about: "WirePlumber and Pulse take a desktop node for a device, never for the default",
        needs: Needs::Machine,
        run: desktop::run,
    },
    Check {
        name: "default-device",
        about: "no node of ours is a default device but by the user's choice, whatever else is there",
        needs: Needs::Machine,
        run: default_device::run,
    },
    Check {
        name: "virtual-links",
        about: "a link between two other devices is a route of theirs, and takes no packet here",
        needs: Needs::Machine,
        run: virtual_links::run,
    },
    Check {
        name: "route-links",
        about: "links follow routes made elsewhere, and only a person withdraws one",
        needs: Needs::Time,
        run: route_links::run,
    },
    Check {
        name: "activation",
        about: "the first question on a session bus starts the agent; of two logins one acts",
        needs: Needs::Machine,
        run: activation::run,
    },
    Check {
        name: "restarts",
        about: "agent, clock service and PipeWire die and come back",
        needs: Needs::Machine,
        run: restarts::run,
    },
    Check {
        name: "quiet",
        about: "an agent that comes back and hears no announcement keeps what plays",
        needs: Needs::Time,
        run: quiet::run,
    },
    Check {
        name: "port-taken",
        about: "an agent whose port another program keeps says so, and listens when it is free",
        needs: Needs::Time,
        run: port_taken::run,
    },
    Check {
        name: "other-media",
        about: "a stream that changes its format goes on in its node; keep-alives leave the media port",
        needs: Needs::Time,
        run: other_media::run,
    },
    Check {
        name: "crowd",
        about: "five hundred streams and a flood leave agent and daemon alive, small and playing",
        needs: Needs::Machine,
        run: crowd::run,
    },
    Check {
        name: "hostile",
        about: "broken and hostile devices disturb nobody and are named",
        needs: Needs::Machine,
        run: hostile::run,
    },
    Check {
        name: "silence",
        about: "an announced stream is sent while nothing is linked, also after its node was destroyed",
        needs: Needs::Machine,
        run: silence::run,
    },
    Check {
        name: "patchbays",
        about: "pw-link, JACK, qpwgraph's window and D-Bus start and stop the sound of the network",
        needs: Needs::Machine,
        run: patchbays::run,
    },
    Check {
        name: "exclusive",
        about: "qpwgraph with an exclusive patchbay has its way without a fight, and that is said",
        needs: Needs::Machine,
        run: exclusive::run,
    },
    Check {
        name: "selftest",
        about: "a computer hears every sample of its own network stack, and says how late",
        needs: Needs::Machine,
        run: selftest::run,
    },
    Check {
        name: "doctor",
        about: "each fault of a computer is found, with what to change, and nothing else is",
        needs: Needs::Time,
        run: doctor::run,
    },
    Check {
        name: "why",
        about: "each fault that silences a stream is said for what it is",
        needs: Needs::Time,
        run: why::run,
    },
    Check {
        name: "why-route",
        about: "each fault that silences a route is said for what it is, to people and scripts",
        needs: Needs::Time,
        run: why_route::run,
    },
];

/// Checks of a full run only: what they need takes long to build, or the peer is not always able to play.
pub const FULL: &[Check] = &[
    Check {
        name: "helvum",
        about: "Helvum's window starts and stops the sound of the network",
        needs: Needs::Machine,
        run: patchbays::helvum,
    },
    Check {
        name: "rtp-modules",
        about: "PipeWire's own rtp-sink is heard, its rtp-source hears us",
        needs: Needs::Machine,
        run: rtp_modules::run,
    },
    Check {
        name: "bursts",
        about: "who sends a quantum at once gets the latency that it needs",
        needs: Needs::Machine,
        run: bursts::run,
    },
];

/// Helvum as `cargo install` leaves it, below the folder of tools; version included.
pub const HELVUM: &str = "helvum-0.4.99/bin/helvum";

/// Finds a check by name.
pub fn find(name: &str) -> Option<&'static Check> {
    CHECKS.iter().chain(FULL).find(|check| check.name == name)
}
