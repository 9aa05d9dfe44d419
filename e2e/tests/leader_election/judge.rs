//! Who may have written when, by what others have seen of it: the API server's audit log and Azure's request log. Pure.
//!
//! A claim is nothing that can be seen from outside. What can be seen is that a process has written the Lease with its name in
//! it. From then on it may write, for the renew deadline at the most, and no longer once another has done the same. What people
//! write into the Lease counts for nothing here: its holder may go on until its next renewal.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

/// From the last question for the claim to where the write is seen, on a busy machine. A lease is a second longer than the
/// renew deadline, so this never reaches into the next claim.
const ON_THE_WAY: Duration = Duration::from_millis(500);

/// A process wrote the Lease, and the API server took it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LeaseWrite {
    pub(crate) by: &'static str,
    /// What it left there: its own name, or nobody's.
    pub(crate) holds: bool,
    /// The order of the versions.
    pub(crate) version: u64,
    /// When the API server received and when it had answered it: it came into force in between.
    pub(crate) received: Timestamp,
    pub(crate) answered: Timestamp,
}

/// A process wrote something else: to Azure, or to the cluster.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Write {
    pub(crate) by: &'static str,
    pub(crate) what: String,
    /// The identity that it was for; none for a write to the cluster.
    pub(crate) identity: Option<String>,
    pub(crate) arrived: Timestamp,
    /// None: it has never ended.
    pub(crate) ended: Option<Timestamp>,
}

impl fmt::Display for Write {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} by {} at {}", self.what, self.by, self.arrived)
    }
}

/// Everything that was seen of one test.
#[derive(Debug, Clone, Default)]
pub(crate) struct Case {
    pub(crate) lease: Vec<LeaseWrite>,
    pub(crate) writes: Vec<Write>,
}

impl Case {
    /// What must not have happened, each in a sentence.
    pub(crate) fn judge(&self, renew_deadline: Duration) -> Vec<String> {
        let mut found = self.without_claim(renew_deadline);
        found.extend(self.overlaps());
        found
    }

    /// How much there was to judge.
    pub(crate) fn summary(&self) -> String {
        let (terms, to_azure) = (self.terms().len(), self.to_azure());
        let to_cluster = self.to_cluster();
        format!("{terms} terms, {to_azure} writes to Azure, {to_cluster} to the cluster")
    }

    pub(crate) fn to_azure(&self) -> usize {
        let to_azure = self.writes.iter().filter(|it| it.identity.is_some());
        to_azure.count()
    }

    pub(crate) fn to_cluster(&self) -> usize {
        self.writes.len() - self.to_azure()
    }

    fn in_order(&self) -> Vec<&LeaseWrite> {
        let mut lease: Vec<_> = self.lease.iter().collect();
        lease.sort_by_key(|it| it.version);
        lease
    }

