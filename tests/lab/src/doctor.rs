use anyhow::Context as _;
use serde_json::Value;

use crate::host::Host;
use crate::products::Products;

/// What `wireloom doctor` finds on this host.
pub fn doctor(host: &Host, products: &Products) -> anyhow::Result<Vec<Value>> {
    doctor_beside(host, products, &[], &[])
}

/// The same with `options`, when it is started by another program, which gets it as its last arguments.
pub fn doctor_beside(
    host: &Host,
    products: &Products,
    beside: &[&str],
    options: &[&str],
) -> anyhow::Result<Vec<Value>> {
    // What /sys shows is decided where it is mounted, and that is not on this host.
    let own = ["--mount", "sh", "-c", "mount -t sysfs sysfs /sys && exec \"$@\"", "sh"];
    let mut command = host.command("unshare");
    command.args(own).args(beside).arg(products.program("wireloom"));
    let output =
        command.args(["--json", "doctor"]).args(options).output().context("running wireloom doctor")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let found: Value = serde_json::from_slice(&output.stdout).with_context(|| said)?;
    Ok(found["checks"].as_array().context("a list of findings")?.clone())
}

/// The finding about one thing.
pub fn finding<'a>(found: &'a [Value], name: &str) -> anyhow::Result<&'a Value> {
    found
        .iter()
        .find(|finding| finding["name"] == name)
        .with_context(|| format!("doctor says nothing of {name}"))
}
