//! A patchbay of the lab without a window: draws and removes links as programs do that use libpipewire.
//!
//! What it sees it prints, a line each; what takes time goes on until the input ends.
#![forbid(unsafe_code)]

mod keys;
mod native;

use clap::Parser;

/// Draws and removes links.
#[derive(Parser)]
enum Arguments {
    /// Draws a link between two ports (global ids) with a program that stays: prints `client ID`, then, after a line of
    /// input, each `state STATE`, `error CODE TEXT` and `removed`.
    Link {
        /// Global id of the output port.
        output: u32,
        /// Global id of the input port.
        input: u32,
        /// The link outlives the program.
        #[arg(long)]
        linger: bool,
    },
    /// Draws links in one breath that outlive the program; prints `error CODE TEXT` for each that may not be.
    LinkAll {
        /// Global ids of ports: of an output, of the input that it goes to, of the next output and so on.
        ports: Vec<u32>,
    },
    /// Destroys a global object; prints `error CODE TEXT` when it may not.
    Destroy {
        /// Its id.
        id: u32,
        /// Prints `client ID` first and waits for a line of input.
        #[arg(long)]
        asked: bool,
        /// Connects as a program whose rights the session manager has to grant, and asks before it has any.
        #[arg(long, conflicts_with = "asked")]
        suspended: bool,
    },
    /// Destroys an object and, in the same breath, another: `registry.destroy` twice without a look in between.
    DestroyBoth {
        /// The first one's id.
        first: u32,
        /// The second one's.
        second: u32,
    },
    /// In the agent's place: prints `KEY VALUE` for every key of the metadata object `wireloom` that is set and `KEY`
    /// for every one that is removed, and does what each line of input says in the same way.
    Keys,
    /// Watches links: prints `+ID OUTPUT-PORT INPUT-PORT RELAY` for each that comes, `=ID STATE` for each state and
    /// `-ID` for each that goes, and destroys what comes between the two ports of `--never`; prints `client ID` and, when it
    /// may not, `error CODE TEXT`.
    Watch {
        /// Output and input port of a link that must not be.
        #[arg(long, num_args = 2)]
        never: Vec<u32>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Link { output, input, linger } => native::link(output, input, linger),
        Arguments::LinkAll { ports } => native::link_all(&ports),
        Arguments::Destroy { id, suspended: true, .. } => native::destroy_suspended(id),
        Arguments::Destroy { id, asked, .. } => native::destroy(&[id], asked),
        Arguments::DestroyBoth { first, second } => native::destroy(&[first, second], false),
        Arguments::Keys => keys::run(),
        Arguments::Watch { never } => native::watch(never.first().copied().zip(never.get(1).copied())),
    }
}
