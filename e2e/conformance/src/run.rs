//! A run from beginning to end.

use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::arm::{Arm, GroupId};
use crate::cli::{Arguments, ProbeName};
use crate::error::Error;
use crate::probes::{self, Context, Waiting};
use crate::report::Report;
use crate::{group, plan};

/// Runs what the flags ask for, and prints it. The exit code is 0 when all is as assumed, 3 when something differs, 1 for
/// errors.
pub async fn run(arguments: &Arguments) -> ExitCode {
    if let Err(error) = arguments.check() {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    if arguments.dry_run {
        print!("{}", plan::text(arguments));
        return ExitCode::SUCCESS;
    }
    let mut report = Report::default();
    if let Err(error) = probe_all(arguments, &mut report).await {
        eprintln!("error: {error}");
        report.fail(error.to_string());
    }
    if report.has_facts() {
        print!("{}", report.text());
    }
    if let Some(path) = &arguments.json
        && let Err(error) = write(path, &report)
    {
        eprintln!(
            "error: --json {} cannot be written: {error}",
            path.display()
        );
        return ExitCode::FAILURE;
    }
    ExitCode::from(report.exit_code())
}

fn write(path: &Path, report: &Report) -> std::io::Result<()> {
    std::fs::write(path, format!("{:#}\n", report.json()))
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

async fn probe_all(arguments: &Arguments, report: &mut Report) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(Error::Signals)?;
    let waiting = Waiting {
        poll: arguments.poll_interval,
        patience: arguments.patience,
    };
    let arm = tokio::select! {
        name = signals.next() => return Err(Error::Interrupted(name)),
        arm = Arm::sign_in(
            &arguments.resource_manager,
            arguments.ca_file.as_deref(),
            arguments.token_command(),
            waiting.poll,
            waiting.patience,
        ) => arm?,
    };
    let id = group::new_id(arguments.subscription.unwrap_or_default());
    eprintln!(
        "resource group {}; if this ends without removing it: {}",
        id.name,
        group::removal_by_hand(&id)
    );
    // Never interrupted in the middle: a group that comes later would stay.
    if let Err(error) = group::create(&arm, &id, &arguments.location).await {
        // Where the answer was lost the group may be there all the same.
        if matches!(error, Error::Unreachable { .. }) {
            remove(&arm, &id, waiting, &mut signals).await?;
        }
        return Err(error);
    }
    let context = Context::new(&arm, &id, &arguments.location, &arguments.regions, waiting);
    let interrupted = tokio::select! {
        name = signals.next() => Some(name),
        () = each(arguments, &context, report) => None,
    };
    if let Some(name) = interrupted {
        eprintln!("{name}: the probes end here");
        report.fail(Error::Interrupted(name).to_string());
    }
    remove(&arm, &id, waiting, &mut signals).await
}

/// The probes, one after the other. One that fails does not keep the others from running.
async fn each(arguments: &Arguments, context: &Context<'_>, report: &mut Report) {
    for (what, flag) in [
        (ProbeName::Regions, "--regions=NAME,.."),
        (ProbeName::Throttling, "--throttling"),
    ] {
        if arguments.only.is_empty() && !arguments.probes().contains(&what) {
            report.left_out(what.as_str(), &format!("only with {flag}"));
        }
    }
    for name in arguments.probes() {
        eprintln!("probe {}", name.as_str());
        match probes::probe(name, context).await {
            Ok(facts) => report.add(name, facts),
            Err(error) => {
                let error = format!("probe {}: {error}", name.as_str());
                eprintln!("error: {error}");
                report.fail(error);
            }
        }
    }
}

async fn remove(
    arm: &Arm,
    id: &GroupId,
    waiting: Waiting,
    signals: &mut Signals,
) -> Result<(), Error> {
    eprintln!("removing resource group {}", id.name);
    let result = tokio::select! {
        // The second one: who asks twice is not made to wait.
        name = signals.next() => Err(Error::Interrupted(name)),
        result = group::remove(arm, id, waiting) => result,
    };
    result.map_err(|error| Error::GroupStays {
        group: id.name.clone(),
        by_hand: group::removal_by_hand(id),
        source: Box::new(error),
    })
}
