use std::sync::Arc;

use azwib_crds::{Audience, CredentialAdoption, Issuer};
use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::azure::CredentialContent;
use crate::ledger::decide::DesiredCredential;

const ISSUER: &str = "https://oidc.example/";

fn applicant(account: &str, second: i64, standing: Precedence) -> Applicant {
    let issuer = Issuer::parse(ISSUER).unwrap();
    Applicant {
        credential: DesiredCredential {
            name: CredentialName::derive(&issuer, "shop", account),
            issuer,
            subject: Subject::of_service_account("shop", account),
            audience: Audience::parse("a").unwrap(),
            adoption: CredentialAdoption::IfIdentical,
        },
        standing,
        rank: Arc::new(Rank {
            created: Some(Timestamp::from_second(second).unwrap()),
            binding: BindingRef {
                namespace: "shop".to_owned(),
                name: account.to_owned(),
            },
        }),
    }
}

fn waiting(applicants: &[(&str, i64, Precedence)]) -> Waiting {
    let mut waiting = Waiting::default();
    for (account, second, standing) in applicants {
        waiting.wait(&applicant(account, *second, *standing));
    }
    waiting
}

fn names(called: Vec<BindingRef>) -> Vec<String> {
    called.into_iter().map(|who| who.name).collect()
}

#[test]
fn only_as_many_are_woken_as_find_a_slot_and_in_their_order() {
    let mut waiting = waiting(&[
        ("refused", 1, Precedence::Refused),
        ("young", 3, Precedence::Waiting),
        ("lost", 9, Precedence::HadCredential),
        ("old", 2, Precedence::Waiting),
    ]);
    assert_eq!(names(waiting.call(0)), [""; 0]);
    assert_eq!(names(waiting.call(2)), ["lost", "old"]);
    assert_eq!(names(waiting.call(9)), ["young", "refused"]);
    assert_eq!(names(waiting.call(9)), [""; 0], "each is woken once");
}

#[test]
fn an_applicant_that_waits_again_stands_where_it_stands_now() {
    let mut waiting = waiting(&[("a", 1, Precedence::Waiting), ("b", 2, Precedence::Waiting)]);
    waiting.wait(&applicant("a", 1, Precedence::Refused));
    assert_eq!(names(waiting.call(9)), ["b", "a"]);
    assert!(waiting.line.is_empty() && waiting.places.is_empty());
}

#[test]
fn who_has_left_is_not_woken() {
    let mut waiting = waiting(&[("a", 1, Precedence::Waiting), ("b", 2, Precedence::Waiting)]);
    waiting.leave(&applicant("a", 1, Precedence::Waiting).rank.binding);
    assert_eq!(names(waiting.call(1)), ["b"]);
}

#[test]
fn who_was_woken_answers_once() {
    let mut waiting = waiting(&[("a", 1, Precedence::Waiting)]);
    let who = applicant("a", 1, Precedence::Waiting).rank.binding.clone();
    assert!(!waiting.answered(&who), "it was not woken yet");
    waiting.call(1);
    assert!(waiting.answered(&who));
    assert!(!waiting.answered(&who));
}

#[test]
fn an_applicant_for_what_is_listed_needs_no_slot() {
    let mut waiting = waiting(&[
        ("a", 1, Precedence::Waiting),
        ("b", 2, Precedence::Waiting),
        ("c", 3, Precedence::Waiting),
    ]);
    let of = |account| applicant(account, 0, Precedence::Waiting).credential;
    let listing = [
        ListedCredential {
            name: of("c").name.as_str().to_uppercase(),
            content: None,
        },
        ListedCredential {
            name: "by-hand".to_owned(),
            content: Some(CredentialContent::new(
                &of("b").issuer,
                &of("b").subject,
                &of("b").audience,
            )),
        },
    ];
    assert_eq!(names(waiting.decided_by(&listing)), ["b", "c"]);
    assert_eq!(names(waiting.call(9)), ["a"]);
}
