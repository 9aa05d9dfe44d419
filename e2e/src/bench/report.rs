//! The figures: as a table while the benchmark runs, and as JSON.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::cases::Case;
use super::counts::{Counts, Requests};
use super::process::{Cpu, Machine};

/// All that `JSON=FILE` holds.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) cases: Vec<Figures>,
}

/// What a case has shown. `_s` are seconds.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Figures {
    pub(super) name: String,
    pub(super) bindings: usize,
    pub(super) identities: usize,
    pub(super) latency_ms: u64,
    pub(super) throttled: bool,
    /// From the first object sent to the last one taken by the API server.
    pub(super) apply_s: f64,
    /// From the first object sent to the first one Ready.
    pub(super) first_ready_s: f64,
    /// From the first object sent to the last one Ready.
    pub(super) all_ready_s: f64,
    pub(super) lower_bound_s: f64,
    /// `all_ready_s` over `lower_bound_s`.
    pub(super) ratio: f64,
    /// These and all below are of the creation; of the time after it in `steady`, of the new process in `restart`.
    pub(super) requests: Requests,
    pub(super) answers_409: usize,
    pub(super) answers_429: usize,
    pub(super) kubernetes_writes: usize,
    pub(super) cpu_s: f64,
    /// Of the process, since its start.
    pub(super) peak_rss_mib: f64,
    /// Resident memory of the process once nothing more was written after the creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idle_rss_mib: Option<f64>,
    /// How long `steady` and `restart` watched; in `full`, how long a waiting binding took to be Ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<f64>,
    #[serde(flatten)]
    pub(super) rates: Option<Rates>,
    #[serde(flatten)]
    pub(super) beside: Option<Beside>,
    #[serde(flatten)]
    pub(super) granted: Option<Granted>,
    #[serde(flatten)]
    pub(super) growth: Option<Growth>,
    #[serde(flatten)]
    pub(super) takeovers: Option<Takeovers>,
    #[serde(flatten)]
    pub(super) fleet: Option<Fleet>,
    /// `all_ready_s` over that of a client that only makes the same writes, where that case ran before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ratio_to_floor: Option<f64>,
}

/// Of several clusters on the same identities.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Fleet {
    /// When all bindings of the fastest cluster were Ready; `all_ready_s` is the slowest one.
    pub(super) fastest_s: f64,
    /// The slowest over the fastest.
    pub(super) spread: f64,
    /// Every reason for which a binding was not Ready meanwhile.
    pub(super) reasons: BTreeSet<String>,
}

/// What looking costs while nothing changes, at the default resync period.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Rates {
    pub(super) lists_per_identity_hour: f64,
    pub(super) gets_per_identity_hour: f64,
    /// Until every identity was looked at: in `restart` from the start of the process, in `steady` of the watching.
    pub(super) synced_s: f64,
}

/// Beside a crowd that has come to rest.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Beside {
    /// Until the operator had said of all of the crowd what is the case.
    pub(super) settled_s: f64,
    /// Processor time of the operator while nothing changed, in hundredths of one core.
    pub(super) cpu_percent: f64,
    /// From the creation of a second newcomer to its being Ready.
    pub(super) later_ready_s: f64,
}

/// Under grants.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Granted {
    /// How long the operator took to find whom a grant over all bindings concerns, in milliseconds.
    pub(super) evaluated_ms: u64,
    /// From the creation of that grant until the operator had looked at all bindings.
    pub(super) looked_s: f64,
    /// The operator's writes to Kubernetes meanwhile.
    pub(super) looked_writes: usize,
    /// Requests for a look that the tenant made, by second.
    pub(super) toggles_per_s: f64,
    /// How long a newcomer of another tenant took meanwhile.
    pub(super) newcomer_s: f64,
    /// Peak memory until all were Ready; that of the whole case is `peak_rss_mib`.
    pub(super) created_rss_mib: f64,
}

/// Of the operator, while everything comes and goes.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Growth {
    /// What it holds more in the last quarter of the time than in the second.
    pub(super) growth_mib: f64,
    /// Resident memory, once a minute.
    pub(super) rss_mib: Vec<f64>,
}

/// Of a process that waits, and of how it takes over.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Takeovers {
    /// Resident memory of the leader and of the one that waits, once all were Ready and nothing changed.
    pub(super) leader_rss_mib: f64,
    pub(super) standby_rss_mib: f64,
    pub(super) after_stop: Takeover,
    pub(super) after_crash: Takeover,
}

/// A takeover, from the end of the old process.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Takeover {
    /// Until the other one led.
    pub(super) led_s: f64,
    /// From then until it had looked at every binding once.
    pub(super) looked_s: f64,
    /// From then until a binding was Ready that was created when the old process had ended.
    pub(super) newcomer_s: f64,
    /// What it wrote until two seconds after that, without what was for the new binding.
    pub(super) kubernetes_writes: usize,
    pub(super) azure_writes: usize,
}

