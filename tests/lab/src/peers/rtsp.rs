//! RTSP peers: GStreamer's server, FFmpeg and curl as clients.

use crate::host::Host;
use crate::process::Process;
use crate::wait::SOON;

/// The server as a script for Debian's Python, which has the bindings.
const SERVER: &str = include_str!("rtsp_server.py");
/// The description, among the server's files.
const FILE: &str = "session.sdp";

/// GStreamer's RTSP server, which describes what it has at `path` (escaped as in a URL) by `description`.
///
/// It says `described` for every description that it gave, and `taken` when one that it pushed was answered.
pub fn server(host: &Host, port: u16, path: &str, description: &str) -> anyhow::Result<Process> {
    let (script, file) = (host.directory().join("rtsp_server.py"), host.directory().join(FILE));
    std::fs::write(&script, SERVER)?;
    change(host, description)?;
    let mut command = host.command("/usr/bin/python3");
    command.arg(&script).args([&port.to_string(), path]).arg(&file);
    let mut process = host.start("rtsp-server", command)?;
    process.says("ready", SOON)?;
    Ok(process)
}

/// Lets that server describe its session otherwise, and push that to who is connected.
pub fn change(host: &Host, description: &str) -> anyhow::Result<()> {
    let new = host.directory().join("session.new");
    std::fs::write(&new, description)?;
    Ok(std::fs::rename(new, host.directory().join(FILE))?)
}

/// What FFmpeg is told when it asks for the description of `url`; it would go on to play, and is refused.
pub fn describe(host: &Host, url: &str) -> anyhow::Result<String> {
    let output =
        host.command("timeout").args(["20", "ffprobe", "-hide_banner", "-v", "verbose", url]).output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let description = text.split_once("SDP:\n").map(|(_, rest)| rest.to_owned());
    description.ok_or_else(|| anyhow::anyhow!("ffprobe was told no description: {text}"))
}

/// What curl is answered when it asks what the server can do.
pub fn options(host: &Host, url: &str) -> anyhow::Result<String> {
    host.run("curl", ["--silent", "--show-error", "--include", "--max-time", "10", url])
}
