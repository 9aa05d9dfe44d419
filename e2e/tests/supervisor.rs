//! Nothing that an environment starts outlives its test, whatever happens to the test.

#![allow(
    clippy::unwrap_used,
    reason = "outside of test functions too, this file is a test"
)]

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    io::{BufRead, BufReader, Lines, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
    time::Duration,
};

use anyhow::Context;
use azwib_e2e::{
    ControlPlane, ControlPlaneOptions,
    supervisor::{Command, Exit, Process, Supervisor},
    wait::until,
};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Makes the test `victim` do something: it is another test's subject, run in a process of its own.
const VICTIM: &str = "AZWIB_TEST_VICTIM";

const LIMIT: Duration = Duration::from_secs(30);

/// A shell with a child in its group, and one that has left the group.
const FAMILY: &str = "sleep 1000 & setsid sleep 1000 & wait";

fn shell(supervisor: &Supervisor, name: &str, script: &str) -> Command {
    Command {
        program: PathBuf::from("/bin/sh"),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: BTreeMap::new(),
        stdin: None,
        stdout: None,
        log: supervisor.directory().join(format!("{name}.log")),
    }
}

async fn run(supervisor: &Supervisor, script: &str) -> anyhow::Result<Process> {
    supervisor.spawn(shell(supervisor, "shell", script)).await
}

/// One process as /proc shows it. The start time tells a pid from its next use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Seen {
    pid: i32,
    start_time: String,
}

/// Every process that runs (zombies do not), with its parent.
fn running() -> Vec<(Seen, i32)> {
    let stat = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name, in parentheses, may hold spaces; after it come state, parent and more.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let start_time = (*fields.get(19)?).to_owned();
        (fields[0] != "Z").then_some((Seen { pid, start_time }, fields[1].parse().ok()?))
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(stat)
        .collect()
}

fn descendants(ancestor: u32) -> HashSet<Seen> {
    let all = running();
    let mut parents = HashSet::from([i32::try_from(ancestor).unwrap()]);
    let mut found = HashSet::new();
    loop {
        let more: Vec<Seen> = all
            .iter()
            .filter(|(seen, parent)| parents.contains(parent) && !found.contains(seen))
            .map(|(seen, _)| seen.clone())
            .collect();
        if more.is_empty() {
            return found;
        }
        parents.extend(more.iter().map(|seen| seen.pid));
        found.extend(more);
    }
}

async fn await_all_gone(processes: &HashSet<Seen>, directory: &Path) -> anyhow::Result<()> {
    until("everything to be gone", LIMIT, async || {
        let left = running().iter().any(|(seen, _)| processes.contains(seen));
        Ok((!left && !directory.exists()).then_some(()))
    })
    .await
    .with_context(|| {
        let left = running()
            .into_iter()
            .filter(|(seen, _)| processes.contains(seen));
        format!("{}, {:?}", directory.display(), left.collect::<Vec<_>>())
    })
}

/// Not a test of its own: what the tests below run in another process, and then do away with.
#[tokio::test]
#[ignore = "run by the other tests of this file"]
async fn victim() -> anyhow::Result<()> {
    let Ok(fate) = std::env::var(VICTIM) else {
        return Ok(());
    };
    let control_plane = ControlPlane::start(ControlPlaneOptions::unpublished()?).await?;
    run(control_plane.supervisor(), FAMILY).await?;
    println!("\n{VICTIM} {}", control_plane.directory().display());
    // Its processes are listed before it goes on.
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    assert_eq!(fate, "return", "the victim is to panic");
    Ok(())
}

struct Victim {
    child: Child,
    directory: PathBuf,
    processes: HashSet<Seen>,
    /// A closed pipe would fail a test that reports its success.
    _stdout: Lines<BufReader<ChildStdout>>,
}

/// Starts a victim and waits until it has a whole environment. It meets its fate when a line comes on its standard input.
async fn start_victim(fate: &str) -> anyhow::Result<Victim> {
    let mut child = std::process::Command::new(std::env::current_exe()?)
        .args(["victim", "--exact", "--ignored", "--nocapture"])
        .env(VICTIM, fate)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
    let (directory, stdout) = tokio::task::spawn_blocking(move || {
        let directory =
            lines.find_map(|line| Some(PathBuf::from(line.ok()?.strip_prefix(VICTIM)?.trim())));
        (directory, lines)
    })
    .await?;
    let directory = directory.context("the victim ended before it had an environment")?;
    let pid = child.id();
    // The supervisor, three components, the shell and its two children.
    let processes = until("the victim's processes", LIMIT, async || {
        Ok(Some(descendants(pid)).filter(|found| found.len() == 7))
    })
    .await?;
    Ok(Victim {
        child,
        directory,
        processes,
        _stdout: stdout,
    })
}

