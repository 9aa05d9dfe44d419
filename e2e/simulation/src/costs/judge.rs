//! What was spent, against what has happened.

use std::collections::{BTreeMap, BTreeSet};

use super::lives::{Departure, Life, Period, Stage, departures, lives};
use super::log::{Concerns, Costs, Entry, What};
use crate::kubernetes::Kind;
use crate::names::{our_name, short};
use crate::shared::Shared;

/// A binding costs no more than it must.
pub const COSTS: &str = "requests-within-their-number";

/// Statuses for a binding that comes or changes.
const STATUSES: u64 = 3;
/// Statuses, and requests, that one fault adds.
const OF_FAULT: u64 = 2;

/// One of the two times of a run, and all that is known of it.
struct Judged<'a> {
    shared: &'a Shared,
    period: Period,
    log: Vec<&'a Entry>,
    lives: &'a [Life],
    departures: &'a [Departure],
    /// Who has ever waited for a slot or for another binding.
    waited: &'a BTreeSet<String>,
}

impl Costs {
    /// Judges a whole run.
    pub fn judge(&self, shared: &Shared) {
        let log = self.log();
        let (lives, departures) = (lives(shared, &log.put), departures(shared));
        let began = log.quiet_since.unwrap_or(u64::MAX);
        for quiet in [false, true] {
            let judged = Judged {
                shared,
                period: Period { quiet, began },
                log: log.entries.iter().filter(|it| it.quiet == quiet).collect(),
                lives: &lives,
                departures: &departures,
                waited: &log.waited,
            };
            for life in &lives {
                judged.statuses(life);
            }
            judged.requests();
        }
        if shared.calm {
            calm(shared, &lives, &log.entries, &log.waited);
        }
    }
}

impl Judged<'_> {
    fn statuses(&self, life: &Life) {
        let Life {
            namespace, name, ..
        } = life;
        let spent = self.count(|it| matches!(&it.what, What::Status(uid) if *uid == life.uid));
        let since = |it: &Entry| it.version >= life.began;
        let changes = self.count(|it| since(it) && changes(&it.what, &life.identity));
        let faults = self.count(|it| since(it) && concerns_statuses(&it.what, life));
        let own = |step| life.steps_in(&self.period).filter(|it| *it == step).count() as u64;
        // What was begun before is carried on in the quiet time, and the last thing that happened takes effect in it.
        let quiet = u64::from(self.period.quiet);
        let changes_of_its_own = own(Stage::Comes) + own(Stage::Changes) + changes + quiet;
        let of_others = self.steps_of_others(life) + self.departures_around(life);
        let waited = u64::from(self.waited.contains(&format!("{namespace}/{name}")));
        let happened = faults + of_others + waited + quiet + self.changes_of_grants(life);
        let most = STATUSES * changes_of_its_own + own(Stage::Leaves) + OF_FAULT * happened;
        if spent > most {
            self.shared.violated(
                COSTS,
                format!(
                    "{spent} statuses for {namespace}/{name}{}, with {changes_of_its_own} changes of its own, {faults} faults and {of_others} \
                     changes of others: at most {most}",
                    self.when()
                ),
            );
        }
    }

    /// How often somebody has changed a grant or labelled a namespace: each may be told twice, at once and later.
    fn changes_of_grants(&self, life: &Life) -> u64 {
        if !self.shared.requires_grants {
            return 0;
        }
        let changes = self
            .shared
            .cluster
            .changed_at(&[Kind::Grant, Kind::Namespace]);
        let of_life = |version: &u64| *version >= life.began && self.period.has(*version);
        // What was there before is carried on.
        2 + 2 * changes.iter().filter(|(it, _)| of_life(it)).count() as u64
    }

    fn count(&self, is_one: impl Fn(&Entry) -> bool) -> u64 {
        self.log.iter().filter(|it| is_one(it)).count() as u64
    }

    fn steps_of_others(&self, life: &Life) -> u64 {
        self.lives
            .iter()
            .filter(|it| it.uid != life.uid)
            .filter(|it| it.of_same_account(life) || it.identity == life.identity)
            .flat_map(|it| it.steps.iter().map(move |(version, _)| (it, *version)))
            .filter(|(_, version)| self.period.has(*version))
            .filter(|(it, version)| *version >= life.began || self.is_open(it, *version, life))
            .count() as u64
    }

    /// Whether nothing was said yet of what happened to a binding at this version when the life of another began: it takes
    /// effect in that.
    fn is_open(&self, binding: &Life, version: u64, other: &Life) -> bool {
        let is_said = |it: &Entry| {
            matches!(&it.what, What::Status(uid) if *uid == binding.uid)
                && (version..other.began).contains(&it.version)
        };
        !self.log.iter().any(|it| is_said(it))
    }

    fn departures_around(&self, life: &Life) -> u64 {
        self.departures
            .iter()
            .filter(|it| it.version >= life.began && self.period.has(it.version))
            .filter(|it| it.namespace == life.namespace)
            .filter(|it| it.account.as_ref().is_none_or(|it| *it == life.account))
            .count() as u64
    }

    fn requests(&self) {
        let mut spent: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for entry in &self.log {
            if let What::Request(identity, name, _) = &entry.what {
                *spent.entry((identity, name)).or_default() += 1;
            }
        }
        for ((identity, name), spent) in spent {
            let (most, faults) = self.most_requests(identity, name);
            if spent > most {
                self.shared.violated(
                    COSTS,
                    format!(
                        "{spent} requests about {name} on {}{}, with {faults} faults: at most {most}",
                        short(identity),
                        self.when()
                    ),
                );
            }
        }
    }

    /// How many requests about a credential there may be, and how many faults they had.
    fn most_requests(&self, identity: &str, name: &str) -> (u64, u64) {
        let Some((namespace, account)) = self.shared.accounts.get(name) else {
            // That nobody else's is touched is judged elsewhere.
            return (u64::MAX, 0);
        };
        let owners = || {
            self.lives.iter().filter(|it| {
                it.namespace == *namespace && it.account == *account && it.identity == identity
            })
        };
        let own: u64 = owners()
            .flat_map(|life| life.steps_in(&self.period))
            .map(|step| match step {
                Stage::Comes | Stage::Changes => 1,
                Stage::Leaves => 2,
                Stage::IsGone => 0,
            })
            .sum();
        // A look and a deletion for each that was leaving when the quiet time began.
        let leaving = owners().filter(|life| life.is_leaving_at(self.period.began));
        let leaving = 2 * leaving.count() as u64;
        let carried_on = if self.period.quiet {
            leaving.max(3) + OF_FAULT
        } else {
            0
        };
        let changes = self.count(|it| changes(&it.what, identity));
        let faults = self.count(|it| match &it.what {
            What::Fault(concerns) => match concerns {
                Concerns::Everybody => true,
                Concerns::Credential(other, of) => other == identity && of == name,
                Concerns::Binding(of, binding) => {
                    owners().any(|it| it.namespace == *of && it.name == *binding)
                }
                Concerns::Account(of, other) => of == namespace && other == account,
            },
            _ => false,
        });
        // Each may have it taken away, and made again.
        let of_grants = owners().map(|life| self.changes_of_grants(life)).max();
        let of_grants = 2 * of_grants.unwrap_or_default();
        (
            own + changes + carried_on + of_grants + OF_FAULT * faults,
            faults,
        )
    }

    fn when(&self) -> &'static str {
        if self.period.quiet {
            " in the quiet time"
        } else {
            ""
        }
    }
}

