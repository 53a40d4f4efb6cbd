//! `wireloom stream`: make, add, remove.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::PathBuf;

use serde_json::json;
use wireloom_dbus::{ManagerProxy, Snapshot, StreamInfo, StreamProxy};
use zbus::Variant;

use crate::client;
use crate::failure::Failure;
use crate::list::{address_of, format_of};
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub enum Stream {
    /// Send a stream: a node to link to, announced on the network until it is removed
    Create(Create),
    /// Remove a stream
    Remove {
        /// Id, alias or name
        name: String,
    },
    /// Add the streams of a description that is not announced
    AddSdp {
        /// The description; "-" reads it from standard input
        file: PathBuf,
    },
    /// Give a stream a name of your own; an empty one goes back to the network's
    Rename {
        /// Id, alias or name
        name: String,
        /// The new name
        alias: String,
    },
    /// Give a stream a node before others get one, or no longer
    Pin {
        /// Id, alias or name
        name: String,
        /// Unpin it
        #[arg(long)]
        off: bool,
    },
}

#[derive(Debug, clap::Args)]
pub struct Create {
    /// What others see
    name: String,
    /// Number of channels
    #[arg(long, default_value_t = 2)]
    channels: u32,
    /// Names of the channels, separated by commas
    #[arg(long, value_delimiter = ',')]
    labels: Option<Vec<String>>,
    /// Multicast address, or "auto" for a free one
    #[arg(long, default_value = "auto")]
    address: String,
    /// UDP port
    #[arg(long)]
    port: Option<u16>,
    /// L16, L24 or L32
    #[arg(long)]
    encoding: Option<String>,
    /// Sample rate in hertz
    #[arg(long, value_name = "HZ")]
    rate: Option<u32>,
    /// Frames in a packet; the most that fit of 1 ms and its usual parts by default
    #[arg(long, value_name = "FRAMES")]
    packet_frames: Option<u32>,
    /// How many routers it may pass
    #[arg(long)]
    ttl: Option<u8>,
    /// Mark of the packets in the network's queues
    #[arg(long)]
    dscp: Option<u8>,
    /// Describe it the way these devices prefer
    #[arg(long, value_parser = ["aes67", "dante", "ravenna", "st2110", "oat"], conflicts_with = "dante")]
    flavour: Option<String>,
    /// Describe it the way Dante devices accept
    #[arg(long)]
    dante: bool,
    /// Send it by this network interface; the first in use by default
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Only check whether it could be made
    #[arg(long)]
    dry_run: bool,
}

impl Stream {
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let bus = client::connect().await?;
        let manager = ManagerProxy::new(&bus).await?;
        match self {
            Self::Create(create) => create.run(&bus, &manager, output).await,
            Self::Remove { name } => {
                let snapshot = client::snapshot(&bus).await?;
                proxy(&bus, &snapshot, &name).await?.remove(HashMap::new()).await?;
                done(output, &format!("Removed \"{name}\"."))
            }
            Self::AddSdp { file } => {
                let text = read(&file)?;
                let paths = manager.add_sdp(&text, HashMap::new()).await?;
                let snapshot = client::snapshot(&bus).await?;
                print_made(output, &snapshot, paths.iter().map(|path| path.as_str()))
            }
            Self::Rename { name, alias } => {
                let snapshot = client::snapshot(&bus).await?;
                proxy(&bus, &snapshot, &name).await?.set_alias(&alias).await?;
                done(output, &format!("\"{name}\" is now \"{alias}\"."))
            }
            Self::Pin { name, off } => {
                let snapshot = client::snapshot(&bus).await?;
                proxy(&bus, &snapshot, &name).await?.set_pinned(!off).await?;
                done(output, &format!("\"{name}\" is {}pinned.", if off { "no longer " } else { "" }))
            }
        }
    }
}

impl Create {
    async fn run(
        self,
        bus: &zbus::Connection,
        manager: &ManagerProxy<'_>,
        output: &Output,
    ) -> Result<(), Failure> {
        let mut options: HashMap<&str, Variant<'_>> = HashMap::from([
            ("address", Variant::from(self.address)),
            ("dante", Variant::from(self.dante)),
            ("dry-run", Variant::from(self.dry_run)),
        ]);
        options.extend(self.labels.map(|labels| ("labels", Variant::from(labels))));
        options.extend(self.port.map(|port| ("port", Variant::from(port))));
        options.extend(self.encoding.map(|encoding| ("encoding", Variant::from(encoding))));
        options.extend(self.rate.map(|rate| ("rate", Variant::from(rate))));
        options.extend(self.packet_frames.map(|frames| ("packet-frames", Variant::from(frames))));
        options.extend(self.flavour.map(|flavour| ("flavour", Variant::from(flavour))));
        options.extend(self.interface.map(|name| ("interface", Variant::from(name))));
        options.extend(self.ttl.map(|ttl| ("ttl", Variant::from(ttl))));
        options.extend(self.dscp.map(|dscp| ("dscp", Variant::from(dscp))));
        let path = manager.create_stream(&self.name, self.channels, options).await?;
        if self.dry_run {
            return done(output, &format!("\"{}\" could be made.", self.name));
        }
        let snapshot = client::snapshot(bus).await?;
        print_made(output, &snapshot, [path.as_str()].into_iter())?;
        if let (false, Some(stream)) =
            (output.json, snapshot.streams.iter().find(|s| s.path == path.as_str()))
        {
            eprintln!("{}", next_step(&snapshot, stream));
        }
        Ok(())
    }
}

