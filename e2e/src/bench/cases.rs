//! The cases: how many bindings on how many identities, and how Azure behaves meanwhile.

use std::time::Duration;

use anyhow::bail;

/// Credentials that one identity can have, and bindings that a case puts on one.
pub(super) const CREDENTIALS_OF_AN_IDENTITY: usize = 20;

/// One case of the benchmark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) bindings: usize,
    pub(super) identities: usize,
    /// How long Azure Resource Manager takes for each request.
    pub(super) latency: Duration,
    /// Whether Azure's published budgets are in force.
    pub(super) throttled: bool,
    /// Whether grants are enforced, with one for each two bindings.
    pub(super) granted: bool,
    /// Too long to run unless asked for.
    only_by_name: bool,
}

/// What is measured besides the creation of the bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Creation,
    /// The same writes to the API server, by a client that does nothing else.
    Floor,
    /// Several clusters on the same identities.
    Fleet,
    /// What the operator does while nothing changes.
    Steady,
    /// What an operator does that finds everything done.
    Restart,
    /// How long a binding that waits for a slot takes to get one that was freed.
    Full,
    /// What it costs the operator that the cluster holds so many ServiceAccounts as large as can be, and as many bindings.
    Large(usize),
    /// How long a newcomer takes beside such a crowd, and what that costs the operator while nothing changes.
    Neighbour(Crowd),
    /// What it costs that each binding has a grant, that one comes over all of them, and that its tenant asks for looks all the
    /// time.
    Granted,
    /// How long nobody leads when the leader ends, and what the next one does first.
    Takeover,
    /// Whether the operator grows while subscriptions, namespaces and bindings come and go for so long.
    Churn(Duration),
}

/// Bindings that are in the way of others, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crowd {
    /// All on one identity, which takes twenty of them.
    OnFullIdentity(usize),
    /// All with one ServiceAccount and one identity: they share a credential.
    OnOneAccount(usize),
    /// Each on an identity that does not exist.
    OnMissingIdentities(usize),
    /// Each write of the operator takes twenty seconds.
    OfSlowWrites(usize),
}

impl Crowd {
    pub(super) fn len(self) -> usize {
        match self {
            Self::OnFullIdentity(count)
            | Self::OnOneAccount(count)
            | Self::OnMissingIdentities(count)
            | Self::OfSlowWrites(count) => count,
        }
    }
}

impl Case {
    /// Bindings on identities that are filled one after the other, at an Azure that is in nobody's way.
    fn new(name: &str, kind: Kind, bindings: usize, identities: usize) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            bindings,
            identities,
            latency: Duration::ZERO,
            throttled: false,
            granted: false,
            only_by_name: false,
        }
    }

    fn creation(bindings: usize, milliseconds: u64) -> Self {
        let identities = bindings.div_ceil(CREDENTIALS_OF_AN_IDENTITY);
        let name = format!("{bindings}@{milliseconds}");
        Self {
            latency: Duration::from_millis(milliseconds),
            ..Self::new(&name, Kind::Creation, bindings, identities)
        }
    }

    /// What stands under the creation of so many.
    fn floor_of(bindings: usize) -> Self {
        Self {
            name: floor_name(bindings),
            kind: Kind::Floor,
            ..Self::creation(bindings, 0)
        }
    }

    /// The same under grants.
    fn granted(kind: Kind, bindings: usize) -> Self {
        Self {
            name: format!("granted-{bindings}"),
            kind,
            granted: true,
            ..Self::creation(bindings, 0)
        }
    }

    /// The case that is the floor under this one.
    pub(super) fn floor(&self) -> Option<String> {
        let has_one = self.kind == Kind::Creation && self.latency.is_zero();
        let has_one = has_one && !self.throttled && !self.granted;
        has_one.then(|| floor_name(self.bindings))
    }

    /// Clusters on the same four identities, which they fill together.
    fn fleet() -> Self {
        Self {
            name: "fleet".to_owned(),
            kind: Kind::Fleet,
            ..Self::creation(80, 500)
        }
    }

    fn throttled(name: &str, bindings: usize) -> Self {
        Self {
            name: name.to_owned(),
            throttled: true,
            ..Self::creation(bindings, 0)
        }
    }

    /// A crowd, and a newcomer on an identity of its own.
    fn neighbour(name: &str, crowd: Crowd) -> Self {
        Self {
            throttled: matches!(crowd, Crowd::OnMissingIdentities(_)),
            only_by_name: crowd.len() > 2_000,
            ..Self::new(name, Kind::Neighbour(crowd), 2, 2)
        }
    }

    /// Nothing but what comes and goes, for so many minutes.
    fn churn(minutes: u64) -> Self {
        let length = Duration::from_secs(60 * minutes);
        Self {
            only_by_name: true,
            ..Self::new(&format!("churn-{minutes}"), Kind::Churn(length), 1, 1)
        }
    }

    /// How many bindings a namespace has.
    pub(super) fn bindings_of_a_namespace(&self) -> usize {
        if self.kind == Kind::Granted { 10 } else { 200 }
    }

    /// The identity of a binding, both counted from 0.
    pub(super) fn identity_of(&self, binding: usize) -> usize {
        binding * self.identities / self.bindings
    }

    /// How many bindings want each identity.
    pub(super) fn bindings_by_identity(&self) -> Vec<usize> {
        let mut counts = vec![0; self.identities];
        for binding in 0..self.bindings {
            counts[self.identity_of(binding)] += 1;
        }
        counts
    }

    /// How many credentials of these bindings fit on their identities: so many become Ready.
    pub(super) fn credentials(&self) -> usize {
        let fitting = |wanted: usize| wanted.min(CREDENTIALS_OF_AN_IDENTITY);
        self.bindings_by_identity().into_iter().map(fitting).sum()
    }
}

