//! Credentials that a platform has made for itself: they count towards the limit, and whoever removes one breaks the platform.

use crate::azure::{ListedCredential, safe_line};

/// So many are named in a message.
const NAMED: usize = 3;

/// Whether this is the credential that AKS makes for its identity bindings (a preview); all clusters share it.
pub(super) fn is_of_aks(name: &str) -> bool {
    name.eq_ignore_ascii_case("aks-identity-binding")
}

/// Whether a platform keeps this credential for itself: AKS for its identity bindings, OpenShift for its operators (`ccoctl` gives
/// those the audience `openshift`).
fn is_of_platform(credential: &ListedCredential) -> bool {
    let is_for_openshift = credential
        .content
        .as_ref()
        .is_some_and(|it| it.audiences.iter().any(|it| it == "openshift"));
    is_of_aks(&credential.name) || is_for_openshift
}

/// The names of those in a listing, for a message; a few of them where there are many.
pub(super) fn names_of_platform(listing: &[ListedCredential]) -> Vec<String> {
    let of_platform = listing.iter().filter(|it| is_of_platform(it));
    let mut names: Vec<_> = of_platform.map(|it| safe_line(&it.name)).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names
}

/// What a message about the limit says of those.
pub(super) fn not_these(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    format!(
        " (not those that the platform has made for itself: {})",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::CredentialContent;

    fn listed(name: &str, audience: &str) -> ListedCredential {
        let content = CredentialContent {
            issuer: "https://issuer.example".to_owned(),
            subject: "system:serviceaccount:a:b".to_owned(),
            audiences: vec![audience.to_owned()],
        };
        ListedCredential {
            name: name.to_owned(),
            content: Some(content),
        }
    }

    #[test]
    fn those_of_the_platform_are_named_in_order_and_no_more_than_a_few() {
        let mut listing = vec![
            listed("registry", "openshift"),
            listed("orders", "api://AzureADTokenExchange"),
            listed("AKS-identity-binding", "api://AKSIdentityBinding"),
        ];
        assert_eq!(
            not_these(&names_of_platform(&listing)),
            " (not those that the platform has made for itself: AKS-identity-binding, registry)"
        );
        listing.extend(["x", "y"].map(|name| listed(name, "openshift")));
        assert_eq!(
            names_of_platform(&listing),
            ["AKS-identity-binding", "registry", "x", "1 more"]
        );
        assert_eq!(not_these(&names_of_platform(&listing[1..2])), "");
    }
}
