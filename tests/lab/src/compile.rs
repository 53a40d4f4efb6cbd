use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Compiles a C program or library of `tests/interop` into `folder`, with these further arguments of the compiler.
pub fn c_source(source: &str, folder: &Path, arguments: &[&str]) -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop").join(source);
    let product = folder.join(Path::new(source).file_stem().context("a source has a name")?);
    let output = Command::new("cc")
        .args(["-O1", "-g", "-Wall", "-Werror", "-o"])
        .arg(&product)
        .arg(&root)
        .args(arguments)
        .output()
        .context("running the C compiler")?;
    ensure!(output.status.success(), "{source}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(product)
}

/// What `pkg-config` says about compiling and linking against libpipewire.
pub fn pipewire_flags() -> anyhow::Result<Vec<String>> {
    let output = Command::new("pkg-config").args(["--cflags", "--libs", "libpipewire-0.3"]).output()?;
    ensure!(output.status.success(), "pkg-config does not know libpipewire-0.3");
    Ok(String::from_utf8(output.stdout)?.split_whitespace().map(str::to_owned).collect())
}
