//! What a test and its supervisor say to each other: one JSON value a line, requests on the supervisor's standard input,
//! reports on its standard output.

use std::{collections::BTreeMap, fmt, os::unix::process::ExitStatusExt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Names one process within its environment. The test chooses it, so that it can be used before the process has a pid.
pub(super) type ProcessId = u64;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Start {
        id: ProcessId,
        command: Command,
    },
    /// To the whole process group. Nothing happens when the process has ended.
    Signal {
        id: ProcessId,
        signal: Signal,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The first line: the environment's temporary directory exists.
    Ready {
        directory: PathBuf,
    },
    Started {
        id: ProcessId,
        pid: u32,
    },
    NotStarted {
        id: ProcessId,
        error: String,
    },
    Exited {
        id: ProcessId,
        pid: u32,
        exit: Exit,
    },
}

/// A program to run in the environment. It sees only the variables named here, and PATH.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Command {
    pub program: PathBuf,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Empty input when none.
    pub stdin: Option<PathBuf>,
    /// Appended to. Standard output goes to `log` when none.
    pub stdout: Option<PathBuf>,
    /// Appended to: standard error, and standard output unless `stdout` is set.
    pub log: PathBuf,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Signal {
    Terminate,
    Kill,
}

/// How a process ended: with an exit code, or by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl From<std::process::ExitStatus> for Exit {
    fn from(status: std::process::ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}
