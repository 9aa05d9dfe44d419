//! One case, from an empty cluster to its figures.

use anyhow::Context;

use super::cases::{Case, Kind};
use super::fleet;
use super::granted;
use super::large;
use super::report::seconds;
use super::resyncs::{STEADY_RESYNC, resync};
use super::setup::Setup;
use super::takeover;
use super::under_way::{Measured, Run};
use crate::OperatorProcess;
use crate::demo::progress::Progress;

/// Runs a case.
///
/// # Errors
/// Something does not start, or the bindings do not become Ready within a generous limit.
pub(super) async fn run(case: &Case, progress: &Progress) -> anyhow::Result<Measured> {
    if case.kind == Kind::Fleet {
        let outcome = fleet::run(case, progress).await;
        return outcome.with_context(|| format!("case {}", case.name));
    }
    progress.note(&format!("{}: starting a cluster and an Azure", case.name));
    let setup = Setup::start(case).await?;
    let run = Run {
        case,
        setup,
        progress,
    };
    if let Kind::Large(count) = case.kind {
        run.tell(&format!("making {count} large accounts and bindings"));
        large::fill(&run.setup, count).await?;
    }
    if case.granted {
        run.tell("making a grant for each two bindings");
        granted::grant(&run.setup, case).await?;
    }
    if case.kind == Kind::Floor {
        let outcome = run.floor().await;
        return outcome.with_context(|| format!("case {}", case.name));
    }
    let flags = match case.kind {
        Kind::Steady => vec![resync(STEADY_RESYNC)],
        Kind::Granted => vec![granted::LOG_LEVEL.to_owned()],
        Kind::Takeover => takeover::FLAGS.map(str::to_owned).to_vec(),
        _ => Vec::new(),
    };
    let operator = run.setup.operator(&flags).await?;
    if let Kind::Neighbour(crowd) = case.kind {
        let outcome = run.beside(crowd, &operator).await;
        return outcome.with_context(|| format!("case {}", case.name));
    }
    if let Kind::Churn(length) = case.kind {
        let outcome = run.churn(length, &operator).await;
        let outcome = outcome.with_context(|| operator.log_tail());
        return outcome.with_context(|| format!("case {}", case.name));
    }
    if case.kind == Kind::Takeover {
        // There was no Lease: it is taken once it has stood for its duration.
        takeover::until_leads(&operator).await?;
    }
    run.tell(&format!("creating {} bindings", case.bindings));
    let outcome = run.measure(operator).await;
    // The log goes with the environment.
    outcome.with_context(|| format!("case {}", case.name))
}

impl Run<'_> {
    async fn measure(&self, operator: OperatorProcess) -> anyhow::Result<Measured> {
        let created = self
            .create(operator.pid())
            .await
            .with_context(|| operator.log_tail())?;
        self.tell("all are Ready");
        let mut figures = self.figures(&created);
        match self.case.kind {
            Kind::Creation | Kind::Large(_) => {
                self.after_creation(&operator, &created, &mut figures)
                    .await?
            }
            Kind::Floor | Kind::Fleet | Kind::Neighbour(_) | Kind::Churn(_) => {}
            Kind::Granted => self.granted(&operator, &created, &mut figures).await?,
            Kind::Steady => self.steady(&operator, &mut figures).await?,
            Kind::Takeover => self.takeover(operator, &created, &mut figures).await?,
            Kind::Restart => self.restart(operator, &mut figures).await?,
            Kind::Full => {
                figures.seconds = Some(seconds(self.free_a_slot().await?));
                self.after_creation(&operator, &created, &mut figures)
                    .await?;
            }
        }
        Ok(Measured {
            figures,
            cpu: created.cpu,
        })
    }
}