impl std::fmt::Display for Takeover {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            to,
            "led after {:.3} s, had looked at all {:.3} s later, a newcomer was Ready {:.3} s after it led, {} writes to \
             Kubernetes, {} to Azure",
            self.led_s, self.looked_s, self.newcomer_s, self.kubernetes_writes, self.azure_writes
        )
    }
}

impl Report {
    /// How much longer a case took than the floor under it, where that was measured before.
    pub(super) fn ratio_to_floor(&self, case: &Case, all_ready_s: f64) -> Option<f64> {
        let name = case.floor()?;
        let floor = self.cases.iter().find(|it| it.name == name)?;
        let ratio = all_ready_s / floor.all_ready_s;
        Some((ratio * 1000.0).round() / 1000.0)
    }
}

impl Figures {
    pub(super) fn set_counts(&mut self, counts: Counts) {
        let Counts {
            requests,
            answers_409,
            answers_429,
            kubernetes_writes,
        } = counts;
        self.requests = requests;
        self.answers_409 = answers_409;
        self.answers_429 = answers_429;
        self.kubernetes_writes = kubernetes_writes;
    }

    /// A line of the table, with a further one where the case has more to say.
    pub(super) fn row(&self) -> String {
        let Requests {
            get,
            list,
            put,
            delete,
        } = self.requests;
        let row = format!(
            "{:<15}{:>9}{:>11}{:>9.3}{:>9.3}{:>9.3}{:>9.3}{:>7.2}{:>7}{:>6}{:>7}{:>5}{:>5}{:>5}{:>9}{:>8.2}{:>10.1}",
            self.name,
            self.bindings,
            self.identities,
            self.apply_s,
            self.first_ready_s,
            self.all_ready_s,
            self.lower_bound_s,
            self.ratio,
            get,
            list,
            put,
            delete,
            self.answers_409,
            self.answers_429,
            self.kubernetes_writes,
            self.cpu_s,
            self.peak_rss_mib,
        );
        if let Some(beside) = self.beside {
            return format!(
                "{row}\n  the crowd was at rest after {:.1} s; then the operator used {:.2} % of a core, and another newcomer was \
                 Ready within {:.3} s",
                beside.settled_s, beside.cpu_percent, beside.later_ready_s
            );
        }
        if let Some(granted) = self.granted {
            return format!(
                "{row}\n  {:.1} MiB until all were Ready; a grant over all was evaluated in {} ms, and all bindings were looked at \
                 within {:.3} s, with {} writes; beside {:.0} requests for a look in a second, a newcomer was Ready within {:.3} s",
                granted.created_rss_mib,
                granted.evaluated_ms,
                granted.looked_s,
                granted.looked_writes,
                granted.toggles_per_s,
                granted.newcomer_s,
            );
        }
        if let Some(fleet) = &self.fleet {
            let reasons: Vec<_> = fleet.reasons.iter().map(String::as_str).collect();
            return format!(
                "{row}\n  the fastest cluster took {:.3} s, and the slowest {:.2} times as long; not Ready for {}",
                fleet.fastest_s,
                fleet.spread,
                reasons.join(", "),
            );
        }
        let row = match self.idle_rss_mib {
            Some(idle) => format!("{row}\n  {idle:.1} MiB when nothing more was written"),
            None => row,
        };
        if let Some(ratio) = self.ratio_to_floor {
            return format!(
                "{row}\n  {ratio:.2} times as long as a client that only makes the same writes"
            );
        }
        if let Some(growth) = &self.growth {
            let Growth {
                growth_mib,
                rss_mib,
            } = growth;
            return format!(
                "{row}\n  grown by {growth_mib} MiB; resident once a minute: {rss_mib:?}"
            );
        }
        if let Some(takeovers) = self.takeovers {
            return format!(
                "{row}\n  resident: {:.1} MiB the leader, {:.1} MiB the one that waits\n  after a clean stop: {}\n  after a crash: {}",
                takeovers.leader_rss_mib,
                takeovers.standby_rss_mib,
                takeovers.after_stop,
                takeovers.after_crash,
            );
        }
        match (self.rates, self.seconds) {
            (Some(rates), Some(seconds)) => format!(
                "{row}\n  in {seconds:.1} s after that; every identity was looked at within {:.3} s; per identity and hour at \
                 the default resync period {} LIST and {} GET",
                rates.synced_s, rates.lists_per_identity_hour, rates.gets_per_identity_hour
            ),
            (None, Some(seconds)) => {
                format!(
                    "{row}\n  a waiting binding was Ready {seconds:.3} s after a slot was freed"
                )
            }
            _ => row,
        }
    }
}

