//! The supervisor process: starts what it is asked to start, and ends all of it when its standard input ends.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, kill_process_group,
    set_child_subreaper, wait, waitid,
};
use signal_hook::consts::TERM_SIGNALS;

use super::protocol::{Command, Exit, ProcessId, Report, Request, Signal};

/// How long the end of an environment may take. Killed processes go within milliseconds; only one stuck in the kernel
/// takes longer.
const END_LIMIT: Duration = Duration::from_secs(10);
const END_POLL: Duration = Duration::from_millis(5);

enum Event {
    Asked(Request),
    /// A child has ended and is not reaped yet: its pid cannot be given to another process.
    Ended(ProcessId),
    /// Standard input is at its end (the test is gone), or the supervisor was told to stop.
    Over,
}

/// Runs until standard input ends or a termination signal comes; then kills every process group that it started and
/// removes the temporary directory.
///
/// # Errors
/// The directory cannot be made or removed, or standard input carries something that is no request.
pub fn serve() -> anyhow::Result<()> {
    // A child's orphans come to us, so that the end can be awaited for them too.
    set_child_subreaper(Some(getpid()))?;
    let directory = tempfile::Builder::new().prefix("azwib-").tempdir()?;
    let (events, inbox) = channel();
    end_on_signals(events.clone())?;
    read_requests(events.clone());
    report(&Report::Ready {
        directory: directory.path().to_owned(),
    });

    let mut children = HashMap::new();
    run(&mut children, &events, &inbox);
    kill_all(children.values());
    remove(directory.path())
}

fn run(children: &mut HashMap<ProcessId, Child>, events: &Sender<Event>, inbox: &Receiver<Event>) {
    while let Ok(event) = inbox.recv() {
        match event {
            Event::Asked(Request::Start { id, command }) => match start(&command) {
                Ok(child) => {
                    report(&Report::Started {
                        id,
                        pid: child.id(),
                    });
                    watch(id, group(&child), events.clone());
                    children.insert(id, child);
                }
                Err(error) => report(&Report::NotStarted {
                    id,
                    error: format!("{error:#}"),
                }),
            },
            Event::Asked(Request::Signal { id, signal }) => {
                if let Some(child) = children.get(&id) {
                    signal_group(child, signal);
                }
            }
            Event::Ended(id) => {
                if let Some(mut child) = children.remove(&id) {
                    // What the process left behind goes with it.
                    signal_group(&child, Signal::Kill);
                    if let Ok(status) = child.wait() {
                        report(&Report::Exited {
                            id,
                            pid: child.id(),
                            exit: Exit::from(status),
                        });
                    }
                }
            }
            Event::Over => return,
        }
    }
}

fn start(command: &Command) -> anyhow::Result<Child> {
    let append = |path: &Path| -> anyhow::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| path.display().to_string())
    };
    let log = append(&command.log)?;
    let stdout = match &command.stdout {
        Some(path) => append(path)?,
        None => log.try_clone()?,
    };
    let stdin = match &command.stdin {
        Some(path) => Stdio::from(File::open(path).with_context(|| path.display().to_string())?),
        None => Stdio::null(),
    };
    let mut process = std::process::Command::new(&command.program);
    process
        .args(&command.args)
        .env_clear()
        .envs(&command.env)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(log);
    if let Some(path) = std::env::var_os("PATH") {
        process.env("PATH", path);
    }
    process
        .process_group(0)
        .spawn()
        .with_context(|| command.program.display().to_string())
}

/// Waits for a child on a thread of its own, without reaping it: until the event is handled, the pid stays taken.
fn watch(id: ProcessId, pid: Option<Pid>, events: Sender<Event>) {
    let Some(pid) = pid else { return };
    thread::spawn(move || {
        while let Err(rustix::io::Errno::INTR) = waitid(
            WaitId::Pid(pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        ) {}
        // Fails only when the supervisor is ending anyway.
        let _ = events.send(Event::Ended(id));
    });
}

fn end_on_signals(events: Sender<Event>) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new(TERM_SIGNALS)?;
    thread::spawn(move || {
        for _ in &mut signals {
            let _ = events.send(Event::Over);
        }
    });
    Ok(())
}

fn read_requests(events: Sender<Event>) {
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let request = line
                .map_err(anyhow::Error::from)
                .and_then(|line| Ok(serde_json::from_str(&line)?));
            match request {
                Ok(request) => {
                    let _ = events.send(Event::Asked(request));
                }
                Err(error) => {
                    let _ = writeln!(io::stderr(), "supervisor: bad request: {error:#}");
                    break;
                }
            }
        }
        let _ = events.send(Event::Over);
    });
}

/// Reports that nobody reads any more are no error: the end of standard input follows.
fn report(report: &Report) {
    if let Ok(line) = serde_json::to_string(report) {
        let mut stdout = io::stdout().lock();
        let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    }
}

/// Each child leads a process group of its own, so its pid is the group's id.
fn group(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn signal_group(child: &Child, signal: Signal) {
    let signal = match signal {
        Signal::Terminate => rustix::process::Signal::TERM,
        Signal::Kill => rustix::process::Signal::KILL,
    };
    if let Some(group) = group(child) {
        // Fails only when nobody is left in the group.
        let _ = kill_process_group(group, signal);
    }
}

/// Kills all groups and waits until no child, own or inherited, is left.
fn kill_all<'a>(children: impl Iterator<Item = &'a Child>) {
    children.for_each(|child| signal_group(child, Signal::Kill));
    let deadline = Instant::now() + END_LIMIT;
    while Instant::now() < deadline {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => {
                // Somebody left its group; its parent is gone, so it is our child now.
                for child in own_children() {
                    let _ = kill_process(child, rustix::process::Signal::KILL);
                }
                thread::sleep(END_POLL);
            }
            Err(_) => return,
        }
    }
}

/// The pids of all children, as Linux lists them for each thread.
fn own_children() -> impl Iterator<Item = Pid> {
    let threads = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let listed =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    listed
        .flat_map(|pids| {
            pids.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<i32>>()
        })
        .filter_map(Pid::from_raw)
}

/// Removes the directory; again while a process that ends just now still writes into it.
fn remove(directory: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + END_LIMIT;
    loop {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("removing {}", directory.display()));
            }
            Err(_) => thread::sleep(END_POLL),
            Ok(()) => return Ok(()),
        }
    }
}
