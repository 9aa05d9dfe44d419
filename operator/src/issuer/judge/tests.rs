use serde_json::json;

use super::*;

const OURS: &str = "https://oidc.example/";
const THEIRS: &str = "https://kubernetes.default.svc.cluster.local";

fn ours() -> Issuer {
    Issuer::parse(OURS).unwrap()
}

fn token(issuer: &str, issued_at: i64) -> OwnToken {
    OwnToken {
        issuer: issuer.to_owned(),
        issued_at,
        expires_at: issued_at.saturating_add(3600),
        kid: "k1".to_owned(),
        algorithm: "RS256".to_owned(),
    }
}

fn keys(of: &[(&str, &str)]) -> Keys {
    let keys: Vec<_> = of
        .iter()
        .map(|(kid, n)| json!({"kty": "RSA", "kid": kid, "n": n}))
        .collect();
    Keys::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

#[test]
fn a_mismatch_counts_only_from_a_token_issued_after_the_first_sight() {
    let mut differences = Differences::default();
    let mut look = |issuer, issued_at, document, now| {
        let token = token(issuer, issued_at);
        differences.look(&ours(), Some(&token), Some(document), now)
    };
    assert_eq!(look(OURS, 100, OURS, 1000), Carried::Same);
    // The API server was restarted; the mounted token is still the old one.
    assert_eq!(look(OURS, 100, THEIRS, 1060), Carried::Differs);
    assert_eq!(look(OURS, 100, THEIRS, 1120), Carried::Differs);
    // Renewed before that was seen: an answer of the API server before it.
    assert_eq!(look(THEIRS, 1050, THEIRS, 1180), Carried::Differs);
    assert_eq!(look(THEIRS, 1061, THEIRS, 1240), Carried::Mismatch);
    assert_eq!(look(OURS, 1250, OURS, 1300), Carried::Same);
    // It begins anew.
    assert_eq!(look(THEIRS, 1250, OURS, 1360), Carried::Differs);
}

#[test]
fn a_token_of_another_issuer_at_the_start_proves_nothing_yet() {
    let mut differences = Differences::default();
    let mut look =
        |issued_at, now| differences.look(&ours(), Some(&token(THEIRS, issued_at)), None, now);
    assert_eq!(look(900, 1000), Carried::Differs);
    assert_eq!(look(900, 9000), Carried::Differs);
    assert_eq!(look(3600, 9060), Carried::Mismatch);
}

#[test]
fn a_clock_that_is_ten_minutes_off_proves_no_mismatch() {
    // Ours is slow: the token that was there at the first sight seems to be of later.
    let mut slow = Differences::default();
    let old = token(THEIRS, 1550);
    assert_eq!(slow.look(&ours(), Some(&old), None, 1000), Carried::Differs);
    assert_eq!(slow.look(&ours(), Some(&old), None, 1060), Carried::Differs);
    let renewed = token(THEIRS, 1700);
    assert_eq!(
        slow.look(&ours(), Some(&renewed), None, 1120),
        Carried::Mismatch
    );
    // Ours is fast: it takes ten minutes longer.
    let mut fast = Differences::default();
    let old = token(THEIRS, 300);
    assert_eq!(fast.look(&ours(), Some(&old), None, 1000), Carried::Differs);
    let early = token(THEIRS, 500);
    assert_eq!(
        fast.look(&ours(), Some(&early), None, 1100),
        Carried::Differs
    );
    let late = token(THEIRS, 1001);
    assert_eq!(
        fast.look(&ours(), Some(&late), None, 1601),
        Carried::Mismatch
    );
    // Whatever a token says of its time, nothing is computed out of bounds.
    let mut odd = Differences::default();
    for issued_at in [i64::MIN, i64::MAX, 0] {
        odd.look(&ours(), Some(&token(THEIRS, issued_at)), None, 1000);
    }
}

#[test]
fn what_cannot_be_read_forgets_nothing() {
    let mut differences = Differences::default();
    let old = token(THEIRS, 500);
    assert_eq!(
        differences.look(&ours(), Some(&old), None, 1000),
        Carried::Differs
    );
    assert_eq!(differences.look(&ours(), None, None, 1060), Carried::Same);
    let renewed = token(THEIRS, 1100);
    assert_eq!(
        differences.look(&ours(), Some(&renewed), None, 1120),
        Carried::Mismatch
    );
}

#[test]
fn a_key_is_out_of_date_after_two_reads_a_minute_apart() {
    let own = keys(&[("k1", "AQID")]);
    let key = own.of("k1").unwrap();
    let (other, with) = (
        keys(&[("k1", "BAUG")]),
        keys(&[("k1", "AQID"), ("k2", "BAUG")]),
    );
    let at = Duration::from_secs;
    let mut missing = Missing::default();
    assert_eq!(missing.look(key, &with, at(0)), Published::Yes);
    assert_eq!(missing.look(key, &other, at(10)), Published::Missing);
    assert_eq!(missing.look(key, &other, at(69)), Published::Missing);
    assert_eq!(missing.look(key, &other, at(70)), Published::OutOfDate);
    assert_eq!(missing.look(key, &with, at(80)), Published::Yes);
    assert_eq!(
        missing.look(key, &Keys::default(), at(90)),
        Published::Missing
    );
    // Another key begins anew.
    let next = keys(&[("k3", "AQID")]);
    assert_eq!(
        missing.look(next.of("k3").unwrap(), &other, at(500)),
        Published::Missing
    );
}

fn seen<'a>(
    issuer: &'a Issuer,
    token: &'a OwnToken,
    public: &'a Public,
    signed_in: &'a SignedIn,
) -> Seen<'a> {
    Seen {
        issuer,
        token: Some(token),
        carried: Carried::Same,
        document: Some(OURS),
        public,
        note: "",
        signed_in,
        platform: Platform::K3s,
        allow_private: false,
        now: 2000,
    }
}

