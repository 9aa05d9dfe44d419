//! Everything that an environment starts runs below a supervisor process: it holds a pipe to the test, and when the test
//! is gone, by whatever way (returned, panicked, interrupted, killed), it kills what it started and removes the
//! environment's temporary directory.
//!
//! The supervisor and each process below it lead process groups of their own: an interrupt from the terminal reaches only
//! the test, and a process's own children end with it.

mod protocol;
mod server;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context, anyhow, bail};
use tokio::sync::watch;

use self::protocol::{ProcessId, Report, Request, Signal};
pub use self::{
    protocol::{Command, Exit},
    server::serve,
};

/// Name of the supervisor's binary, one of this package's.
const BINARY: &str = "supervisor";

/// One environment's supervisor. Dropping it ends the environment and returns when all of it is gone.
///
/// It belongs to no async runtime: it may be made in one test's and used in another's.
#[derive(Debug)]
pub struct Supervisor {
    child: Child,
    requests: Arc<Requests>,
    processes: Arc<Mutex<HashMap<ProcessId, watch::Sender<State>>>>,
    next_id: AtomicU64,
    directory: PathBuf,
}

/// The pipe to the supervisor. Closing it is what ends the environment.
#[derive(Debug)]
struct Requests(Mutex<Option<ChildStdin>>);

#[derive(Debug, Clone)]
enum State {
    Requested,
    Running { pid: u32 },
    Failed { error: String },
    Exited { pid: u32, exit: Exit },
}

/// One process of the environment. Dropping it does not end the process, and keeping it does not keep the environment.
#[derive(Debug)]
pub struct Process {
    id: ProcessId,
    pid: u32,
    log: PathBuf,
    state: watch::Receiver<State>,
    requests: Arc<Requests>,
}

impl Supervisor {
    /// Starts a supervisor, which makes the environment's temporary directory.
    ///
    /// # Errors
    /// The binary is not built (see [`binary_beside`]), or does not start.
    pub fn start() -> anyhow::Result<Self> {
        let binary = binary_beside(BINARY, "cargo build -p azwib-e2e --bins")?;
        let mut child = std::process::Command::new(&binary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the supervisor has no pipes");
        };
        let mut reports = BufReader::new(stdout);
        let mut line = String::new();
        reports.read_line(&mut line)?;
        let Report::Ready { directory } =
            serde_json::from_str(&line).context("the supervisor did not start")?
        else {
            bail!("the supervisor reported {line} before it was ready");
        };
        let processes = Arc::default();
        follow(reports, Arc::clone(&processes));
        Ok(Self {
            child,
            requests: Arc::new(Requests(Mutex::new(Some(stdin)))),
            processes,
            next_id: AtomicU64::new(0),
            directory,
        })
    }

    /// The environment's temporary directory. It is removed when the environment ends.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Starts a process.
    ///
    /// # Errors
    /// It cannot be started (the program is missing, a file cannot be opened), or the supervisor is gone.
    pub async fn spawn(&self, command: Command) -> anyhow::Result<Process> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, mut state) = watch::channel(State::Requested);
        lock(&self.processes).insert(id, sender);
        let log = command.log.clone();
        self.requests.send(&Request::Start { id, command })?;
        let reported = state
            .wait_for(|state| !matches!(state, State::Requested))
            .await
            .map_err(|_| gone())?
            .clone();
        let pid = match reported {
            // One that has ended already has started, too: how it ended is the caller's to ask.
            State::Running { pid } | State::Exited { pid, .. } => pid,
            State::Failed { error } => bail!("not started: {error}"),
            State::Requested => return Err(gone()),
        };
        Ok(Process {
            id,
            pid,
            log,
            state,
            requests: Arc::clone(&self.requests),
        })
    }
}