fn group(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

#[tokio::test]
async fn a_killed_test_leaves_nothing_behind_and_disturbs_no_other() -> anyhow::Result<()> {
    let bystander = Supervisor::start()?;
    let sleeper = run(&bystander, "sleep 1000").await?;
    let mut victim = start_victim("none").await?;
    kill_process(group(&victim.child), Signal::KILL)?;
    victim.child.wait()?;
    await_all_gone(&victim.processes, &victim.directory).await?;
    assert_eq!(sleeper.exit(), None);
    assert!(bystander.directory().exists());
    Ok(())
}

#[tokio::test]
async fn an_interrupted_test_leaves_nothing_behind() -> anyhow::Result<()> {
    let mut victim = start_victim("none").await?;
    // As a terminal does on Ctrl-C: to the whole foreground group.
    kill_process_group(group(&victim.child), Signal::INT)?;
    victim.child.wait()?;
    await_all_gone(&victim.processes, &victim.directory).await
}

#[tokio::test]
async fn a_panicking_or_returning_test_has_left_nothing_behind_when_it_ends() -> anyhow::Result<()>
{
    for (fate, succeeds) in [("panic", false), ("return", true)] {
        let mut victim = start_victim(fate).await?;
        victim
            .child
            .stdin
            .take()
            .context("a pipe")?
            .write_all(b"\n")?;
        let status = victim.child.wait()?;
        assert_eq!(status.success(), succeeds, "{fate}");
        let left: Vec<_> = running()
            .into_iter()
            .filter(|(seen, _)| victim.processes.contains(seen))
            .collect();
        assert!(
            left.is_empty() && !victim.directory.exists(),
            "{fate}: {left:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_terminated_supervisor_takes_everything_along() -> anyhow::Result<()> {
    let supervisor = Supervisor::start()?;
    let directory = supervisor.directory().to_owned();
    let family = run(&supervisor, FAMILY).await?;
    let supervisor_pid = running()
        .iter()
        .find(|(seen, _)| u32::try_from(seen.pid) == Ok(family.pid()))
        .map(|(_, parent)| *parent);
    let supervisor_pid = supervisor_pid.context("the shell runs")?;
    let processes = until("the shell's children", LIMIT, async || {
        Ok(Some(descendants(u32::try_from(supervisor_pid)?)).filter(|found| found.len() == 3))
    })
    .await?;
    kill_process(
        Pid::from_raw(supervisor_pid).context("a pid")?,
        Signal::TERM,
    )?;
    await_all_gone(&processes, &directory).await?;
    let error = family.wait_exit().await.unwrap_err();
    assert!(
        error.to_string().contains("the supervisor is gone"),
        "{error}"
    );
    assert!(
        supervisor
            .spawn(shell(&supervisor, "late", "true"))
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test]
async fn a_process_reports_how_it_ended_and_takes_its_children_along() -> anyhow::Result<()> {
    let supervisor = Supervisor::start()?;
    assert_eq!(
        run(&supervisor, "exit 3").await?.wait_exit().await?,
        Exit::Code(3)
    );
    let polite = run(
        &supervisor,
        "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done",
    )
    .await?;
    until("the trap to be set", LIMIT, async || {
        Ok(polite.log_tail().contains("ready").then_some(()))
    })
    .await?;
    assert_eq!(polite.terminate().await?, Exit::Code(7));
    assert_eq!(
        run(&supervisor, "sleep 1000").await?.kill().await?,
        Exit::Signal(9)
    );

    let parent = run(&supervisor, "sleep 1000 & echo child $!; exit 0").await?;
    assert_eq!(parent.wait_exit().await?, Exit::Code(0));
    let log = fs::read_to_string(parent.log_file())?;
    let child: i32 = log
        .lines()
        .find_map(|line| line.strip_prefix("child "))
        .context("its pid")?
        .parse()?;
    until("the child to go", LIMIT, async || {
        Ok(running()
            .iter()
            .all(|(seen, _)| seen.pid != child)
            .then_some(()))
    })
    .await?;

    let missing = Command {
        program: PathBuf::from("/no/such/program"),
        ..shell(&supervisor, "missing", "")
    };
    let error = supervisor.spawn(missing).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/program"), "{error}");

    // A process that is still held does not hold the environment.
    let held = run(&supervisor, "sleep 1000").await?;
    let directory = supervisor.directory().to_owned();
    drop(supervisor);
    assert!(!directory.exists());
    assert!(held.wait_exit().await.is_err());
    Ok(())
}
