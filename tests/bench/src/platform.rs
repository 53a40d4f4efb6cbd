//! The PipeWire versions that are measured: the distribution's own, and the next Debian release's in a root file
//! system.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wireloom_lab::{Host, Products};

/// Where the products appear in it.
const PRODUCTS: &str = "mnt";

/// One version of PipeWire.
#[derive(Debug, Clone)]
pub struct Platform {
    /// Its version, such as `0.3.65`.
    pub version: String,
    root: Option<PathBuf>,
}

impl Platform {
    /// The version that is installed here.
    pub fn installed() -> Result<Self> {
        let output = Command::new("pipewire").arg("--version").output().context("running pipewire")?;
        Ok(Self { version: version(&output.stdout)?, root: None })
    }

    /// The version that is installed in the root file system at `root`.
    pub fn in_root(root: &Path) -> Result<Self> {
        let output = Command::new("chroot").arg(root).args(["pipewire", "--version"]).output()?;
        Ok(Self { version: version(&output.stdout)?, root: Some(root.to_owned()) })
    }

    /// Whether it is the distribution's own.
    pub fn is_installed(&self) -> bool {
        self.root.is_none()
    }

    /// Makes visible in the root file system what a studio needs: nothing to do for the installed version. For the
    /// inner program, before hosts are made; the mounts end with the studio.
    pub fn enter(&self, products: &Products) -> Result<()> {
        let Some(root) = &self.root else { return Ok(()) };
        for folder in ["proc", "dev", "tmp"] {
            mount(Path::new("/").join(folder).as_path(), &root.join(folder))?;
        }
        mount(products.folder(), &root.join(PRODUCTS))
    }

    /// A command of this version on `host`.
    pub fn command(&self, host: &Host, program: impl AsRef<OsStr>) -> Command {
        match &self.root {
            None => host.command(program),
            Some(root) => {
                let mut command = host.command("chroot");
                command.arg(root).arg(program);
                command
            }
        }
    }

    /// The module path: ours first, then the version's own.
    pub fn module_path(&self, products: &Products) -> Result<String> {
        let Some(root) = &self.root else {
            let output =
                Command::new("pkg-config").args(["--variable=moduledir", "libpipewire-0.3"]).output()?;
            let system = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            return Ok(format!("{}:{system}", products.module_folder().display()));
        };
        let folders = std::fs::read_dir(root.join("usr/lib"))?.flatten();
        let name = folders
            .map(|folder| folder.file_name())
            .find(|name| root.join("usr/lib").join(name).join("pipewire-0.3").is_dir());
        let name = name.context("no modules in the root file system")?;
        Ok(format!("/{PRODUCTS}/pipewire:/usr/lib/{}/pipewire-0.3", name.to_string_lossy()))
    }

    /// Whether rtp-source is told its stream by arguments (since 0.3.67), not by announcements only.
    pub fn has_static_source(&self) -> bool {
        !self.version.starts_with("0.")
    }
}

fn mount(from: &Path, to: &Path) -> Result<()> {
    let output = Command::new("mount").arg("--rbind").args([from, to]).output().context("running mount")?;
    ensure!(output.status.success(), "mount: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// The last line of `pipewire --version` names the library it runs with.
fn version(text: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(text);
    let last = text.lines().last().and_then(|line| line.rsplit(' ').next());
    Ok(last.context("pipewire does not tell its version")?.to_owned())
}
