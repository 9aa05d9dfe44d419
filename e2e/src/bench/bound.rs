//! The least time that a case can take: what Azure's latency and budgets cost whoever creates the credentials, however
//! clever. Computed from the case alone.

use std::time::Duration;

use super::cases::{CREDENTIALS_OF_AN_IDENTITY, Case};

/// Requests that a subscription is sent at once: a promise of the operator to Azure, not a limit of Azure.
const IN_FLIGHT: usize = 16;

/// Reads that nobody can do without: the identity, and the listing of its credentials.
const READS: usize = 2;

/// How many seconds' worth of requests the provider takes at once, and one request at least: Azure publishes none.
pub(super) const BURST_SECONDS: u32 = 1;

/// A scope that Azure counts requests in: so many at once, and so many a second afterwards.
#[derive(Debug, Clone, Copy)]
struct Budget {
    scope: Scope,
    operation: Operation,
    burst: f64,
    per_second: f64,
}

#[derive(Debug, Clone, Copy)]
enum Scope {
    Identity,
    /// The case has one, in one tenant.
    Subscription,
    Tenant,
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    Put,
    Get,
    List,
    /// GET and LIST, as Resource Manager counts them.
    Read,
}

/// A budget of the managed identity provider.
fn provider(scope: Scope, operation: Operation, per_second: f64) -> Budget {
    Budget {
        scope,
        operation,
        burst: (per_second * f64::from(BURST_SECONDS)).floor().max(1.0),
        per_second,
    }
}

/// A budget of Resource Manager, for one principal in a subscription.
fn manager(operation: Operation, burst: f64, per_second: f64) -> Budget {
    Budget {
        scope: Scope::Subscription,
        operation,
        burst,
        per_second,
    }
}

/// What Azure publishes for the operations that creating a credential takes. Sources: the provider's
/// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>, Resource Manager's
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>.
fn budgets() -> [Budget; 11] {
    [
        provider(Scope::Identity, Operation::Put, 0.25),
        provider(Scope::Identity, Operation::Get, 0.5),
        provider(Scope::Identity, Operation::List, 0.25),
        provider(Scope::Subscription, Operation::Put, 2.0),
        provider(Scope::Subscription, Operation::Get, 10.0),
        provider(Scope::Subscription, Operation::List, 5.0),
        provider(Scope::Tenant, Operation::Put, 10.0),
        provider(Scope::Tenant, Operation::Get, 30.0),
        provider(Scope::Tenant, Operation::List, 15.0),
        manager(Operation::Put, 200.0, 10.0),
        manager(Operation::Read, 250.0, 25.0),
    ]
}

/// The requests that a case cannot do without.
#[derive(Debug, Clone, Copy, Default)]
struct Needed {
    puts: usize,
    identities: usize,
}

impl Needed {
    fn of(&self, operation: Operation) -> usize {
        match operation {
            Operation::Put => self.puts,
            Operation::Get | Operation::List => self.identities,
            Operation::Read => READS * self.identities,
        }
    }

    fn all(&self) -> usize {
        self.puts + READS * self.identities
    }
}

/// The least time from the first object sent to the last one Ready, where sending them all took `apply`.
pub(super) fn lower_bound(case: &Case, apply: Duration) -> Duration {
    let wanted = case.bindings_by_identity();
    let fullest = Needed {
        puts: (wanted.into_iter().max().unwrap_or_default()).min(CREDENTIALS_OF_AN_IDENTITY),
        identities: 1,
    };
    let whole = Needed {
        puts: case.credentials(),
        identities: case.identities,
    };
    let latency = case.latency.as_secs_f64();
    // One writer: all of an identity's requests stand in line.
    let in_series = fullest.all() as f64 * latency;
    let side_by_side = whole.all() as f64 * latency / IN_FLIGHT as f64;
    let budgets = budgets()
        .into_iter()
        .filter(|_| case.throttled)
        .map(|budget| {
            let needed = match budget.scope {
                Scope::Identity => fullest,
                Scope::Subscription | Scope::Tenant => whole,
            };
            (needed.of(budget.operation) as f64 - budget.burst) / budget.per_second
        });
    let bound = budgets.fold(in_series.max(side_by_side), f64::max);
    Duration::from_secs_f64(bound).max(apply)
}

