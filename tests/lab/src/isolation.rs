//! Namespaces of our own, and the promise that nothing of them is left behind.
//!
//! The program that the user started stays outside. It starts itself again under `unshare`, as process 1 of a process
//! namespace, and holds a pipe to it: when the outer program ends, even by SIGKILL, the pipe closes and the inner one
//! ends; when process 1 ends, the kernel ends everything else in there, and with the last process go the namespaces,
//! their interfaces and mounts. What lives in the real file system is one directory, removed by whoever is left.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Names the studio's directory to the inner program; its presence says that we are inside.
pub(crate) const DIRECTORY: &str = "WIRELOOM_STUDIO";
/// Start of the directory's name. Short: a socket's path has room for 108 bytes.
const PREFIX: &str = "wireloom-";
/// The rest of those 108 is for hosts, their directories and the names of their sockets.
const LONGEST_PARENT: usize = 40;
/// File in the directory that the inner program leaves its report in.
const REPORT: &str = "report";
/// How long the inner program may take to tidy up after an interruption.
const GRACE: Duration = Duration::from_secs(5);

/// Makes the system `$0` the root, under an overlay in memory, with the studio's directory `$1` and the source tree
/// `$2` (which holds the products) where they were; then runs the rest. In memory, because an overlay cannot lie on
/// another one, which is what a container's file system is.
const CHANGE_ROOT: &str = r#"
    system=$0 studio=$1 source=$2; shift 2
    mkdir "$studio/layer" "$studio/system"
    mount -t tmpfs tmpfs "$studio/layer"
    mkdir "$studio/layer/upper" "$studio/layer/work"
    mount -t overlay overlay -o "lowerdir=$system,upperdir=$studio/layer/upper,workdir=$studio/layer/work" "$studio/system"
    cd "$studio/system"
    mount -t proc proc proc; mount --rbind /sys sys; mount --rbind /dev dev
    mkdir -p ".$studio" ".$source"
    mount --bind "$studio" ".$studio"; mount --bind "$source" ".$source"
    pivot_root . . ; umount -l .
    exec "$@"
"#;

/// How this user can have namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// As root.
    Root,
    /// As an ordinary user, by a user namespace.
    UserNamespace,
    /// Not at all; what `unshare` said.
    Refused(String),
}

/// How the inner program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// By itself.
    Exit {
        /// Its exit code.
        code: u8,
        /// What it left with [`report`].
        report: String,
    },
    /// By SIGINT, SIGTERM or SIGHUP to the outer program.
    Interrupted {
        /// What it had left with [`report`] until then.
        report: String,
    },
}

/// What happens to one of several runs.
#[derive(Debug)]
pub enum Progress {
    /// It is being started.
    Started,
    /// It ended, or could not be started.
    Ended(anyhow::Result<Ending>),
}

/// Tries whether namespaces can be had.
pub fn permission() -> anyhow::Result<Permission> {
    let root = rustix::process::geteuid().is_root();
    let output = unshare(root).arg("true").output().context("running unshare")?;
    Ok(match (output.status.success(), root) {
        (true, true) => Permission::Root,
        (true, false) => Permission::UserNamespace,
        (false, _) => Permission::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    })
}

/// Starts this very program again with `arguments` in namespaces of its own and waits for its end.
///
/// Errors: namespaces are refused, or the program cannot be started.
pub fn run<S: AsRef<OsStr>>(arguments: &[S]) -> anyhow::Result<Ending> {
    let mut ending = None;
    run_several(None, &[arguments], 1, |_, progress| {
        if let Progress::Ended(ended) = progress {
            ending = Some(ended);
        }
    })?;
    ending.context("nothing was run")?
}

/// The same for each of `runs`, `at_once` of them side by side, in another root file system if there is a `system`,
/// which is not changed: it lies under an overlay. Tells what happens to which, counting from 0. After an interruption
/// nothing more is started, and everything has ended.
///
/// Errors: namespaces are refused. That one run cannot be started is told as its end.
pub fn run_several<S: AsRef<OsStr>, A: AsRef<[S]>>(
    system: Option<&Path>,
    runs: &[A],
    at_once: usize,
    mut tell: impl FnMut(usize, Progress),
) -> anyhow::Result<()> {
    // First of all: what comes from now on is heard below.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGCHLD])?;
    let root = match permission()? {
        Permission::Root => true,
        Permission::UserNamespace => false,
        Permission::Refused(why) => bail!("the virtual studio needs namespaces, and they are refused: {why}"),
    };
    let mut waiting = runs.iter().enumerate();
    let mut running: Vec<(usize, Running)> = Vec::new();
    loop {
        while running.len() < at_once.max(1)
            && let Some((number, arguments)) = waiting.next()
        {
            tell(number, Progress::Started);
            match Running::start(root, system, arguments.as_ref()) {
                Ok(one) => running.push((number, one)),
                Err(error) => tell(number, Progress::Ended(Err(error))),
            }
        }
        if running.is_empty() {
            return Ok(());
        }
        // One that ended before this is heard of as well: signals are kept since they were asked for.
        for signal in signals.wait() {
            if signal != SIGCHLD {
                end(running, tell);
                return Ok(());
            }
        }
        let mut at = 0;
        while let Some((number, one)) = running.get_mut(at) {
            match one.ending() {
                None => at += 1,
                Some(ending) => {
                    tell(*number, Progress::Ended(ending));
                    drop(running.remove(at));
                }
            }
        }
    }
}

/// Whether this is the inner program; [`crate::Studio::new`] works only there.
pub fn is_inside() -> bool {
    std::env::var_os(DIRECTORY).is_some()
}

