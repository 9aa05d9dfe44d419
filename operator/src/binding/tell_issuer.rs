//! Tells what is found of the issuer: in the log, by one event for each change, and, where it concerns all bindings, by a look at each.

use std::sync::Arc;

use super::context::Operator;
use super::events::EventReason;
use super::status::issuer::reason;
use crate::issuer::judge::Finding;
use crate::issuer::watch::Said;

/// What was told last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    label: &'static str,
    differs: Option<Arc<str>>,
    /// The words of what concerns all bindings.
    all: Option<String>,
}

impl Told {
    fn of(said: &Said) -> Self {
        let finding = &said.finding;
        Self {
            label: finding.label(),
            differs: said.differs.clone(),
            all: finding.concerns_all().then(|| finding.text().to_owned()),
        }
    }
}

/// Tells each change until it is dropped; `again` has all bindings looked at.
pub async fn keep_issuer_told(ctx: Arc<Operator>, again: impl Fn()) {
    let mut issuer = ctx.settings.issuer.clone();
    let mut before: Option<Told> = None;
    loop {
        let said = issuer.borrow_and_update().clone();
        if said.about.is_some() {
            let told = Told::of(&said);
            for (reason, note) in events(&said, before.as_ref()) {
                log(&said.finding, &note);
                if let Some(namespace) = ctx.grants.own_namespace() {
                    ctx.events.issuer(namespace, reason, note).await;
                }
            }
            // At the start each is looked at anyway.
            if before.as_ref().is_some_and(|before| before.all != told.all) {
                again();
            }
            before = Some(told);
        }
        if issuer.changed().await.is_err() {
            return;
        }
    }
}

fn log(finding: &Finding, note: &str) {
    match finding {
        Finding::NotVerified | Finding::Verified(_) | Finding::ProvenBySignIn => {
            tracing::info!(note, "the issuer of the cluster's tokens");
        }
        _ => tracing::warn!(note, "the issuer of the cluster's tokens"),
    }
}

/// The events that tell of a change: that another issuer was seen, and what follows from all that is seen.
fn events(said: &Said, before: Option<&Told>) -> Vec<(EventReason, String)> {
    let events = [other_seen(said, before), other_finding(said, before)];
    events.into_iter().flatten().collect()
}

fn other_seen(said: &Said, before: Option<&Told>) -> Option<(EventReason, String)> {
    let (other, about) = (said.differs.as_ref()?, said.about.as_ref()?);
    let is_news = before.is_none_or(|it| it.differs != said.differs);
    is_news.then(|| {
        let note = format!(
            "the issuer {other} was seen, and azwib goes by {about}: it counts once a token says so that was issued after that was first seen"
        );
        (EventReason::IssuerDiffers, note)
    })
}

fn other_finding(said: &Said, before: Option<&Told>) -> Option<(EventReason, String)> {
    let (finding, now) = (&*said.finding, Told::of(said));
    let is_news = before.is_none_or(|it| it.label != now.label || it.all != now.all);
    if !is_news {
        return None;
    }
    let note = finding.text().to_owned();
    Some(match finding {
        Finding::NotVerified | Finding::Verified(_) | Finding::ProvenBySignIn => {
            let was_bad = before.is_some_and(|it| !is_good(it.label));
            let about = said.about.as_ref().filter(|_| was_bad)?;
            let note = format!("nothing is wrong with the issuer {about} any more");
            (EventReason::IssuerGood, note)
        }
        Finding::CouldNotLook(_) => (EventReason::IssuerUnreachable, note),
        Finding::Refused(_) => (EventReason::IssuerRefused, note),
        Finding::Wrong(_) | Finding::KeysOutOfDate(_) | Finding::Mismatch(_) => {
            (EventReason::Ready(reason(finding)), note)
        }
    })
}

fn is_good(label: &str) -> bool {
    ["not_verified", "verified", "proven_by_sign_in"].contains(&label)
}

#[cfg(test)]
mod tests {
    use azwib_crds::Issuer;

    use super::*;

    fn said(finding: Finding, differs: Option<&str>) -> Said {
        Said {
            finding: Arc::new(finding),
            differs: differs.map(Into::into),
            about: Some(Issuer::parse("https://oidc.example/").unwrap()),
        }
    }

    #[test]
    fn each_change_is_one_event_and_what_is_well_from_the_start_is_none() {
        let verified = || Finding::Verified(String::new());
        let blind = || Finding::CouldNotLook("no name".to_owned());
        let mismatch = || Finding::Mismatch("both values".to_owned());
        let mut before = None;
        for (finding, differs, expected) in [
            (Finding::NotVerified, None, None),
            (verified(), None, None),
            (Finding::ProvenBySignIn, None, None),
            (blind(), None, Some("IssuerUnreachable")),
            (blind(), None, None),
            (verified(), None, Some("IssuerGood")),
            (
                verified(),
                Some("https://other.example"),
                Some("IssuerDiffers"),
            ),
            (verified(), Some("https://other.example"), None),
            (mismatch(), None, Some("IssuerMismatch")),
            (mismatch(), None, None),
            (
                Finding::Wrong("why".to_owned()),
                None,
                Some("IssuerInvalid"),
            ),
            (
                Finding::KeysOutOfDate("why".to_owned()),
                None,
                Some("SigningKeysOutOfDate"),
            ),
            (
                Finding::Refused("AADSTS90061".to_owned()),
                None,
                Some("IssuerRefused"),
            ),
        ] {
            let said = said(finding, differs);
            let events = events(&said, before.as_ref());
            let events: Vec<_> = events.iter().map(|it| it.0.as_str()).collect();
            assert_eq!(events, Vec::from_iter(expected), "{said:?}");
            before = Some(Told::of(&said));
        }
    }

    #[test]
    fn what_changes_at_once_is_told_each_by_an_event_of_its_own() {
        let wrong = Finding::Wrong("it is known inside of the cluster only".to_owned());
        let events = events(&said(wrong, Some("https://other.example")), None);
        let events: Vec<_> = events.iter().map(|it| it.0.as_str()).collect();
        assert_eq!(events, ["IssuerDiffers", "IssuerInvalid"]);
    }
}
