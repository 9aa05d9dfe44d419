//! What kind of failure an answer is, by the [table](super::table).

use super::answer::Answer;
use super::table::azure_errors;
use crate::kubeutil::backoff::Pace;

macro_rules! kinds {
    ($(
        $(#[doc = $doc:literal])+
        $kind:ident: [$($answers:expr),+], $pace:ident, $reason:ident,
        $quote:ident $(($ours:literal))?, $advice:literal;
    )+) => {
        /// What kind of failure it was; the caller chooses condition, reason and next try by it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum AzureErrorKind { $($(#[doc = $doc])+ $kind,)+ }

        impl AzureErrorKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// How it is tried again where Azure does not say when.
            pub fn pace(self) -> Pace {
                match self { $(Self::$kind => Pace::$pace,)+ }
            }

            /// Whether it says that what was asked for is not there. Every other failure of a read says no more than that
            /// nothing was seen.
            pub fn means_absence(self) -> bool {
                match self { $(Self::$kind => is_absent!($reason),)+ }
            }
        }

        const ROWS: &[Row] = &[$($(Row { answers: $answers, kind: AzureErrorKind::$kind },)+)+];
    };
}

macro_rules! is_absent {
    (absent) => {
        true
    };
    ($reason:ident) => {
        false
    };
}

azure_errors!(kinds);

impl AzureErrorKind {
    /// Whether something has to change before another try can end better; the rest passes by itself.
    pub fn waits_for_change(self) -> bool {
        self.pace() != Pace::Backoff
    }
}

/// Answers, and what kind of failure they are.
struct Row {
    answers: Answers,
    kind: AzureErrorKind,
}

/// Some answers: those of which all holds that is given here.
struct Answers {
    of: Endpoint,
    certainty: Certainty,
    /// First and last HTTP status.
    status: (u16, u16),
    /// Azure's code, compared without case.
    code: Option<&'static str>,
    /// What the message says somewhere, in lower case.
    says: Option<&'static str>,
    /// Whether the body was JSON.
    is_json: Option<bool>,
}

/// Who has answered.
#[derive(PartialEq, Eq)]
pub(super) enum Endpoint {
    ResourceManager,
    SignIn,
}

/// What decides where an answer fits several rows; the first of these rows, where it is the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Certainty {
    /// The status says it, whatever else does.
    Status,
    /// Azure's code or words say it.
    Words,
    /// Something between Azure and us answered: its status means nothing.
    NotAzure,
    /// The status says it of what no other row names.
    Rest,
}

const ANY: Answers = Answers {
    of: Endpoint::ResourceManager,
    certainty: Certainty::Words,
    status: (0, u16::MAX),
    code: None,
    says: None,
    is_json: None,
};

/// With this status, whatever else they say.
const fn status(first: u16, last: u16) -> Answers {
    Answers {
        certainty: Certainty::Status,
        status: (first, last),
        ..ANY
    }
}

const fn code(code: &'static str) -> Answers {
    Answers {
        code: Some(code),
        ..ANY
    }
}

const fn status_and_code(at: u16, code: &'static str) -> Answers {
    Answers {
        status: (at, at),
        code: Some(code),
        ..ANY
    }
}

const fn says(first: u16, last: u16, says: &'static str) -> Answers {
    Answers {
        status: (first, last),
        says: Some(says),
        ..ANY
    }
}

const fn not_json() -> Answers {
    Answers {
        certainty: Certainty::NotAzure,
        is_json: Some(false),
        ..ANY
    }
}

/// With this status, where no other row fits.
const fn other(first: u16, last: u16) -> Answers {
    Answers {
        certainty: Certainty::Rest,
        status: (first, last),
        ..ANY
    }
}

/// The same answers, of the token endpoint.
const fn of_sign_in(answers: Answers) -> Answers {
    Answers {
        of: Endpoint::SignIn,
        ..answers
    }
}

impl Answers {
    fn has(&self, of: &Endpoint, answer: &Answer<'_>, message: &str) -> bool {
        let (first, last) = self.status;
        let code = answer.code.unwrap_or_default();
        self.of == *of
            && (first..=last).contains(&answer.status)
            && self.code.is_none_or(|it| it.eq_ignore_ascii_case(code))
            && self.says.is_none_or(|says| message.contains(says))
            && self.is_json.is_none_or(|it| it == answer.is_json)
    }
}

/// The kind of an answer that is not a success.
pub(super) fn kind_of(of: &Endpoint, answer: &Answer<'_>) -> AzureErrorKind {
    let message = answer.message.unwrap_or_default().to_ascii_lowercase();
    let rows = ROWS
        .iter()
        .filter(|row| row.answers.has(of, answer, &message));
    // The first of the most certain ones. Each endpoint has a row for whatever is left.
    let row = rows.min_by_key(|row| row.answers.certainty);
    row.map_or(AzureErrorKind::Refused, |row| row.kind)
}
