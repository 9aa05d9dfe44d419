use super::*;
use crate::ledger::BindingRef;
use k8s_openapi::jiff::Timestamp;

const ISSUER: &str = "https://oidc.example/";
const SUBJECT: &str = "system:serviceaccount:shop:orders";
const AUDIENCE: &str = "api://AzureADTokenExchange";
const LIMIT: usize = 20;

fn desired_of(account: &str) -> DesiredCredential {
    let issuer = Issuer::parse(ISSUER).unwrap();
    DesiredCredential {
        name: CredentialName::derive(&issuer, "shop", account),
        issuer,
        subject: Subject::of_service_account("shop", account),
        audience: Audience::parse(AUDIENCE).unwrap(),
        adoption: CredentialAdoption::IfIdentical,
    }
}

fn desired() -> DesiredCredential {
    desired_of("orders")
}

/// The applicant of an account whose binding was created at that second.
fn applicant(account: &str, second: i64, standing: Precedence) -> Applicant {
    Applicant {
        credential: desired_of(account),
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

fn waiter(account: &str, second: i64) -> Applicant {
    applicant(account, second, Precedence::Waiting)
}

fn credential(name: &str, issuer: &str, subject: &str, audience: &str) -> ListedCredential {
    ListedCredential {
        name: name.to_owned(),
        content: Some(CredentialContent {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audiences: vec![audience.to_owned()],
        }),
    }
}

fn ours(issuer: &str, subject: &str, audience: &str) -> ListedCredential {
    credential(desired().name.as_str(), issuer, subject, audience)
}

fn in_place(account: &str) -> ListedCredential {
    let desired = desired_of(account);
    credential(
        desired.name.as_str(),
        ISSUER,
        desired.subject.as_str(),
        AUDIENCE,
    )
}

fn flexible(name: &str) -> ListedCredential {
    ListedCredential {
        name: name.to_owned(),
        content: None,
    }
}

fn foreign(count: usize) -> Vec<ListedCredential> {
    (0..count)
        .map(|n| {
            credential(
                &format!("foreign-{n}"),
                "https://other.example/",
                &format!("s{n}"),
                AUDIENCE,
            )
        })
        .collect()
}

fn decide_among(
    listing: &[ListedCredential],
    applicants: &[Applicant],
    promised: &[&str],
    who: &Applicant,
) -> Decision {
    let promised = promised
        .iter()
        .map(|account| desired_of(account).name.to_string())
        .collect();
    let applicants: Vec<_> = applicants.iter().cloned().map(Arc::new).collect();
    let situation = Situation {
        listing,
        applicants: &applicants,
        promised: &promised,
        limit: LIMIT,
    };
    decide(who, &situation)
}

fn decide_alone(
    listing: &[ListedCredential],
    desired: DesiredCredential,
    limit: usize,
) -> Decision {
    let applicant = Applicant {
        credential: desired,
        ..waiter("orders", 0)
    };
    let situation = Situation {
        listing,
        applicants: &[],
        promised: &BTreeSet::new(),
        limit,
    };
    decide(&applicant, &situation)
}

fn full(used: usize, ahead: usize) -> Decision {
    Decision::Refuse(Refusal::LimitReached {
        used,
        limit: LIMIT,
        before: used < LIMIT,
        promised: false,
        ahead,
        of_platform: vec![],
    })
}

#[test]
fn a_credential_that_stands_as_desired_is_kept_even_on_a_full_identity() {
    let mut listing = foreign(19);
    listing.push(ours(ISSUER, SUBJECT, AUDIENCE));
    assert_eq!(decide_alone(&listing, desired(), LIMIT), Decision::Keep);
    listing.extend(foreign(5));
    assert_eq!(decide_alone(&listing, desired(), LIMIT), Decision::Keep);
}

#[test]
fn a_free_name_and_a_free_slot_make_a_creation() {
    for listing in [vec![], foreign(19)] {
        assert_eq!(decide_alone(&listing, desired(), LIMIT), Decision::Create);
    }
}

#[test]
fn other_content_under_our_name_is_put_back_even_on_a_full_identity() {
    for changed in [
        ours("https://oidc.example", SUBJECT, AUDIENCE),
        ours(ISSUER, "system:serviceaccount:shop:other", AUDIENCE),
        ours(ISSUER, SUBJECT, "api://other"),
        flexible(desired().name.as_str()),
    ] {
        let mut listing = foreign(19);
        listing.push(changed.clone());
        let decision = decide_alone(&listing, desired(), LIMIT);
        assert_eq!(decision, Decision::Update, "{changed:?}");
    }
}

#[test]
fn what_is_identical_under_another_name_is_adopted_even_on_a_full_identity() {
    let mut listing = foreign(19);
    listing.push(credential("by-hand", ISSUER, SUBJECT, AUDIENCE));
    let adopt = Decision::Adopt {
        name: "by-hand".to_owned(),
    };
    assert_eq!(decide_alone(&listing, desired(), LIMIT), adopt);
}

#[test]
fn nothing_is_adopted_where_the_binding_says_never() {
    let desired = DesiredCredential {
        adoption: CredentialAdoption::Never,
        ..desired()
    };
    let listing = [credential("by-hand", ISSUER, SUBJECT, AUDIENCE)];
    let Decision::Refuse(refusal) = decide_alone(&listing, desired, LIMIT) else {
        panic!("adopted");
    };
    let message = refusal.to_string();
    assert!(
        message.contains("\"by-hand\"") && message.contains("IfIdentical"),
        "{message}"
    );
}

#[test]
fn another_audience_under_another_name_is_refused() {
    let listing = [credential("by-hand", ISSUER, SUBJECT, "api://other")];
    let refusal = Refusal::CredentialExists {
        name: "by-hand".to_owned(),
        identical: false,
    };
    assert!(!refusal.to_string().contains("IfIdentical"));
    assert_eq!(
        decide_alone(&listing, desired(), LIMIT),
        Decision::Refuse(refusal)
    );
}

#[test]
fn nothing_is_adopted_beside_a_credential_of_our_own() {
    let listing = [
        ours("https://x.example", SUBJECT, AUDIENCE),
        credential("by-hand", ISSUER, SUBJECT, AUDIENCE),
    ];
    assert!(matches!(
        decide_alone(&listing, desired(), LIMIT),
        Decision::Refuse(Refusal::CredentialExists { .. })
    ));
}

#[test]
fn issuer_and_subject_are_compared_to_the_letter() {
    let other_case = "system:serviceaccount:shop:Orders";
    let listing = [credential("by-hand", ISSUER, other_case, AUDIENCE)];
    assert_eq!(decide_alone(&listing, desired(), LIMIT), Decision::Create);
}

#[test]
fn the_twenty_first_is_refused_and_flexible_credentials_count() {
    let mut listing = foreign(19);
    listing.push(flexible("flexible"));
    assert_eq!(decide_alone(&listing, desired(), LIMIT), full(20, 0));
    let lowered = Refusal::LimitReached {
        used: 3,
        limit: 3,
        before: false,
        promised: false,
        ahead: 0,
        of_platform: vec![],
    };
    assert_eq!(
        decide_alone(&foreign(3), desired(), 3),
        Decision::Refuse(lowered)
    );
}

#[test]
fn free_slots_go_to_those_who_have_waited_longest() {
    let line = [waiter("c", 3), waiter("a", 1), waiter("b", 2)];
    let decisions: Vec<_> = line
        .iter()
        .map(|who| decide_among(&foreign(18), &line, &[], who))
        .collect();
    assert_eq!(decisions, [full(18, 2), Decision::Create, Decision::Create]);
}

#[test]
fn of_the_same_age_the_name_decides() {
    let line = [waiter("b", 1), waiter("a", 1)];
    assert_eq!(
        decide_among(&foreign(19), &line, &[], &line[0]),
        full(19, 1)
    );
    let first = decide_among(&foreign(19), &line, &[], &line[1]);
    assert_eq!(first, Decision::Create);
}

#[test]
fn a_holder_whose_credential_was_lost_comes_before_all_who_wait() {
    let line = [
        waiter("old", 1),
        applicant("lost", 9, Precedence::HadCredential),
    ];
    assert_eq!(
        decide_among(&foreign(19), &line, &[], &line[0]),
        full(19, 1)
    );
    let lost = decide_among(&foreign(19), &line, &[], &line[1]);
    assert_eq!(lost, Decision::Create);
}

#[test]
fn a_refused_applicant_holds_up_nobody() {
    let line = [
        applicant("refused", 1, Precedence::Refused),
        waiter("young", 2),
    ];
    let young = decide_among(&foreign(19), &line, &[], &line[1]);
    assert_eq!(young, Decision::Create);
    assert_eq!(
        decide_among(&foreign(19), &line, &[], &line[0]),
        full(19, 1)
    );
    let tried_again = decide_among(&foreign(18), &line, &[], &line[0]);
    assert_eq!(tried_again, Decision::Create);
    let line = [1, 2].map(|second| applicant("refused", second, Precedence::Refused));
    let second = decide_among(&foreign(19), &line, &[], &line[1]);
    assert_eq!(second, Decision::Create, "nor another refused one");
}

#[test]
fn those_who_need_no_slot_stand_before_nobody() {
    let mut listing = foreign(17);
    listing.push(in_place("held"));
    let adoptable = desired_of("adopts");
    let subject = adoptable.subject.as_str();
    listing.push(credential("by-hand", ISSUER, subject, AUDIENCE));
    let line = [waiter("held", 1), waiter("adopts", 2), waiter("new", 3)];
    let decision = decide_among(&listing, &line, &[], &line[2]);
    assert_eq!(decision, Decision::Create);
}

#[test]
fn a_promised_slot_is_taken_and_is_counted_once() {
    let line = [waiter("a", 1), waiter("b", 2)];
    // "a" is about to be written: its slot is promised, and it stands in the line no more.
    let promised = Refusal::LimitReached {
        used: 20,
        limit: LIMIT,
        before: false,
        promised: true,
        ahead: 0,
        of_platform: vec![],
    };
    assert!(promised.leaves_slot_to_others());
    assert_eq!(
        decide_among(&foreign(19), &line, &["a"], &line[1]),
        Decision::Refuse(promised)
    );
    assert_eq!(
        decide_among(&foreign(18), &line, &["a"], &line[1]),
        Decision::Create
    );
    assert_eq!(
        decide_among(&foreign(19), &line, &["a"], &line[0]),
        Decision::Create,
        "an applicant's own promise does not stand against it"
    );
    let mut written = foreign(18);
    written.push(in_place("a"));
    assert_eq!(
        decide_among(&written, &line, &["a"], &line[1]),
        Decision::Create
    );
}

#[test]
fn no_order_of_looking_gives_more_slots_than_there_are() {
    let line: Vec<_> = (0..6)
        .map(|n| waiter(&format!("w{n}"), i64::from(n % 3)))
        .collect();
    for free in 0..=6 {
        let mut listing = foreign(LIMIT - free);
        // Each looks in turn and writes at once what was decided.
        for who in line.iter().rev().chain(&line) {
            if decide_among(&listing, &line, &[], who) == Decision::Create {
                listing.push(in_place(&who.rank.binding.name));
            }
        }
        assert_eq!(listing.len(), LIMIT, "{free} free");
        let mut by_rank: Vec<_> = line.iter().collect();
        by_rank.sort_by_key(|who| &who.rank);
        for (place, who) in by_rank.into_iter().enumerate() {
            assert_eq!(
                is_met(&who.credential, &listing),
                place < free,
                "{free} free"
            );
        }
    }
}

/// Numbers that look as if they were drawn, and are the same each time.
fn drawn(seed: usize, below: usize) -> usize {
    (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % below
}

#[test]
fn what_stands_behind_the_front_of_the_line_changes_no_decision() {
    for round in 0..100 {
        let draw = |number: usize, below| drawn(round * 1000 + number, below);
        let limit = 1 + draw(0, 6);
        let mut line: Vec<_> = (0..60)
            .map(|n| {
                let standing = [
                    Precedence::HadCredential,
                    Precedence::Waiting,
                    Precedence::Refused,
                ][draw(n, 3)];
                Arc::new(applicant(
                    &format!("w{n}"),
                    draw(n + 100, 20) as i64,
                    standing,
                ))
            })
            .collect();
        line.sort_by(|one, other| one.place().cmp(&other.place()));
        let mut listing = foreign(draw(1, 3));
        for n in 0..draw(2, 2 * limit) {
            let account = format!("w{}", draw(n + 200, 60));
            let subject = desired_of(&account).subject;
            listing.push(match draw(n + 300, 3) {
                0 => in_place(&account),
                1 => credential(&format!("by-hand-{n}"), ISSUER, subject.as_str(), AUDIENCE),
                _ => flexible(desired_of(&account).name.as_str()),
            });
        }
        let promised: Vec<_> = (0..draw(3, 3))
            .map(|n| format!("w{}", draw(n + 400, 60)))
            .collect();
        let promised = promised.iter().map(|it| desired_of(it).name.to_string());
        let promised = promised.collect();
        let situation = |applicants: &[Arc<Applicant>], who: &Applicant| {
            decide(
                who,
                &Situation {
                    listing: &listing,
                    applicants,
                    promised: &promised,
                    limit,
                },
            )
        };
        let front = &line[..front_of_line(limit).min(line.len())];
        for who in &line {
            assert_eq!(situation(&line, who), situation(front, who), "{who:?}");
        }
    }
}

#[test]
fn how_far_back_an_applicant_stands_is_told_up_to_where_it_matters() {
    let line: Vec<_> = (0..30).map(|n| waiter(&format!("w{n}"), n)).collect();
    for (place, who) in line.iter().enumerate() {
        let decision = decide_among(&foreign(LIMIT), &line, &[], who);
        assert_eq!(decision, full(LIMIT, place.min(FAR_BACK)));
    }
}
