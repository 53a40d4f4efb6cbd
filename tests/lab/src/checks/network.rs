use anyhow::ensure;

use crate::products::Products;
use crate::studio::Studio;

/// A host has the interfaces, routes and name that it was given, and nothing of the machine's.
pub fn run(studio: &mut Studio, _: &Products) -> anyhow::Result<String> {
    let (a, b) = (studio.host("a")?, studio.host("b")?);
    let links = a.run("ip", ["-oneline", "link"])?;
    let mac = "link/ether 00:00:5e:00:53:01";
    ensure!(links.lines().count() == 2 && links.contains(mac), "a has lo and eth0 with {mac}, not\n{links}");
    let routes = a.run("ip", ["route"])?;
    let expected =
        "10.77.0.0/24 dev eth0 proto kernel scope link src 10.77.0.1 \n224.0.0.0/4 dev eth0 scope link \n";
    ensure!(routes == expected, "routes of a are\n{routes}");
    let name = b.run("hostname", [""; 0])?;
    ensure!(name.trim() == "b", "host b is called {name}");
    let run = b.run("ls", ["/run"])?;
    ensure!(run.trim() == "wireloom", "/run of b holds\n{run}");
    Ok("2 hosts".to_owned())
}