/// Whether somebody else has changed something about this identity.
fn changes(what: &What, identity: &str) -> bool {
    matches!(what, What::Change(of) if of.as_deref().is_none_or(|of| of == identity))
}

/// Whether this is a fault that can show in the statuses of a binding.
fn concerns_statuses(what: &What, life: &Life) -> bool {
    match what {
        What::SharedRead(identity) => *identity == life.identity,
        What::Fault(concerns) => match concerns {
            Concerns::Everybody => true,
            Concerns::Credential(identity, _) => *identity == life.identity,
            Concerns::Binding(namespace, name) => {
                *namespace == life.namespace && *name == life.name
            }
            Concerns::Account(namespace, account) => {
                *namespace == life.namespace && *account == life.account
            }
        },
        _ => false,
    }
}

/// Where nothing goes wrong the numbers are exact, for bindings that are alone with their name and account.
fn calm(shared: &Shared, lives: &[Life], log: &[Entry], waited: &BTreeSet<String>) {
    for life in lives {
        let alike = lives.iter().filter(|it| {
            it.namespace == life.namespace && (it.name == life.name || it.account == life.account)
        });
        if alike.count() > 1 {
            continue;
        }
        let Life {
            uid,
            namespace,
            name,
            account,
            ..
        } = life;
        let whose = format!("{namespace}/{name}");
        // Waiting for somebody else is said, as often as that changes: the others are counted above.
        let statuses = if waited.contains(&whose) {
            usize::MAX
        } else {
            4
        };
        let credential = our_name(namespace, account).unwrap_or_default();
        let kind = |what: &What| match what {
            What::Finalizer(of, it) if of == namespace && it == name => Some("finalizer"),
            What::Status(it) if it == uid => Some("status"),
            What::Account(of, it) if of == namespace && it == account => Some("account"),
            What::Request(_, name, operation) if *name == credential => Some(*operation),
            _ => None,
        };
        let limits = [
            ("finalizer", 2),
            ("status", statuses),
            ("account", 2),
            ("PUT", 1),
            ("GET", 1),
            ("DELETE", 1),
        ];
        for (of, most) in limits {
            let count = log.iter().filter(|it| kind(&it.what) == Some(of)).count();
            if count > most {
                shared.violated(COSTS, format!("{count} times {of} for {whose}"));
            }
        }
    }
}