/// The head of the table.
pub(super) fn head() -> String {
    format!(
        "{:<15}{:>9}{:>11}{:>9}{:>9}{:>9}{:>9}{:>7}{:>7}{:>6}{:>7}{:>5}{:>5}{:>5}{:>9}{:>8}{:>10}",
        "case",
        "bindings",
        "identities",
        "apply s",
        "first s",
        "all s",
        "bound s",
        "ratio",
        "GET",
        "LIST",
        "PUT",
        "DEL",
        "409",
        "429",
        "k8s wr.",
        "CPU s",
        "peak MiB"
    )
}

/// Who used the processors while the bindings were created, the busiest first.
pub(super) fn cpu_line(cpu: &Cpu, machine: &Machine, figures: &Figures) -> String {
    let mut programs: Vec<_> = cpu.iter().filter(|(_, time)| !time.is_zero()).collect();
    programs.sort_by(|one, other| other.1.cmp(one.1));
    let told: Vec<_> = programs
        .into_iter()
        .map(|(name, time)| format!("{name} {:.2}", time.as_secs_f64()))
        .collect();
    let available = machine.cores as f64 * figures.all_ready_s.max(figures.apply_s);
    format!("  CPU seconds of {available:.2}: {}", told.join(", "))
}

/// To the millisecond.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::bench::cases;

    fn figures() -> Figures {
        Figures {
            name: "200@0".to_owned(),
            bindings: 200,
            identities: 10,
            apply_s: seconds(Duration::from_micros(500_400)),
            all_ready_s: 2.0,
            requests: Requests {
                get: 10,
                list: 11,
                put: 200,
                delete: 0,
            },
            ..Figures::default()
        }
    }

    #[test]
    fn a_creation_is_compared_with_the_floor_of_as_many_bindings() {
        let case = |name: &str| cases::select(Some(name)).unwrap().remove(0);
        let report = Report {
            machine: Machine::this().unwrap(),
            cases: vec![Figures {
                name: "floor-200".to_owned(),
                all_ready_s: 1.6,
                ..figures()
            }],
        };
        assert_eq!(report.ratio_to_floor(&case("200@0"), 2.0), Some(1.25));
        for other in ["2000@0", "200@100", "throttled", "floor-200"] {
            assert_eq!(report.ratio_to_floor(&case(other), 2.0), None, "{other}");
        }
    }

    #[test]
    fn a_case_is_written_with_these_fields() {
        let expected = json!({
            "name": "200@0", "bindings": 200, "identities": 10, "latency_ms": 0, "throttled": false,
            "apply_s": 0.5, "first_ready_s": 0.0, "all_ready_s": 2.0, "lower_bound_s": 0.0, "ratio": 0.0,
            "requests": { "GET": 10, "LIST": 11, "PUT": 200, "DELETE": 0 },
            "answers_409": 0, "answers_429": 0, "kubernetes_writes": 0, "cpu_s": 0.0, "peak_rss_mib": 0.0,
        });
        assert_eq!(serde_json::to_value(figures()).unwrap(), expected);
    }

    #[test]
    fn a_case_that_watches_says_besides_for_how_long_and_what_it_saw() {
        let figures = Figures {
            seconds: Some(60.0),
            rates: Some(Rates {
                lists_per_identity_hour: 4.0,
                gets_per_identity_hour: 4.0,
                synced_s: 0.3,
            }),
            ..figures()
        };
        let written = serde_json::to_value(&figures).unwrap();
        let more = [
            "seconds",
            "lists_per_identity_hour",
            "gets_per_identity_hour",
            "synced_s",
        ];
        assert_eq!(
            more.map(|name| written[name].clone()),
            [60.0, 4.0, 4.0, 0.3].map(Value::from)
        );
    }

    #[test]
    fn the_report_names_the_machine_and_its_cases() {
        let report = Report {
            machine: Machine {
                cores: 2,
                memory_mib: 8192,
                cpu: "a CPU".to_owned(),
                os: "an OS".to_owned(),
            },
            cases: vec![figures()],
        };
        let written = serde_json::to_value(&report).unwrap();
        let machine = json!({ "cores": 2, "memory_mib": 8192, "cpu": "a CPU", "os": "an OS" });
        assert_eq!(written["machine"], machine);
        assert_eq!(written["cases"][0]["name"], "200@0");
    }

    #[test]
    fn what_stands_in_a_row_stands_below_its_head() {
        let (head, row) = (head(), figures().row());
        let column = |text: &str, word: &str| text.find(word).unwrap() + word.len();
        assert_eq!(
            column(&head, "PUT"),
            column(&row, " 11    200"),
            "\n{head}\n{row}"
        );
        assert_eq!(column(&head, "all s"), column(&row, "2.000"));
        assert_eq!(head.len(), row.len());
    }
}