impl Process {
    /// The process id, which is its process group's as well.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Where its output goes.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        match *self.state.borrow() {
            State::Exited { exit, .. } => Some(exit),
            _ => None,
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The supervisor is gone, and with it the knowledge of how the process ended.
    pub async fn wait_exit(&self) -> anyhow::Result<Exit> {
        let mut state = self.state.clone();
        let ended = state
            .wait_for(|state| matches!(state, State::Exited { .. }))
            .await
            .map_err(|_| gone())?
            .clone();
        match ended {
            State::Exited { exit, .. } => Ok(exit),
            _ => Err(gone()),
        }
    }

    /// Sends SIGTERM to its process group and waits for its end.
    ///
    /// # Errors
    /// As for [`Self::wait_exit`].
    pub async fn terminate(&self) -> anyhow::Result<Exit> {
        self.requests.send(&Request::Signal {
            id: self.id,
            signal: Signal::Terminate,
        })?;
        self.wait_exit().await
    }

    /// Sends SIGKILL to its process group and waits for its end.
    ///
    /// # Errors
    /// As for [`Self::wait_exit`].
    pub async fn kill(&self) -> anyhow::Result<Exit> {
        self.requests.send(&Request::Signal {
            id: self.id,
            signal: Signal::Kill,
        })?;
        self.wait_exit().await
    }

    /// The last lines of its log, for an error message.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        lock(&self.requests.0).take();
        let _ = self.child.wait();
    }
}

impl Requests {
    fn send(&self, request: &Request) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        let mut pipe = lock(&self.0);
        let pipe = pipe.as_mut().ok_or_else(gone)?;
        pipe.write_all(line.as_bytes())
            .and_then(|()| pipe.flush())
            .map_err(|_| gone())
    }
}

/// Keeps the states of the processes up to date until the supervisor is gone; then waiters learn that by an error.
fn follow(
    reports: BufReader<ChildStdout>,
    processes: Arc<Mutex<HashMap<ProcessId, watch::Sender<State>>>>,
) {
    thread::spawn(move || {
        for line in reports.lines() {
            let Ok(line) = line else { break };
            let (id, state) = match serde_json::from_str(&line) {
                Ok(Report::Started { id, pid }) => (id, State::Running { pid }),
                Ok(Report::NotStarted { id, error }) => (id, State::Failed { error }),
                Ok(Report::Exited { id, pid, exit }) => (id, State::Exited { pid, exit }),
                Ok(Report::Ready { .. }) => continue,
                Err(_) => break,
            };
            let mut processes = lock(&processes);
            let last = matches!(state, State::Failed { .. } | State::Exited { .. });
            if let Some(sender) = processes.get(&id) {
                sender.send_replace(state);
            }
            // A closed channel keeps its last state.
            if last {
                processes.remove(&id);
            }
        }
        lock(&processes).clear();
    });
}

/// A binary of this workspace that was built beside the running one.
///
/// Integration tests run from `target/<profile>/deps`, binaries from `target/<profile>`. `build_command` goes into the
/// error when the binary is missing.
///
/// # Errors
/// The binary is not there.
pub fn binary_beside(name: &str, build_command: &str) -> anyhow::Result<PathBuf> {
    let running = std::env::current_exe().context("finding the running binary")?;
    let mut folder = running
        .parent()
        .context("the running binary has no folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().unwrap_or(folder);
    }
    let binary = folder.join(name);
    if !binary.is_file() {
        bail!("{} is not built: run `{build_command}`", binary.display());
    }
    Ok(binary)
}

/// The last lines of a log, at most about 4 kB.
fn tail(log: &Path) -> String {
    const BYTES: usize = 4096;
    let content = std::fs::read(log).unwrap_or_default();
    let end = &content[content.len().saturating_sub(BYTES)..];
    format!(
        "{} ends with\n{}",
        log.display(),
        String::from_utf8_lossy(end)
    )
}

fn gone() -> anyhow::Error {
    anyhow!("the supervisor is gone, and everything it had started")
}

/// A panic elsewhere while the lock was held leaves these maps and pipes usable.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