fn floor_name(bindings: usize) -> String {
    format!("floor-{bindings}")
}

/// Every case, in the order in which they run.
fn all() -> Vec<Case> {
    let mut cases = vec![Case::floor_of(200), Case::floor_of(2000)];
    for bindings in [1, 20, 200, 2000] {
        cases.extend([0, 100].map(|milliseconds| Case::creation(bindings, milliseconds)));
    }
    cases.extend([
        Case::creation(20_000, 0),
        Case::fleet(),
        Case::throttled("throttled", 200),
        Case {
            only_by_name: true,
            ..Case::throttled("throttled-2000", 2000)
        },
        Case::new("steady", Kind::Steady, 200, 10),
        Case::new("restart", Kind::Restart, 2000, 100),
        Case::new("full", Kind::Full, 25, 1),
        Case::new("large-60", Kind::Large(60), 1, 1),
        Case {
            only_by_name: true,
            ..Case::new("large-1000", Kind::Large(1000), 1, 1)
        },
        Case::neighbour("full-100", Crowd::OnFullIdentity(100)),
        Case::neighbour("full-600", Crowd::OnFullIdentity(600)),
        Case::neighbour("full-2000", Crowd::OnFullIdentity(2_000)),
        Case::neighbour("full-10000", Crowd::OnFullIdentity(10_000)),
        Case::neighbour("account-100", Crowd::OnOneAccount(100)),
        Case::neighbour("account-600", Crowd::OnOneAccount(600)),
        Case::neighbour("account-2000", Crowd::OnOneAccount(2_000)),
        Case::neighbour("missing-4500", Crowd::OnMissingIdentities(4_500)),
        Case::neighbour("slow-100", Crowd::OfSlowWrites(100)),
        Case::granted(Kind::Creation, 200),
        Case {
            only_by_name: true,
            ..Case::granted(Kind::Granted, 20_000)
        },
        Case::new("takeover-2000", Kind::Takeover, 2_000, 100),
        Case {
            only_by_name: true,
            ..Case::new("takeover-20000", Kind::Takeover, 20_000, 1_000)
        },
        Case::churn(8),
        Case::churn(60),
    ]);
    cases
}

/// The cases of these names, separated by commas, in the order given; without names all that run unasked.
///
/// # Errors
/// There is no case of such a name.
pub(super) fn select(names: Option<&str>) -> anyhow::Result<Vec<Case>> {
    let all = all();
    let Some(names) = names else {
        return Ok(all.into_iter().filter(|case| !case.only_by_name).collect());
    };
    let named = names.split(',').map(str::trim);
    named
        .map(|name| {
            let Some(case) = all.iter().find(|case| case.name == name) else {
                let known: Vec<_> = all.iter().map(|case| case.name.as_str()).collect();
                bail!(
                    "there is no case {name:?}; the cases are {}",
                    known.join(", ")
                );
            };
            Ok(case.clone())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(cases: &[Case]) -> Vec<&str> {
        cases.iter().map(|case| case.name.as_str()).collect()
    }

    #[test]
    fn without_names_all_cases_run_but_those_that_take_too_long() {
        let cases = select(None).unwrap();
        assert_eq!(
            names(&cases),
            [
                "floor-200",
                "floor-2000",
                "1@0",
                "1@100",
                "20@0",
                "20@100",
                "200@0",
                "200@100",
                "2000@0",
                "2000@100",
                "20000@0",
                "fleet",
                "throttled",
                "steady",
                "restart",
                "full",
                "large-60",
                "full-100",
                "full-600",
                "full-2000",
                "account-100",
                "account-600",
                "account-2000",
                "slow-100",
                "granted-200",
                "takeover-2000"
            ]
        );
    }

    #[test]
    fn named_cases_run_in_the_order_given() {
        let cases = select(Some("steady, 200@0,throttled-2000")).unwrap();
        assert_eq!(names(&cases), ["steady", "200@0", "throttled-2000"]);
        assert_eq!(cases[2].bindings, 2000);
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_that_exist() {
        let error = select(Some("200@1")).unwrap_err().to_string();
        assert!(
            error.contains("\"200@1\"") && error.contains("200@0, 200@100"),
            "{error}"
        );
    }

    #[test]
    fn bindings_fill_identities_with_as_many_as_they_take() {
        for case in all() {
            let wanted = case.bindings_by_identity();
            assert_eq!(wanted.iter().sum::<usize>(), case.bindings, "{}", case.name);
            let expected = if case.kind == Kind::Full { 25 } else { 20 };
            assert!(
                wanted.iter().all(|wanted| *wanted == expected) || case.bindings <= 2,
                "{}: {wanted:?}",
                case.name
            );
        }
    }

    #[test]
    fn on_a_full_identity_only_as_many_become_ready_as_fit() {
        let full = &select(Some("full")).unwrap()[0];
        assert_eq!((full.bindings, full.credentials()), (25, 20));
    }
}
