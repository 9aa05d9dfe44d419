//! Builds Go programs, once each.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

/// How often a long build says that it is still going on.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Begins the names of folders that hold a build in progress.
const PARTIAL: &str = ".building-";

/// A binary and the package that it is built from.
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
}

/// A Go module of ours below `e2e/go/`.
pub(super) struct Module {
    pub(super) folder: &'static str,
    /// What its binaries are made of, besides go.mod and go.sum.
    pub(super) sources: &'static [&'static str],
    /// Build tags.
    pub(super) tags: &'static str,
}

impl Module {
    /// The path of its only program, which is built where it is missing.
    pub(super) fn binary(&self, programs: &[Program], ldflags: &str) -> anyhow::Result<PathBuf> {
        let mut built = self.binaries(programs, ldflags, None)?;
        built.pop().context("a program is missing from the list")
    }

    /// The paths of the programs, in their order; what is missing is built.
    pub(super) fn binaries(
        &self,
        programs: &[Program],
        ldflags: &str,
        ready: Option<&Path>,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let target = bin_folder().join(format!("{}-{}", self.folder, self.hash(ldflags)?));
        let find = |program: &Program| {
            let given = ready
                .map(|folder| folder.join(program.name))
                .filter(|path| path.is_file());
            given.unwrap_or_else(|| target.join(program.name))
        };
        let paths: Vec<PathBuf> = programs.iter().map(find).collect();
        if paths.iter().all(|path| path.is_file()) {
            return Ok(paths);
        }
        fs::create_dir_all(&target)?;
        let lock = File::create(bin_folder().join(format!("{}.lock", self.folder)))?;
        if lock.try_lock().is_err() {
            say(&format!(
                "another process is building {}: waiting for it",
                self.folder
            ));
            lock.lock()?;
        }
        let missing: Vec<&Program> = programs
            .iter()
            .zip(&paths)
            .filter(|(_, path)| !path.is_file())
            .map(|(program, _)| program)
            .collect();
        if !missing.is_empty() {
            self.build(&missing, ldflags, &target)?;
        }
        Ok(paths)
    }

    /// Twelve digits that stand for everything a binary is made from.
    fn hash(&self, ldflags: &str) -> anyhow::Result<String> {
        let mut hash = Sha256::new_with_prefix([ldflags, self.tags].concat());
        for file in ["go.mod", "go.sum"].iter().chain(self.sources) {
            let path = self.path().join(file);
            hash.update(fs::read(&path).with_context(|| path.display().to_string())?);
        }
        Ok(hash
            .finalize()
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }

    fn path(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("go")
            .join(self.folder)
    }

    /// Builds into a temporary folder and moves each binary to its place in one step, so that none is ever half there.
    fn build(&self, programs: &[&Program], ldflags: &str, target: &Path) -> anyhow::Result<()> {
        let names = programs
            .iter()
            .map(|program| program.name)
            .collect::<Vec<_>>()
            .join(", ");
        remove_partial(target)?;
        let partial = tempfile::Builder::new()
            .prefix(PARTIAL)
            .tempdir_in(target)?;
        // `-o` names a folder for several packages, and a file for one: etcd's main package is not called etcd.
        let output = match programs {
            [program] => partial.path().join(program.name).into_os_string(),
            _ => {
                let mut folder = OsString::from(partial.path());
                folder.push("/");
                folder
            }
        };
        let mut go = Command::new("go");
        go.current_dir(self.path())
            .args([
                "build",
                "-trimpath",
                "-buildvcs=false",
                "-mod=readonly",
                "-tags",
                self.tags,
                "-ldflags",
                ldflags,
                "-o",
            ])
            .arg(output)
            .args(programs.iter().map(|program| program.package))
            // The installed Go as it is, for this machine, without a workspace or flags from outside.
            .envs([
                ("GOTOOLCHAIN", "local"),
                ("CGO_ENABLED", "0"),
                ("GOWORK", "off"),
                ("GOFLAGS", ""),
            ])
            .env_remove("GOOS")
            .env_remove("GOARCH");
        run_with_progress(go, &format!("building {names} from e2e/go/{}", self.folder))?;
        for program in programs {
            fs::rename(partial.path().join(program.name), target.join(program.name))?;
        }
        Ok(())
    }
}

/// What a build that was killed has left. Called under the lock.
fn remove_partial(target: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(target)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn bin_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bin")
}

/// Runs a command that takes long, with a line on standard error now and then.
fn run_with_progress(mut command: Command, what: &str) -> anyhow::Result<()> {
    say(&format!(
        "{what} (once; minutes when Go's build cache is cold)"
    ));
    let started = Instant::now();
    let program = command.get_program().to_string_lossy().into_owned();
    let child = match command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
    {
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "{what}: `{program}` is not on PATH. The end-to-end tests build Kubernetes from source: install Go 1.26 or later"
        ),
        started => started.with_context(|| format!("starting {program}"))?,
    };
    let (done, finished) = channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    let output = loop {
        match finished.recv_timeout(PROGRESS_INTERVAL) {
            Ok(output) => break output?,
            Err(RecvTimeoutError::Timeout) => {
                say(&format!("{what}: {} s", started.elapsed().as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => bail!("{what}: its watcher is gone"),
        }
    };
    if !output.status.success() {
        bail!(
            "{what} failed with {}:\n{}",
            output.status,
            last_lines(&String::from_utf8_lossy(&output.stderr))
        );
    }
    say(&format!(
        "{what}: done after {} s",
        started.elapsed().as_secs()
    ));
    Ok(())
}

fn last_lines(text: &str) -> String {
    const LINES: usize = 30;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Straight to standard error: the test harness captures `eprintln!` and shows it only when a test fails.
fn say(message: &str) {
    let _ = writeln!(io::stderr(), "assets: {message}");
}
