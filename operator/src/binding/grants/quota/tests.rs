use azwib_crds::{CredentialName, CredentialOrigin, RecordedCredential, Subject};
use kube::core::DeserializeGuard;
use kube_runtime::watcher::Event;
use tokio::sync::watch;

use super::*;
use crate::azure::CredentialContent;
use crate::binding::fixtures::{DELETED, binding, defaults, id};

/// The bindings of the watch, each of which records a credential of the identity `orders`.
struct Seen(Bindings);

impl Seen {
    fn put(&self, name: &str, second: u8, account: &str, more: &str) {
        let mut binding = binding(name, second, more);
        binding.spec.service_account.name = Some(account.to_owned());
        let content = content(account);
        binding.status.as_mut().unwrap().credentials = vec![RecordedCredential {
            name: CredentialName::derive(&defaults().issuer, "shop", account).to_string(),
            resource_id: Some(id("orders").to_string()),
            id: None,
            issuer: content.issuer,
            subject: content.subject,
            audience: "api://AzureADTokenExchange".to_owned(),
            origin: CredentialOrigin::Created,
        }];
        self.0.follow(&Event::Apply(DeserializeGuard(Ok(binding))));
    }
}

fn content(account: &str) -> CredentialContent {
    CredentialContent {
        issuer: defaults().issuer.to_string(),
        subject: Subject::of_service_account("shop", account).to_string(),
        audiences: vec!["api://AzureADTokenExchange".to_owned()],
    }
}

/// A credential that azwib has made for this account.
fn listed(account: &str) -> ListedCredential {
    ListedCredential {
        name: CredentialName::derive(&defaults().issuer, "shop", account).to_string(),
        content: Some(content(account)),
    }
}

#[test]
fn who_has_a_credential_is_counted_by_the_age_of_its_oldest_binding() {
    let seen = Seen(Bindings::new(watch::channel(defaults()).1));
    seen.put("y", 5, "a", "");
    seen.put("x", 9, "m", "");
    seen.put("older-of-m", 3, "m", "");
    seen.put("going", 4, "k", DELETED);
    seen.put("oldest", 2, "z", "");
    // It has no binding.
    let listing = [listed("a"), listed("left-behind"), listed("z")];
    let holders = holders(&id("orders"), &listing, &defaults().issuer, &seen.0);
    let names: Vec<_> = holders.iter().map(|(_, account)| &**account).collect();
    assert_eq!(names, ["left-behind", "z", "m", "k", "a"]);
}