#[test]
fn the_heaviest_finding_is_said() {
    let (issuer, good) = (ours(), token(OURS, 1900));
    let taken = |kid: &str, ago| SignedIn::Taken {
        issuer: OURS.to_owned(),
        kid: kid.to_owned(),
        ago: Duration::from_secs(ago),
    };
    let other_document = InvalidDocument::OtherIssuer {
        address: "https://oidc.example/.well-known/openid-configuration".to_owned(),
        named: "https://evil.example".to_owned(),
    };
    let page = InvalidDocument::Unreadable {
        address: "https://oidc.example/".to_owned(),
    };
    let blind = Public::CouldNotLook("no such host".to_owned());
    let nothing = SignedIn::NothingKnown;
    let refused = SignedIn::Refused("AADSTS90061: no".to_owned());
    let out_of_date = Public::Keys(Published::OutOfDate);
    for (public, signed_in, expected) in [
        (Public::NotLooked, nothing.clone(), "not_verified"),
        (Public::Keys(Published::Yes), nothing.clone(), "verified"),
        (blind.clone(), nothing.clone(), "could_not_look"),
        (blind.clone(), taken("k1", 3600), "proven_by_sign_in"),
        (blind.clone(), taken("k0", 3600), "could_not_look"),
        (blind.clone(), taken("k1", 9000), "could_not_look"),
        (out_of_date.clone(), nothing.clone(), "keys_out_of_date"),
        (out_of_date.clone(), taken("k1", 60), "proven_by_sign_in"),
        (out_of_date.clone(), taken("k0", 60), "keys_out_of_date"),
        (
            Public::Keys(Published::Missing),
            nothing.clone(),
            "could_not_look",
        ),
        (
            Public::Invalid(other_document.clone()),
            nothing.clone(),
            "wrong",
        ),
        (Public::Invalid(other_document), taken("k1", 60), "wrong"),
        (Public::Invalid(page), nothing, "could_not_look"),
        (Public::Keys(Published::Yes), refused, "refused"),
    ] {
        let found = judge(&seen(&issuer, &good, &public, &signed_in));
        assert_eq!(found.label(), expected, "{public:?} {signed_in:?}");
    }
}