    /// Who held the Lease, in order, each once in a row.
    pub(crate) fn terms(&self) -> Vec<&'static str> {
        let held = self.in_order().into_iter().filter(|it| it.holds);
        let mut holders: Vec<_> = held.map(|it| it.by).collect();
        holders.dedup();
        holders
    }

    fn without_claim(&self, renew_deadline: Duration) -> Vec<String> {
        let lease = self.in_order();
        let may = |write: &Write| {
            lease.iter().enumerate().any(|(index, own)| {
                let next = lease[index + 1..]
                    .iter()
                    .find(|it| it.holds || it.by == own.by);
                let over = next.map(|next| {
                    // What it has sent is answered before it gives the Lease back.
                    if next.by == own.by && !next.holds {
                        next.received
                    } else {
                        next.answered
                    }
                });
                own.by == write.by
                    && own.holds
                    && own.received <= write.arrived
                    && write.arrived <= own.received + renew_deadline + ON_THE_WAY
                    && over.is_none_or(|over| write.arrived <= over)
            })
        };
        let without = self.writes.iter().filter(|write| !may(write));
        without
            .map(|write| format!("{write}: it held no Lease; {}", self.around(write.arrived)))
            .collect()
    }

    /// The Lease as it was then, for people.
    fn around(&self, at: Timestamp) -> String {
        let lease = self.in_order();
        let after = lease.partition_point(|it| it.received <= at);
        let near = &lease[after.saturating_sub(2)..lease.len().min(after + 2)];
        let near = near.iter().map(|it| {
            let what = if it.holds { "held" } else { "let go" };
            format!("{what} by {} at {}", it.by, it.received)
        });
        near.collect::<Vec<_>>().join(", ")
    }

    /// Writes of two processes to one identity at the same time.
    fn overlaps(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (index, first) in self.writes.iter().enumerate() {
            for second in &self.writes[index + 1..] {
                let is_same = first.identity.is_some() && first.identity == second.identity;
                let before = |one: &Write, other: &Write| {
                    one.ended.is_some_and(|ended| ended <= other.arrived)
                };
                let apart = before(first, second) || before(second, first);
                if is_same && first.by != second.by && !apart {
                    found.push(format!("{first} and {second}: both were under way"));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(2);

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    /// `one` renews at 2000 for the last time, and `two` follows. It lets go at 7000, and `one` follows.
    fn lease() -> Vec<LeaseWrite> {
        [
            ("one", true, 1000),
            ("one", true, 2000),
            ("two", true, 5000),
            ("two", true, 6000),
            ("two", false, 7000),
            ("one", true, 7100),
        ]
        .into_iter()
        .zip(1..)
        .map(|((by, holds, received), version)| LeaseWrite {
            by,
            holds,
            version,
            received: at(received),
            answered: at(received + 10),
        })
        .collect()
    }

    fn write(by: &'static str, arrived: i64, ended: Option<i64>) -> Write {
        Write {
            by,
            what: "a write".to_owned(),
            identity: Some("orders".to_owned()),
            arrived: at(arrived),
            ended: ended.map(at),
        }
    }

    #[test]
    fn who_writes_while_the_lease_is_another_s_is_found() {
        for (by, arrived, is_found) in [
            ("one", 999, true),
            ("one", 1000, false),
            // Longer than the first renewal, but it was renewed.
            ("one", 3600, false),
            ("one", 4600, true),
            ("one", 5005, true),
            ("two", 4999, true),
            ("two", 5000, false),
            ("two", 7005, true),
            ("one", 7050, true),
            ("one", 7100, false),
            ("three", 2500, true),
        ] {
            let case = Case {
                lease: lease(),
                writes: vec![write(by, arrived, Some(arrived + 1))],
            };
            let found = case.judge(DEADLINE);
            assert_eq!(!found.is_empty(), is_found, "{by} at {arrived}: {found:?}");
        }
        assert_eq!(
            Case {
                lease: lease(),
                writes: Vec::new()
            }
            .terms(),
            ["one", "two", "one"]
        );
    }

    #[test]
    fn two_writes_to_one_identity_at_once_are_found() {
        let judged = |writes: [Write; 2]| {
            let case = Case {
                lease: lease(),
                writes: writes.to_vec(),
            };
            case.judge(DEADLINE)
        };
        for ended in [None, Some(5300)] {
            let found = judged([write("one", 2500, ended), write("two", 5200, Some(5400))]);
            assert_eq!(found.len(), 1, "{found:?}");
        }
        let in_turn = [
            write("one", 2500, Some(5200)),
            write("two", 5200, Some(5400)),
        ];
        assert_eq!(judged(in_turn), [""; 0]);
        let mut elsewhere = write("two", 5200, Some(5400));
        elsewhere.identity = Some("stock".to_owned());
        assert_eq!(judged([write("one", 2500, None), elsewhere]), [""; 0]);
        let by_one = [write("one", 1500, None), write("one", 2500, None)];
        assert_eq!(judged(by_one), [""; 0], "its own line is tested elsewhere");
    }
}
