//! What looking costs while nothing changes: in an operator that goes on, and in one that has just started.

use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::time::sleep;

use super::counts::{AzureLog, Window, count};
use super::process;
use super::report::{Figures, Rates, seconds};
use super::under_way::{REST, Run};
use crate::environment::PATIENCE;
use crate::{OperatorProcess, wait};

/// The resync period of an operator that is watched while nothing changes, and how many of them that lasts.
pub(super) const STEADY_RESYNC: Duration = Duration::from_secs(10);
const STEADY_RESYNCS: u32 = 6;

/// The same after a restart, where the first look at everything is part of it.
const RESTART_RESYNC: Duration = Duration::from_secs(30);
const RESTART_RESYNCS: u32 = 2;

/// Resync period of an operator without flags. An hour has four of them.
const DEFAULT_RESYNC: Duration = Duration::from_secs(15 * 60);

impl Run<'_> {
    /// Watches the operator while nothing changes.
    pub(super) async fn steady(
        &self,
        operator: &OperatorProcess,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        sleep(REST + STEADY_RESYNC).await;
        let length = STEADY_RESYNC * STEADY_RESYNCS;
        self.tell(&format!("watching the operator for {length:?}"));
        let (cpu, from) = (process::cpu(operator.pid())?, Timestamp::now());
        sleep(length).await;
        let window = Window::since(from);
        let counts = count(&self.setup.environment, window).await?;
        let looked = AzureLog::read(&self.setup.environment)
            .await?
            .all_looked_at(self.case.identities, window)
            .context("not every identity was looked at")?;
        figures.set_counts(counts);
        figures.seconds = Some(seconds(window.length()));
        let hourly = |requests| hourly(requests, self.case.identities, window, STEADY_RESYNC);
        figures.rates = Some(Rates {
            lists_per_identity_hour: hourly(counts.requests.list),
            gets_per_identity_hour: hourly(counts.requests.get),
            synced_s: seconds(Window { from, to: looked }.length()),
        });
        figures.cpu_s = seconds(process::cpu(operator.pid())? - cpu);
        figures.peak_rss_mib = process::peak_memory(operator.pid())?;
        Ok(())
    }

    /// Starts another operator in the place of this one, and watches it.
    pub(super) async fn restart(
        &self,
        operator: OperatorProcess,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        sleep(REST).await;
        self.tell("restarting the operator");
        operator.terminate().await?;
        let environment = &self.setup.environment;
        // The log is asked for again and again: a short one takes no time from the operator.
        environment.control().clear_log().await?;
        let from = Timestamp::now();
        let operator = self.setup.operator(&[resync(RESTART_RESYNC)]).await?;
        let ready = Timestamp::now();
        let looked = wait::until("a look at every identity", PATIENCE, async || {
            let log = AzureLog::read(environment).await?;
            Ok(log.all_looked_at(self.case.identities, Window::since(from)))
        })
        .await?;
        let synced = looked.max(ready);
        let length = RESTART_RESYNC * RESTART_RESYNCS;
        self.tell(&format!(
            "everything is looked at; watching the operator for {length:?}"
        ));
        // All resyncs come at about the same time: whole periods from the middle of one on hold as many of them.
        sleep(RESTART_RESYNC / 2).await;
        let after = Timestamp::now();
        sleep(length).await;
        let (whole, after) = (Window::since(from), Window::since(after));
        let further = count(environment, after).await?.requests;
        figures.set_counts(count(environment, whole).await?);
        figures.seconds = Some(seconds(whole.length()));
        let hourly = |requests| hourly(requests, self.case.identities, after, RESTART_RESYNC);
        figures.rates = Some(Rates {
            lists_per_identity_hour: hourly(further.list),
            gets_per_identity_hour: hourly(further.get),
            synced_s: seconds(Window { from, to: synced }.length()),
        });
        figures.cpu_s = seconds(process::cpu(operator.pid())?);
        figures.peak_rss_mib = process::peak_memory(operator.pid())?;
        Ok(())
    }
}

/// Requests of a window with a short resync period, as one identity's in an hour with the default one: all of them come
/// with a resync, and so many fewer resyncs are in an hour.
fn hourly(requests: usize, identities: usize, window: Window, resync: Duration) -> f64 {
    let resyncs = window.length().div_duration_f64(resync);
    let resyncs_of_an_hour = Duration::from_secs(60 * 60).div_duration_f64(DEFAULT_RESYNC);
    let hourly = requests as f64 / identities as f64 / resyncs * resyncs_of_an_hour;
    (hourly * 100.0).round() / 100.0
}

/// The flag for this resync period.
pub(super) fn resync(period: Duration) -> String {
    format!("--resync-period={}s", period.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_a_short_resync_period_are_told_for_the_default_one() {
        let minute = Window {
            from: Timestamp::UNIX_EPOCH,
            to: Timestamp::UNIX_EPOCH + Duration::from_secs(60),
        };
        // Ten identities, once each of six periods: four times an hour at fifteen minutes.
        let period = Duration::from_secs(10);
        assert_eq!(hourly(60, 10, minute, period), 4.0);
        assert_eq!(hourly(66, 10, minute, period), 4.4);
    }
}