#[test]
fn a_sign_in_with_a_token_of_another_issuer_proves_nothing_for_ours() {
    let (issuer, good) = (ours(), token(OURS, 1900));
    let signed_in = SignedIn::Taken {
        issuer: "https://oidc.example".to_owned(),
        kid: "k1".to_owned(),
        ago: Duration::ZERO,
    };
    let found = judge(&seen(&issuer, &good, &Public::NotLooked, &signed_in));
    assert_eq!(found, Finding::NotVerified);
}

#[test]
fn a_mismatch_names_both_values_and_what_to_set_here() {
    let (issuer, other) = (ours(), token(THEIRS, 1900));
    let (public, signed_in) = (Public::Keys(Published::Yes), SignedIn::NothingKnown);
    let seen = Seen {
        carried: Carried::Mismatch,
        ..seen(&issuer, &other, &public, &signed_in)
    };
    let Finding::Mismatch(text) = judge(&seen) else {
        panic!("no mismatch");
    };
    for part in [
        OURS,
        THEIRS,
        "/etc/rancher/k3s/config.yaml",
        "restart azwib",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let waiting = Seen {
        carried: Carried::Differs,
        ..seen
    };
    assert_eq!(
        judge(&waiting),
        Finding::Verified(String::new()),
        "until then it stops nothing"
    );
}

#[test]
fn tokens_that_entra_cannot_verify_are_provably_wrong() {
    let issuer = ours();
    let elliptic = OwnToken {
        algorithm: "ES256".to_owned(),
        ..token(OURS, 1900)
    };
    let found = judge(&seen(
        &issuer,
        &elliptic,
        &Public::NotLooked,
        &SignedIn::NothingKnown,
    ));
    assert!(
        matches!(&found, Finding::Wrong(text) if text.contains("ES256")),
        "{found:?}"
    );
}

#[test]
fn a_token_of_the_future_is_said_and_stops_nothing() {
    let (issuer, future) = (ours(), token(OURS, 2600));
    let found = judge(&seen(
        &issuer,
        &future,
        &Public::NotLooked,
        &SignedIn::NothingKnown,
    ));
    assert!(
        matches!(&found, Finding::CouldNotLook(text) if text.contains("clocks")),
        "{found:?}"
    );
    assert_eq!(found.stops(), None);
    let soon = token(OURS, 2299);
    let found = judge(&seen(
        &issuer,
        &soon,
        &Public::NotLooked,
        &SignedIn::NothingKnown,
    ));
    assert_eq!(found, Finding::NotVerified);
}

#[test]
fn only_what_is_provably_wrong_stops_a_credential_and_only_two_concern_all() {
    let text = || "why".to_owned();
    for (finding, stops, all) in [
        (Finding::NotVerified, false, false),
        (Finding::Verified(text()), false, false),
        (Finding::ProvenBySignIn, false, false),
        (Finding::CouldNotLook(text()), false, false),
        (Finding::Wrong(text()), true, false),
        (Finding::KeysOutOfDate(text()), true, false),
        (Finding::Refused(text()), false, true),
        (Finding::Mismatch(text()), true, true),
    ] {
        assert_eq!(finding.stops().is_some(), stops, "{finding:?}");
        assert_eq!(finding.concerns_all(), all, "{finding:?}");
        assert!(Finding::LABELS.contains(&finding.label()));
    }
}

#[test]
fn an_issuer_of_the_cluster_alone_is_provably_wrong_unless_that_is_allowed() {
    let issuer = Issuer::parse(THEIRS).unwrap();
    let own = token(THEIRS, 1900);
    let seen = seen(&issuer, &own, &Public::NotLooked, &SignedIn::NothingKnown);
    let Finding::Wrong(text) = judge(&seen) else {
        panic!("it is not told");
    };
    assert!(text.contains(THEIRS) && text.contains("k3s"), "{text}");
    let allowed = Seen {
        allow_private: true,
        ..seen
    };
    assert_eq!(judge(&allowed), Finding::NotVerified);
}
