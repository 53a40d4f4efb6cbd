use super::root::Root;

/// A program that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub id: String,
    /// What the kernel calls it: at most 15 characters.
    pub name: String,
    /// It runs as the user who asks.
    pub own: bool,
}

/// Every program that runs.
pub fn read(root: &Root) -> Vec<Process> {
    let ids = root.names("proc").into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let user = |id: &str| {
        let status = root.text(&format!("proc/{id}/status"))?;
        status.lines().find(|line| line.starts_with("Uid:")).map(str::to_owned)
    };
    let asking = user("self");
    ids.filter_map(|id| {
        let name = root.line(&format!("proc/{id}/comm"))?;
        Some(Process { name, own: user(&id) == asking, id })
    })
    .collect()
}

/// Those called `name`, which the kernel may have cut.
pub fn named<'a>(processes: &'a [Process], name: &str) -> impl Iterator<Item = &'a Process> {
    let name = name.get(..15).unwrap_or(name).to_owned();
    processes.iter().filter(move |process| process.name == name)
}

/// PipeWire's daemons of the user who asks.
pub fn daemons(processes: &[Process]) -> impl Iterator<Item = &Process> {
    named(processes, "pipewire").filter(|process| process.own)
}
