//! Whether a status came back as it was written.

use azwib_crds::WorkloadIdentityBindingStatus;
use serde_json::{Value, json};

/// What of a status is not stored as it was written, in words; None where all of it is.
///
/// Compared as the API server has it: a time has no more than its seconds there.
pub fn altered(
    written: Option<&WorkloadIdentityBindingStatus>,
    stored: Option<&WorkloadIdentityBindingStatus>,
) -> Option<String> {
    let (written, stored) = (json!(written), json!(stored));
    if written == stored {
        return None;
    }
    let fields = written.as_object().into_iter().flatten();
    let field = fields
        .map(|(field, _)| field.as_str())
        .find(|field| written[*field] != stored[*field]);
    let what = match field {
        Some("conditions") => condition(&written["conditions"], &stored["conditions"]),
        Some(field) => format!("status.{field}"),
        None => "status".to_owned(),
    };
    Some(format!("{what} is another one"))
}

fn condition(written: &Value, stored: &Value) -> String {
    let of = |conditions: &Value| conditions.as_array().cloned().unwrap_or_default();
    let stored = of(stored);
    let changed = of(written).into_iter().find(|it| !stored.contains(it));
    let type_ = changed.and_then(|it| it["type"].as_str().map(str::to_owned));
    type_.map_or_else(
        || "status.conditions".to_owned(),
        |type_| format!("the condition {type_}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(yaml: &str) -> WorkloadIdentityBindingStatus {
        serde_yaml_ng::from_str(yaml).unwrap()
    }

    #[test]
    fn what_is_not_stored_as_it_was_written_is_named() {
        let written = status(
            "{observedGeneration: 1, credentials: [{name: n, resourceId: r, issuer: i, subject: s, audience: a, origin: \
             Pending}], conditions: [{type: Ready, status: 'False', reason: Creating, message: m, lastTransitionTime: \
             '2026-01-02T03:04:05Z'}]}",
        );
        assert_eq!(altered(Some(&written), Some(&written)), None);
        let mut unrecorded = written.clone();
        unrecorded.credentials.clear();
        let mut renamed = written.clone();
        renamed.conditions[0].reason = "Fine".to_owned();
        let mut robbed = written.clone();
        robbed.conditions.clear();
        for (stored, what) in [
            (Some(&unrecorded), "status.credentials is another one"),
            (Some(&renamed), "the condition Ready is another one"),
            (Some(&robbed), "the condition Ready is another one"),
            (None, "the condition Ready is another one"),
        ] {
            let found = altered(Some(&written), stored);
            assert_eq!(found.as_deref(), Some(what));
        }
    }
}
