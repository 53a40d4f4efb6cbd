use std::collections::BTreeMap;

use anyhow::{Context, ensure};

use crate::peers::RtpStream;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;

/// No client can unload a daemon's module, so a host program of a few lines does: it loads the module, runs its loop,
/// unloads it, again and again, with a virtual link alive, also with the context going first; under valgrind, which
/// sees every wrong access and every byte that is left.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let computer = studio.host("computer")?;
    let program = products.compiled("load-host");
    let stream = RtpStream::standard(1, 2);
    let mut heard = scene::receive_node(&stream, "Lab", 144);
    (heard.device, heard.direct) = ("d-lab".to_owned(), vec!["common".to_owned()]);
    let nodes = BTreeMap::from([
        ("lab.tx", heard),
        ("lab.rx", scene::transmit_node(&stream, "Lab")),
        ("rack.rx", scene::remote_receiver("d-rack", "Rack", 2, &["common"])),
    ]);
    let configuration = computer.directory().join("load-host.conf");
    std::fs::write(
        &configuration,
        "context.properties = { }\n\
         context.spa-libs = { support.* = support/libspa-support }\n\
         context.modules = [ { name = libpipewire-module-protocol-native }\n\
         { name = libpipewire-module-metadata } ]\n",
    )?;
    let system = computer.run("pkg-config", ["--variable=moduledir", "libpipewire-0.3"])?;
    let folders = std::env::join_paths([products.module_folder(), system.trim().into()])?;
    let mut command = computer.command("valgrind");
    command
        .args(["--quiet", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite"])
        .arg(program)
        .arg(configuration)
        .arg(serde_json::json!({ "nodes": nodes }).to_string())
        .env("PIPEWIRE_MODULE_DIR", folders);
    let output = command.output().context("running valgrind")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let last = said.lines().last().context("the host program said nothing")?;
    Ok(last.to_owned())
}
