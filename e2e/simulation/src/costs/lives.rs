//! The bindings of a run as the API server has seen them: when they came, changed and went.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::kubernetes::Kind;
use crate::shared::Shared;

/// What happened to a binding by its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Comes,
    Changes,
    Leaves,
    IsGone,
}

/// A binding from its creation to its end, as the API server has seen it.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) uid: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) account: String,
    pub(super) identity: String,
    pub(super) began: u64,
    pub(super) steps: Vec<(u64, Stage)>,
}

impl Life {
    fn begin(version: u64, object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (metadata, spec) = (&object["metadata"], &object["spec"]);
        Self {
            uid: text(&metadata["uid"]),
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
            account: text(&spec["serviceAccount"]["name"]),
            identity: text(&spec["identity"]["resourceId"]).to_ascii_lowercase(),
            began: version,
            steps: vec![(version, Stage::Comes)],
        }
    }

    pub(super) fn of_same_account(&self, other: &Self) -> bool {
        self.namespace == other.namespace && self.account == other.account
    }

    /// Whether it was being deleted at this version, and not gone.
    pub(super) fn is_leaving_at(&self, at: u64) -> bool {
        let had = |stage: Stage| self.steps.iter().any(|it| it.0 <= at && it.1 == stage);
        had(Stage::Leaves) && !had(Stage::IsGone)
    }

    pub(super) fn steps_in(&self, period: &Period) -> impl Iterator<Item = Stage> {
        let steps = self.steps.iter();
        steps
            .filter(|(version, _)| period.has(*version))
            .map(|(_, step)| *step)
    }
}

/// Either of the two times that are judged by themselves.
pub(super) struct Period {
    pub(super) quiet: bool,
    pub(super) began: u64,
}

impl Period {
    pub(super) fn has(&self, version: u64) -> bool {
        (version > self.began) == self.quiet
    }
}

/// Every binding that there was; `put` are the statuses that somebody else has written, by UID and version.
pub(super) fn lives(shared: &Shared, put: &[(String, u64)]) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    let mut before: BTreeMap<String, Value> = BTreeMap::new();
    for change in shared.cluster.changes(Kind::Binding, 0).0 {
        let metadata = &change.object["metadata"];
        let uid = metadata["uid"].as_str().unwrap_or_default().to_owned();
        let last = before.insert(uid.clone(), metadata.clone());
        let (Some(last), Some(life)) = (last, lives.iter_mut().find(|it| it.uid == uid)) else {
            lives.push(Life::begin(change.version, &change.object));
            continue;
        };
        let leaves = |metadata: &Value| metadata["deletionTimestamp"].is_string();
        let step = if change.type_ == "DELETED" {
            Stage::IsGone
        } else if leaves(metadata) != leaves(&last) {
            Stage::Leaves
        } else if metadata["generation"] != last["generation"] {
            Stage::Changes
        } else {
            continue;
        };
        life.steps.push((change.version, step));
    }
    for (uid, version) in put {
        if let Some(life) = lives.iter_mut().find(|it| it.uid == *uid) {
            life.steps.push((*version, Stage::Changes));
        }
    }
    lives
}

/// A namespace or an account that went, and when.
#[derive(Debug)]
pub(super) struct Departure {
    pub(super) version: u64,
    pub(super) namespace: String,
    pub(super) account: Option<String>,
}

/// Every namespace and account that went.
pub(super) fn departures(shared: &Shared) -> Vec<Departure> {
    let namespaces = shared.cluster.changes(Kind::Namespace, 0).0;
    let going = namespaces
        .into_iter()
        .filter(|it| it.object["metadata"]["deletionTimestamp"].is_string())
        .map(|it| Departure {
            version: it.version,
            namespace: it.key.name,
            account: None,
        });
    let accounts = shared.cluster.changes(Kind::Account, 0).0;
    let gone = accounts
        .into_iter()
        .filter(|it| it.type_ == "DELETED")
        .map(|it| Departure {
            version: it.version,
            namespace: it.key.namespace,
            account: Some(it.key.name),
        });
    going.chain(gone).collect()
}
