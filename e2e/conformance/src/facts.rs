//! What a probe finds.

use serde::Serialize;
use serde_json::{Value, json};

use crate::arm::ErrorAnswer;

/// How what was seen compares with what is assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As assumed.
    Same,
    /// Something else.
    Differs,
    /// The situation did not come about.
    NotSeen,
}

/// One fact about Resource Manager.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// What it is about.
    pub fact: String,
    /// What the simulator does.
    pub assumed: String,
    /// What Resource Manager did.
    pub seen: String,
    /// How they compare.
    pub verdict: Verdict,
    /// What the table has no room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Names and values of the simulator's settings with which it does the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tunables: Vec<(&'static str, Value)>,
}

impl Fact {
    /// A value that was seen, with the setting of its name.
    pub fn value<T: PartialEq + std::fmt::Display + Serialize>(
        fact: &str,
        tunable: &'static str,
        assumed: &T,
        seen: &T,
    ) -> Self {
        let is_same = assumed == seen;
        Self {
            fact: fact.to_owned(),
            assumed: assumed.to_string(),
            seen: seen.to_string(),
            verdict: if is_same {
                Verdict::Same
            } else {
                Verdict::Differs
            },
            detail: None,
            tunables: if is_same {
                Vec::new()
            } else {
                vec![(tunable, json!(seen))]
            },
        }
    }

    /// An error answer that was seen, with the setting of its name.
    pub fn answer(
        fact: &str,
        tunable: &'static str,
        assumed: &ErrorAnswer,
        seen: &ErrorAnswer,
    ) -> Self {
        let mut this = Self::value(fact, tunable, assumed, seen);
        if this.verdict == Verdict::Differs {
            this.detail = Some(format!(
                "assumed \"{}\", seen \"{}\"",
                assumed.message, seen.message
            ));
            if assumed.to_string() == seen.to_string() {
                this.seen = format!("{seen}, other text");
            }
        }
        this
    }

    /// Something that the simulator has no setting for.
    pub fn fixed(fact: &str, assumed: &str, seen: &str) -> Self {
        let mut this = Self::value(fact, "", &assumed.to_owned(), &seen.to_owned());
        if !this.tunables.is_empty() {
            this.tunables.clear();
            this.detail = Some("the simulator has no setting for this: change its code".to_owned());
        }
        this
    }

    /// The situation did not come about.
    pub fn not_seen(fact: &str, assumed: impl ToString, why: &str) -> Self {
        Self {
            fact: fact.to_owned(),
            assumed: assumed.to_string(),
            seen: why.to_owned(),
            verdict: Verdict::NotSeen,
            detail: None,
            tunables: Vec::new(),
        }
    }

    /// With what was seen in other words.
    #[must_use]
    pub fn seen_as(mut self, seen: impl Into<String>) -> Self {
        self.seen = seen.into();
        self
    }

    /// With one more setting, if it differs.
    #[must_use]
    pub fn with_tunable(mut self, name: &'static str, value: Value) -> Self {
        if self.verdict == Verdict::Differs {
            self.tunables.push((name, value));
        }
        self
    }
}
