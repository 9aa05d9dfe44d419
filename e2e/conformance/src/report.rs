//! What is told at the end: the table, and the settings for the simulator.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::assumed::{NOT_PROBED, ROWS_NOT_PROBED};
use crate::cli::ProbeName;
use crate::facts::{Fact, Verdict};

/// What was found so far.
#[derive(Debug, Default)]
pub struct Report {
    facts: Vec<(ProbeName, Fact)>,
    errors: Vec<String>,
    not_run: Vec<(String, String)>,
}

/// A fact as the file has it.
#[derive(Serialize)]
struct Row<'a> {
    probe: &'static str,
    #[serde(flatten)]
    fact: &'a Fact,
}

impl Report {
    /// Adds what a probe has found.
    pub fn add(&mut self, probe: ProbeName, facts: Vec<Fact>) {
        self.facts
            .extend(facts.into_iter().map(|fact| (probe, fact)));
    }

    /// Whether anything was found.
    pub fn has_facts(&self) -> bool {
        !self.facts.is_empty()
    }

    /// Adds an error.
    pub fn fail(&mut self, error: String) {
        self.errors.push(error);
    }

    /// Says that a probe was left out.
    pub fn left_out(&mut self, what: &str, why: &str) {
        self.not_run.push((what.to_owned(), why.to_owned()));
    }

    /// The exit code: errors first, then differences.
    pub fn exit_code(&self) -> u8 {
        let differs = |(_, fact): &(ProbeName, Fact)| fact.verdict == Verdict::Differs;
        match (self.errors.is_empty(), self.facts.iter().any(differs)) {
            (false, _) => 1,
            (true, true) => 3,
            (true, false) => 0,
        }
    }

    /// The settings with which the simulator does what was seen. Of several numbers for one of them the greatest counts.
    pub fn tunables(&self) -> Value {
        let mut settings: Map<String, Value> = Map::new();
        for (name, value) in self.facts.iter().flat_map(|(_, fact)| &fact.tunables) {
            merge(&mut settings, name, value);
        }
        Value::Object(settings)
    }

    /// Everything, for a file.
    pub fn json(&self) -> Value {
        let rows = self.facts.iter().map(|(probe, fact)| Row {
            probe: probe.as_str(),
            fact,
        });
        let not_probed = self.not_probed();
        let not_probed = not_probed
            .iter()
            .map(|(what, why)| json!({"what": what, "why": why}));
        json!({
            "facts": rows.collect::<Vec<_>>(),
            "tunables": self.tunables(),
            "notProbed": not_probed.collect::<Vec<_>>(),
            "errors": self.errors,
        })
    }

    fn not_probed(&self) -> Vec<(String, &str)> {
        let own = self
            .not_run
            .iter()
            .map(|(what, why)| (what.clone(), &**why));
        let settings = NOT_PROBED
            .iter()
            .map(|(what, why)| (what.to_string(), *why));
        let rows = ROWS_NOT_PROBED.iter();
        let rows = rows.map(|(rows, why)| (format!("rows {}", rows.join(", ")), *why));
        own.chain(settings).chain(rows).collect()
    }

    /// Everything, for people.
    pub fn text(&self) -> String {
        let mut text = table(&self.facts);
        for (_, fact) in &self.facts {
            let is_cut = cell(&fact.seen) != fact.seen || cell(&fact.assumed) != fact.assumed;
            if fact.verdict == Verdict::Differs && is_cut {
                let Fact {
                    fact,
                    assumed,
                    seen,
                    ..
                } = fact;
                let _ = writeln!(text, "\n{fact}: assumed {assumed}, seen {seen}");
            }
            if let Some(detail) = &fact.detail {
                let _ = writeln!(text, "\n{}: {detail}", fact.fact);
            }
        }
        text.push_str("\nNot probed:\n");
        for (what, why) in self.not_probed() {
            let _ = writeln!(text, "- {what}: {why}");
        }
        if self.tunables() != json!({}) {
            let _ = writeln!(
                text,
                "\nWith these settings the simulator does what was seen (PUT /tunables, or --tunables):\n{:#}",
                self.tunables()
            );
        }
        let _ = writeln!(text, "\n{}", self.summary());
        text
    }

    fn summary(&self) -> String {
        let count = |verdict| {
            let facts = self.facts.iter();
            facts.filter(|(_, fact)| fact.verdict == verdict).count()
        };
        format!(
            "{} as assumed, {} different, {} not seen, {} errors",
            count(Verdict::Same),
            count(Verdict::Differs),
            count(Verdict::NotSeen),
            self.errors.len()
        )
    }
}

/// The longest value that the table shows whole; the file has all of it.
const WIDTH: usize = 44;

/// A value as the table shows it.
fn cell(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    let kept: String = text.chars().take(WIDTH - 1).collect();
    format!("{kept}…")
}

fn merge(settings: &mut Map<String, Value>, name: &str, value: &Value) {
    match (settings.get_mut(name), value) {
        (Some(Value::Object(known)), Value::Object(more)) => {
            for (name, value) in more {
                merge(known, name, value);
            }
        }
        (Some(known), value) if known.as_u64() >= value.as_u64() && known.is_u64() => {}
        _ => {
            settings.insert(name.to_owned(), value.clone());
        }
    }
}

fn table(facts: &[(ProbeName, Fact)]) -> String {
    let mut rows = vec![["fact", "assumed", "seen", ""].map(str::to_owned)];
    for (_, fact) in facts {
        let verdict = match fact.verdict {
            Verdict::Same => "same",
            Verdict::Differs => "DIFFERS",
            Verdict::NotSeen => "not seen",
        };
        let (assumed, seen) = (cell(&fact.assumed), cell(&fact.seen));
        rows.push([fact.fact.clone(), assumed, seen, verdict.to_owned()]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths = [0, 1, 2].map(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for [fact, assumed, seen, verdict] in &rows {
        let line = format!(
            "{fact:0$}  {assumed:1$}  {seen:2$}  {verdict}",
            widths[0], widths[1], widths[2]
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_counts_more_than_a_difference() {
        let mut report = Report::default();
        assert_eq!(report.exit_code(), 0);
        report.add(
            ProbeName::Limit,
            vec![Fact::value("limit", "credentialLimit", &20, &20)],
        );
        report.add(ProbeName::Limit, vec![Fact::not_seen("other", 1, "no")]);
        assert_eq!((report.exit_code(), report.tunables()), (0, json!({})));
        report.add(
            ProbeName::Limit,
            vec![Fact::value("limit", "credentialLimit", &20, &25)],
        );
        assert_eq!(report.exit_code(), 3);
        report.fail("no".to_owned());
        assert_eq!(report.exit_code(), 1);
    }

    #[test]
    fn settings_are_merged_and_the_greatest_number_counts() {
        let mut report = Report::default();
        let lag = |seen| Fact::value("lag", "readLagSeconds", &0, &seen);
        report.add(ProbeName::ReadLag, vec![lag(2), lag(3), lag(1)]);
        let throttling = |value| Fact::fixed("x", "a", "b").with_tunable("throttling", value);
        report.add(
            ProbeName::Throttling,
            vec![
                throttling(json!({})),
                throttling(json!({"sendsRetryAfter": false})),
                throttling(json!({"providerCode": "Busy"})),
            ],
        );
        assert_eq!(
            report.tunables(),
            json!({
                "readLagSeconds": 3,
                "throttling": {"sendsRetryAfter": false, "providerCode": "Busy"},
            })
        );
    }
}
