//! `cargo xtask setup`: installs what the distribution must provide.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::packages::{PACKAGES, Package, Use};
use crate::refusal::Refusal;

/// Makes sure that every package needed for `purpose` (and for anything less demanding) is installed.
///
/// Quick and silent when there is nothing to do. Otherwise says what is missing and why; installs as root, asks on a
/// terminal before it uses sudo, uses sudo unasked only where there is nobody to ask and it needs no password.
/// Errors: [`Refusal`] with the command to run when the rights cannot be had.
pub fn run(purpose: Use) -> anyhow::Result<()> {
    let wanted = PACKAGES.iter().filter(|package| package.needed_for <= purpose);
    let Some(installed) = installed_packages()? else {
        return accept_foreign_distribution(wanted.collect());
    };
    let missing: Vec<&Package> = wanted.filter(|package| !installed.contains(package.name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("Missing packages of the distribution:");
    for package in &missing {
        println!("  {:<26} {}", package.name, package.why);
    }
    let script = install_script(&missing);
    match rights()? {
        Rights::Root => install(Command::new("sh").args(["-c", &script])),
        Rights::Sudo => install(Command::new("sudo").args(["-n", "sh", "-c", &script])),
        Rights::SudoWithConsent => {
            if !consents()? {
                return Err(Refusal(format!("nothing was installed. To do it yourself, run\n  {}", by_hand(&missing))).into());
            }
            install(Command::new("sudo").args(["sh", "-c", &script]))
        }
        Rights::None => Err(Refusal(format!(
            "installing these needs rights that this user does not have. Run\n  {}\nand then again what you just ran.",
            by_hand(&missing)
        ))
        .into()),
    }?;
    let installed = installed_packages()?.context("dpkg-query is gone")?;
    if let Some(package) = missing.iter().find(|package| !installed.contains(package.name)) {
        bail!("{} is still missing although apt-get reported success", package.name);
    }
    Ok(())
}

enum Rights {
    Root,
    /// sudo that needs no password, and nobody to ask.
    Sudo,
    SudoWithConsent,
    None,
}

fn rights() -> anyhow::Result<Rights> {
    let id = Command::new("id").arg("-u").output().context("running id")?;
    if id.stdout.trim_ascii() == b"0" {
        return Ok(Rights::Root);
    }
    let sudo = |argument: &str| {
        Command::new("sudo")
            .args([argument, "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    };
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        let exists = Command::new("sudo").arg("--version").stdout(Stdio::null()).status().is_ok();
        return Ok(if exists { Rights::SudoWithConsent } else { Rights::None });
    }
    Ok(if sudo("-n").is_ok_and(|status| status.success()) { Rights::Sudo } else { Rights::None })
}

fn consents() -> anyhow::Result<bool> {
    eprint!("Install them with sudo apt-get? [Y/n] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    if std::io::stdin().read_line(&mut answer)? == 0 {
        return Ok(false);
    }
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes"))
}

fn install_script(missing: &[&Package]) -> String {
    let names = names(missing);
    let lists = "/var/lib/apt/lists";
    // Old lists name versions that the mirror no longer has, so a failed installation is tried again with new ones.
    format!(
        "export DEBIAN_FRONTEND=noninteractive\n\
         get() {{ apt-get -q -y -o Dpkg::Use-Pty=0 install --no-install-recommends {names}; }}\n\
         ls {lists}/*_Packages* >/dev/null 2>&1 || apt-get -q update || exit\n\
         get || {{ apt-get -q update && get; }}"
    )
}

fn by_hand(missing: &[&Package]) -> String {
    format!("sudo apt-get update && sudo apt-get install --no-install-recommends {}", names(missing))
}

fn names(packages: &[&Package]) -> String {
    packages.iter().map(|package| package.name).collect::<Vec<_>>().join(" ")
}

fn install(command: &mut Command) -> anyhow::Result<()> {
    crate::steps::Steps::new().require("install packages", command)
}

/// Names of all packages that dpkg knows as installed; `None` where there is no dpkg.
fn installed_packages() -> anyhow::Result<Option<HashSet<String>>> {
    let query = Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Abbrev}${Package}\n"]).output();
    let output = match query {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.context("running dpkg-query")?,
    };
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(Some(text.lines().filter_map(|line| line.strip_prefix("ii ")).map(str::to_owned).collect()))
}

/// Elsewhere the packages have other names: go on when the programs are there, else name them.
fn accept_foreign_distribution(wanted: Vec<&Package>) -> anyhow::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has =
        |program: &str| std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).exists());
    if ["pkg-config", "pipewire", "pw-record", "ip", "gst-launch-1.0"].into_iter().all(has) {
        return Ok(());
    }
    let mut text =
        String::from("this is not Debian, so what is missing cannot be installed here. Needed are\n");
    for package in wanted {
        text.push_str(&format!("  {:<26} {}\n", package.name, package.why));
    }
    Err(Refusal(text).into())
}
