//! The benchmark: the operator on a real API server and the Azure simulator, from the first object sent to the last one
//! Ready. `docs/benchmarks.md` says what each case is.

mod bound;
mod cases;
mod churn;
mod counts;
mod creation;
mod fleet;
mod floor;
mod granted;
mod large;
mod neighbour;
pub(crate) mod process;
mod readiness;
mod report;
mod resyncs;
mod run;
mod setup;
mod slot;
mod takeover;
mod under_way;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use self::process::Machine;
use self::report::{Report, cpu_line, head};
use crate::demo::progress::Progress;

/// Runs the cases of these names, or all; prints what they show, and writes it to the file.
pub fn run(names: Option<&str>, json: Option<&Path>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .context("starting a runtime")
        .and_then(|runtime| runtime.block_on(measure(names, json)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the benchmark failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gives whether all cases have come to an end. One that has not does not stop the others.
async fn measure(names: Option<&str>, json: Option<&Path>) -> anyhow::Result<bool> {
    let cases = cases::select(names)?;
    let mut report = Report {
        machine: Machine::this()?,
        cases: Vec::new(),
    };
    let Machine {
        cores,
        memory_mib,
        cpu,
        os,
    } = &report.machine;
    print(&format!("{cores} x {cpu}, {memory_mib} MiB, {os}"))?;
    print(&bound::constants())?;
    print(&format!("\n{}", head()))?;
    let progress = Progress::new();
    let mut all_ended = true;
    for case in &cases {
        match run::run(case, &progress).await {
            Ok(measured) => {
                let mut figures = measured.figures;
                figures.ratio_to_floor = report.ratio_to_floor(case, figures.all_ready_s);
                print(&figures.row())?;
                print(&cpu_line(&measured.cpu, &report.machine, &figures))?;
                report.cases.push(figures);
            }
            Err(error) => {
                all_ended = false;
                print(&format!("{:<15}failed: {error:#}", case.name))?;
            }
        }
        // After each case: what is measured is not lost with one that never ends.
        if let Some(path) = json {
            write(&report, path)?;
        }
    }
    Ok(all_ended)
}

fn write(report: &Report, path: &Path) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}