/// What the bound is made of, for people.
pub(super) fn constants() -> String {
    let throttles = budgets().map(|budget| {
        format!(
            "{:?} {:?} {} at once, then {}/s",
            budget.scope, budget.operation, budget.burst, budget.per_second
        )
        .to_lowercase()
    });
    format!(
        "The bound is the largest of: the time to apply; per identity (GET + LIST + n PUTs) x latency, one after the other; \
         per subscription all of these x latency / {IN_FLIGHT} in flight; and when throttled, per scope (n - burst) / rate:\n  \
         {}",
        throttles.join("\n  ")
    )
}

#[cfg(test)]
mod tests {
    use azure_simulator::control::api::{ProviderRates, Throttling};

    use super::super::cases::select;
    use super::*;

    fn bound(name: &str, apply: f64) -> f64 {
        let case = &select(Some(name)).unwrap()[0];
        lower_bound(case, Duration::from_secs_f64(apply)).as_secs_f64()
    }

    fn assert_close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-6, "{left} is not {right}");
    }

    #[test]
    fn the_requests_of_one_identity_stand_in_line() {
        // GET, LIST, PUT.
        assert_close(bound("1@100", 0.0), 0.3);
        assert_close(bound("20@100", 0.0), 2.2);
        // Ten identities side by side, 220 requests over 16: less than the 22 of one.
        assert_close(bound("200@100", 0.0), 2.2);
    }

    #[test]
    fn many_identities_share_what_a_subscription_has_in_flight() {
        // 2,000 PUTs and 200 reads of 100 ms, 16 at a time.
        assert_close(bound("2000@100", 0.0), 13.75);
    }

    #[test]
    fn a_budget_gives_its_burst_at_once_and_the_rest_at_its_rate() {
        // The subscription's 2 PUTs a second: (200 - 2) / 2. One identity's would be (20 - 1) / 0.25.
        assert_close(bound("throttled", 0.0), 99.0);
        assert_close(bound("throttled-2000", 0.0), 999.0);
    }

    #[test]
    fn the_simulator_has_the_budgets_that_the_bound_counts_with() {
        let Throttling {
            resource_manager,
            provider: ProviderRates { put, get, list, .. },
            ..
        } = Throttling::published(BURST_SECONDS);
        let simulated = [
            put.resource,
            get.resource,
            list.resource,
            put.subscription,
            get.subscription,
            list.subscription,
            put.tenant,
            get.tenant,
            list.tenant,
            resource_manager.writes.subscription,
            resource_manager.reads.subscription,
        ];
        for (budget, simulated) in budgets().iter().zip(simulated) {
            assert_close(budget.per_second, f64::from(simulated.per_minute) / 60.0);
            assert_close(budget.burst, f64::from(simulated.burst));
        }
    }

    #[test]
    fn nothing_is_faster_than_sending_the_objects() {
        assert_close(bound("200@0", 0.0), 0.0);
        assert_close(bound("200@0", 0.7), 0.7);
        assert_close(bound("200@100", 0.7), 2.2);
        assert_close(bound("200@100", 3.0), 3.0);
    }

    #[test]
    fn a_full_identity_takes_no_more_than_its_twenty_writes() {
        let mut full = select(Some("full")).unwrap()[0].clone();
        full.latency = Duration::from_millis(100);
        assert_close(lower_bound(&full, Duration::ZERO).as_secs_f64(), 2.2);
    }

    #[test]
    fn the_constants_are_told() {
        let told = constants();
        for constant in [
            "16 in flight",
            "identity put 1 at once, then 0.25/s",
            "subscription read 250 at once, then 25/s",
        ] {
            assert!(told.contains(constant), "{constant:?} is not in {told}");
        }
    }
}
