//! How long an access token lasts, and for whom it is. It sends nothing: the token says it.

use serde_json::json;

use crate::assumed::Assumed;
use crate::facts::{Fact, Verdict};
use crate::token::{Claims, Token};

pub(super) fn probe(token: &Token, assumed: &Assumed) -> Vec<Fact> {
    let claims = token.claims();
    vec![
        lifetime(&claims, token.received().as_second(), assumed),
        audience(&claims, assumed),
    ]
}

/// A token may have been in a cache when it was received, and Entra dates its issue back some minutes. So its lifetime is
/// between what was left of it and what it says.
fn lifetime(claims: &Claims, received: i64, assumed: &Assumed) -> Fact {
    let (fact, tunable, expected) = match (&claims.xms_mirid, claims.idtyp.as_deref()) {
        (Some(_), _) => (
            "lifetime of a managed identity's token",
            "managedIdentityTokenSeconds",
            assumed.managed_identity_token_seconds,
        ),
        (None, Some("app")) => (
            "lifetime of a service principal's token",
            "accessTokenSeconds",
            assumed.access_token_seconds,
        ),
        _ => {
            let why = "sign in as a service principal or a managed identity";
            let assumed = assumed.access_token_seconds;
            return Fact::not_seen("lifetime of an access token", assumed, why);
        }
    };
    let (Some(issued), Some(expires)) = (claims.iat, claims.exp) else {
        return Fact::not_seen(fact, expected, "the token does not say");
    };
    let seconds = |from: i64| u64::try_from(expires.saturating_sub(from)).unwrap_or(0);
    let (left, whole) = (seconds(received), seconds(issued));
    if (left..=whole).contains(&expected) {
        let seen = if left == whole {
            whole.to_string()
        } else {
            format!("{left} to {whole}")
        };
        Fact::value(fact, tunable, &expected, &expected).seen_as(seen)
    } else {
        Fact::value(fact, tunable, &expected, &whole)
    }
}

fn audience(claims: &Claims, assumed: &Assumed) -> Fact {
    const FACT: &str = "audience of the token";
    let assumed = &assumed.resource_manager_audiences;
    let known = assumed.join(", ");
    let Some(audience) = &claims.aud else {
        return Fact::not_seen(FACT, "one of 4", "the token does not say");
    };
    let is_known = assumed.contains(audience);
    let mut audiences = assumed.clone();
    audiences.push(audience.clone());
    Fact {
        fact: FACT.to_owned(),
        assumed: format!("one of {}", assumed.len()),
        seen: audience.clone(),
        verdict: if is_known {
            Verdict::Same
        } else {
            Verdict::Differs
        },
        detail: (!is_known).then(|| format!("assumed is one of {known}")),
        tunables: Vec::new(),
    }
    .with_tunable("resourceManagerAudiences", json!(audiences))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_between_what_is_left_and_what_the_token_says() {
        let app = Some("app".to_owned());
        for (issued, expires, received, verdict) in [
            (1000, 4599, 1000, Verdict::Same),
            // Dated back by five minutes.
            (700, 4599, 1000, Verdict::Same),
            // From a cache.
            (700, 4599, 3000, Verdict::Same),
            (1000, 2800, 1000, Verdict::Differs),
            (1000, 9000, 1000, Verdict::Differs),
        ] {
            let claims = Claims {
                iat: Some(issued),
                exp: Some(expires),
                idtyp: app.clone(),
                ..Claims::default()
            };
            let fact = lifetime(&claims, received, &Assumed::default());
            assert_eq!(fact.verdict, verdict, "{fact:?}");
        }
    }

    #[test]
    fn the_token_of_a_managed_identity_has_a_lifetime_of_its_own() {
        let claims = Claims {
            iat: Some(0),
            exp: Some(3599),
            idtyp: Some("app".to_owned()),
            xms_mirid: Some("/subscriptions/…".to_owned()),
            ..Claims::default()
        };
        let fact = lifetime(&claims, 0, &Assumed::default());
        assert_eq!(
            fact.tunables,
            [("managedIdentityTokenSeconds", json!(3599))]
        );
    }

    #[test]
    fn the_token_of_a_person_has_no_lifetime_to_compare() {
        let fact = lifetime(&Claims::default(), 0, &Assumed::default());
        assert_eq!(fact.verdict, Verdict::NotSeen);
    }
}