/// Leaves a text for the outer program, which gets it with [`Ending::Exit`].
pub fn report(text: &str) -> anyhow::Result<()> {
    let directory = std::env::var_os(DIRECTORY).context("there is no outer program")?;
    Ok(std::fs::write(Path::new(&directory).join(REPORT), text)?)
}

/// The studio's directory, for the inner program; from here on it ends with the outer one.
pub(crate) fn enter() -> anyhow::Result<PathBuf> {
    let path =
        PathBuf::from(std::env::var_os(DIRECTORY).context("a studio exists only inside of isolation::run")?);
    let leftover = path.clone();
    std::thread::Builder::new().name("outer-program".into()).spawn(move || {
        // Nothing is ever written to the pipe; reading ends when the outer program does.
        let _ = std::io::stdin().read(&mut [0]);
        let _ = std::fs::remove_dir_all(leftover);
        std::process::exit(130);
    })?;
    Ok(path)
}

/// The file of this program; a copy in `directory` if it is gone, as after a build that made it anew.
fn this_program(directory: &Path) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    if program.exists() {
        return Ok(program);
    }
    let copy = directory.join("program");
    std::fs::copy("/proc/self/exe", &copy).context("copying this program, whose file is gone")?;
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755))?;
    Ok(copy)
}

fn unshare(root: bool) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if !root {
        command.args(["--user", "--map-root-user"]);
    }
    command
}

/// A studio, seen from outside.
struct Running {
    child: Child,
    directory: Directory,
}

impl Running {
    fn start<S: AsRef<OsStr>>(root: bool, system: Option<&Path>, arguments: &[S]) -> anyhow::Result<Self> {
        let directory = Directory::new()?;
        let program = this_program(&directory.path)?;
        let mut command = unshare(root);
        if let Some(system) = system {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
            command.args(["sh", "-euc", CHANGE_ROOT]).arg(system).arg(&directory.path).arg(source);
        }
        let child = command
            .arg(program)
            .args(arguments)
            .env(DIRECTORY, &directory.path)
            .stdin(Stdio::piped())
            .process_group(0) // Ctrl-C is for the outer program, which ends the inner one in good order.
            .spawn()
            .context("starting unshare")?;
        Ok(Self { child, directory })
    }

    /// How it ended, once it has.
    fn ending(&mut self) -> Option<anyhow::Result<Ending>> {
        let status = match self.child.try_wait() {
            Ok(status) => status?,
            Err(error) => return Some(Err(error.into())),
        };
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Some(Ok(Ending::Exit { code: code.unwrap_or(1), report: self.report() }))
    }

    fn report(&self) -> String {
        std::fs::read_to_string(self.directory.path.join(REPORT)).unwrap_or_default()
    }
}

/// Ends all of them, together within [`GRACE`].
fn end(mut running: Vec<(usize, Running)>, mut tell: impl FnMut(usize, Progress)) {
    let reports: Vec<String> = running.iter().map(|(_, one)| one.report()).collect();
    for (_, one) in &mut running {
        drop(one.child.stdin.take());
    }
    let deadline = Instant::now() + GRACE;
    for ((number, mut one), report) in running.into_iter().zip(reports) {
        let ended = end_one(&mut one.child, deadline);
        tell(number, Progress::Ended(ended.map(|()| Ending::Interrupted { report })));
    }
}

fn end_one(child: &mut Child, deadline: Instant) -> anyhow::Result<()> {
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A directory of the real file system; removed when dropped.
struct Directory {
    path: PathBuf,
    /// Locked as long as the outer program lives, so that the next one knows what was left behind by a SIGKILL.
    _lock: File,
}

impl Directory {
    fn new() -> anyhow::Result<Self> {
        let parent = parent(std::env::temp_dir());
        sweep(&parent);
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700);
        // Its number may be taken by a program of that number in another process namespace.
        let mut numbers = std::process::id()..;
        let path = loop {
            let path = parent.join(format!("{PREFIX}{}", numbers.next().context("every number is taken")?));
            match builder.create(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                result => {
                    break result
                        .map(|()| path.clone())
                        .with_context(|| format!("making {}", path.display()))?;
                }
            }
        };
        // Locked before it has its name: whoever sweeps meanwhile must not find it free.
        let (new, named) = (path.join("new"), path.join("lock"));
        let lock = File::create_new(&new)?;
        lock.lock()?;
        std::fs::rename(new, named)?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Where studios lie: where temporary files do, unless sockets in there would have too long a path.
fn parent(temporary: PathBuf) -> PathBuf {
    if temporary.is_absolute() && temporary.as_os_str().len() <= LONGEST_PARENT {
        temporary
    } else {
        "/tmp".into()
    }
}

/// Removes what studios left behind whose outer and inner programs were both killed.
fn sweep(parent: &Path) {
    let own = rustix::process::geteuid().as_raw();
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_studio = entry
            .file_name()
            .to_string_lossy()
            .strip_prefix(PREFIX)
            .is_some_and(|pid| pid.parse::<u32>().is_ok());
        let is_ours = entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == own);
        if is_studio && is_ours {
            let lock = File::open(entry.path().join("lock"));
            if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn studios_lie_where_temporary_files_do_if_sockets_fit() {
        for (temporary, parent) in [
            ("/var/tmp", "/var/tmp"),
            ("/tmp/", "/tmp/"),
            ("elsewhere", "/tmp"),
            ("/a/place/that/is/too/long/for/sockets/to/lie/in", "/tmp"),
        ] {
            assert_eq!(super::parent(temporary.into()), Path::new(parent));
        }
    }
}