/// How audio gets into a stream that was made; before it, that others are called the same.
fn next_step(snapshot: &Snapshot, stream: &StreamInfo) -> String {
    let (id, alias) = (&stream.id, &stream.alias);
    let others = client::name_counts(snapshot).get(alias.as_str()).map_or(0, |count| count - 1);
    let note = match others {
        0 => String::new(),
        1 => format!("Note: another stream is called \"{alias}\" too; name this one by its id, {id}.\n"),
        _ => format!("Note: {others} other streams are called \"{alias}\"; name this one by its id, {id}.\n"),
    };
    let is_plain = |c: char| c.is_alphanumeric() || " -_.,:+#()".contains(c);
    let name = match alias.chars().all(is_plain) && others == 0 && !alias.starts_with('-') {
        true if alias.contains(|c: char| !c.is_alphanumeric()) => format!("\"{alias}\""),
        true => alias.clone(),
        false => id.clone(),
    };
    format!("{note}Play something into it:  wireloom connect NODE {name}   (pw-link -o lists nodes)")
}

fn print_made<'a>(
    output: &Output,
    snapshot: &Snapshot,
    paths: impl Iterator<Item = &'a str>,
) -> Result<(), Failure> {
    let streams: Vec<_> = paths.filter_map(|path| snapshot.streams.iter().find(|s| s.path == path)).collect();
    if output.json {
        return output.print_json(json!({ "streams": streams }));
    }
    for stream in &streams {
        let (name, id, address) = (&stream.alias, &stream.id, address_of(stream));
        output.line(&format!(
            "\"{name}\" ({id}): {} on {address}, node {}",
            format_of(stream),
            stream.node_name
        ))?;
    }
    crate::list::remark(snapshot);
    Ok(())
}

fn done(output: &Output, text: &str) -> Result<(), Failure> {
    if output.json { output.print_json(json!({ "done": true })) } else { output.line(text) }
}

async fn proxy<'a>(
    bus: &zbus::Connection,
    snapshot: &Snapshot,
    name: &str,
) -> Result<StreamProxy<'a>, Failure> {
    let stream = client::stream(snapshot, name).map_err(|failure| failure.see("wireloom list"))?;
    let path = stream.path.clone();
    Ok(StreamProxy::builder(bus).path(path).build().await?)
}

fn read(file: &PathBuf) -> Result<String, Failure> {
    let failed = |error| Failure::Failed(format!("cannot read {}: {error}", file.display()));
    let mut bytes = Vec::new();
    let limit = 64 * 1024; // far above what the agent takes: it says so itself
    if file.as_os_str() == "-" {
        std::io::stdin().take(limit).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        std::fs::File::open(file).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok(wireloom_sdp::to_text(&bytes)) // the bus carries UTF-8 without NUL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_named_so_that_it_can_be_linked() {
        let named = |id: &str, name: &str| StreamInfo {
            id: id.into(),
            alias: name.into(),
            name: name.into(),
            ..StreamInfo::default()
        };
        let names = ["Drums", "Stage box", "$(halt)", "Twice", "Twice"];
        let streams: Vec<_> = (1..).zip(names).map(|(n, name)| named(&format!("s-{n}"), name)).collect();
        let snapshot = Snapshot { streams, ..Snapshot::default() };
        for (stream, expected) in
            snapshot.streams.iter().zip(["NODE Drums ", "NODE \"Stage box\" ", "NODE s-3 ", "NODE s-4 "])
        {
            let text = next_step(&snapshot, stream);
            assert!(text.contains(expected), "{text}");
            assert_eq!(
                text.contains("another stream is called \"Twice\""),
                stream.alias == "Twice",
                "{text}"
            );
        }
    }

    #[test]
    fn a_file_of_any_coding_is_text_for_the_bus() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("desk.sdp");
        std::fs::write(&file, b"v=0\r\ns=Gesangsb\xfchne\r\n\0").expect("writable");
        assert_eq!(read(&file).expect("readable"), "v=0\r\ns=Gesangsbühne\r\n");
    }
}
