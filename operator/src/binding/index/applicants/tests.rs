use azwib_crds::Issuer;
use kube_runtime::watcher::Event;

use crate::binding::index::{Bindings, Guarded};
use crate::binding::validate::Defaults;
use crate::ledger::BindingRef;
use azwib_crds::ManagedIdentityId;
use tokio::sync::watch;

const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/";

/// A binding whose account is done, created at that second.
fn binding(name: &str, account: &str, second: u32, more: &str) -> Guarded {
    let step = |type_: &str| {
        format!(
            "{{type: {type_}, status: 'True', reason: Done, message: m, lastTransitionTime: '2026-01-02T03:04:05Z'}}"
        )
    };
    let steps = ["Granted", "IssuerReady", "ServiceAccountReady"].map(step);
    serde_yaml_ng::from_str(&format!(
        "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: {name}, namespace: shop, uid: \
         {name}, creationTimestamp: '2026-01-01T00:{:02}:{:02}Z', resourceVersion: '1'{}}}, spec: {{identity: {{resourceId: \
         {ID}one}}, serviceAccount: {{name: {account}}}, suspend: {}}}, status: {{observedGeneration: 1, credentials: [{}], \
         conditions: [{}, {{type: CredentialReady, status: 'False', reason: {}, message: m, lastTransitionTime: \
         '2026-01-02T03:04:05Z'}}]}}}}",
        second / 60,
        second % 60,
        if more == "deleted" { ", deletionTimestamp: '2026-01-02T03:04:05Z'" } else { "" },
        more == "suspended",
        if more == "deleted" {
            format!("{{name: n, resourceId: {ID}one, issuer: i, subject: s, audience: a, origin: Created}}")
        } else {
            String::new()
        },
        steps.join(", "),
        if more == "refused" { "PolicyDenied" } else { "CredentialLimitReached" },
    ))
    .unwrap()
}

struct Seen(Bindings);

impl Seen {
    fn new() -> Self {
        let defaults = Defaults {
            issuer: Issuer::parse("https://oidc.example/").unwrap(),
            unknown_issuer: None,
            subscription: None,
            resource_group: None,
        };
        Self(Bindings::new(watch::channel(defaults).1))
    }

    fn see(&mut self, event: Event<Guarded>) {
        self.0.follow(&event);
    }

    fn put(&mut self, name: &str, account: &str, second: u32, more: &str) {
        self.see(Event::Apply(binding(name, account, second, more)));
    }

    fn line(&self, most: usize) -> Vec<String> {
        let front = self.0.front_of_line(&id(), most, |_| true);
        let names = front.iter().map(|it| it.rank.binding.name.clone());
        names.collect()
    }
}

fn id() -> ManagedIdentityId {
    ManagedIdentityId::parse(&format!("{ID}one")).unwrap()
}

fn who(name: &str) -> BindingRef {
    BindingRef {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    }
}

#[test]
fn applicants_stand_in_the_order_in_which_they_are_served() {
    let mut seen = Seen::new();
    seen.put("refused", "a", 1, "refused");
    seen.put("young", "b", 9, "");
    seen.put("old", "c", 2, "");
    seen.put("suspended", "d", 3, "suspended");
    assert_eq!(seen.line(9), ["old", "young", "refused"]);
    assert_eq!(seen.line(1), ["old"]);
    assert!(seen.0.is_in_line(&who("young")) && !seen.0.is_in_line(&who("refused")));
    seen.put("old", "c", 2, "suspended");
    seen.put("refused", "a", 1, "");
    assert_eq!(
        seen.line(9),
        ["refused", "young"],
        "each stands where it is now"
    );
    seen.see(Event::Delete(binding("refused", "a", 1, "")));
    assert_eq!(seen.line(9), ["young"]);
}

#[test]
fn of_an_account_only_the_oldest_applies_even_where_it_is_not_so_far() {
    let mut seen = Seen::new();
    seen.put("younger", "a", 2, "");
    assert_eq!(seen.line(9), ["younger"]);
    seen.put("older", "a", 1, "");
    assert_eq!(seen.line(9), ["older"]);
    assert!(!seen.0.is_in_line(&who("younger")));
    seen.put("older", "a", 1, "suspended");
    assert_eq!(seen.line(9), [""; 0]);
    seen.put("older", "a", 1, "deleted");
    assert_eq!(seen.line(9), ["younger"]);
}

#[test]
fn a_deletion_is_pending_while_another_binding_that_goes_has_a_record() {
    let mut seen = Seen::new();
    seen.put("goes", "a", 1, "");
    assert!(!seen.0.is_deletion_pending(&id(), &who("other")));
    seen.put("goes", "a", 1, "deleted");
    assert!(seen.0.is_deletion_pending(&id(), &who("other")));
    assert!(
        !seen.0.is_deletion_pending(&id(), &who("goes")),
        "not its own"
    );
    seen.see(Event::Delete(binding("goes", "a", 1, "deleted")));
    assert!(!seen.0.is_deletion_pending(&id(), &who("other")));
    let index = seen.0.index();
    assert!(index.applicants.is_empty() && index.stakes.is_empty());
}

#[test]
fn a_write_of_ours_moves_an_applicant_before_the_watch_shows_it() {
    let mut seen = Seen::new();
    seen.put("a", "a", 1, "");
    seen.put("b", "b", 2, "");
    let before = binding("a", "a", 1, "").0.unwrap();
    let mut after = binding("a", "a", 1, "refused").0.unwrap();
    after.metadata.resource_version = Some("2".to_owned());
    seen.0.wrote(&before, &after);
    assert_eq!(seen.line(9), ["b", "a"]);
    seen.see(Event::Apply(binding("a", "a", 1, "")));
    assert_eq!(
        seen.line(9),
        ["b", "a"],
        "the watch shows the version before"
    );
}

/// The work of a pass and of a change: how many applicants it handles.
#[test]
fn two_thousand_applicants_on_one_identity_cost_a_pass_no_more_than_sixty() {
    let mut seen = Seen::new();
    for number in 0..2_000 {
        seen.put(
            &format!("b{number:05}"),
            &format!("a{number}"),
            number % 3_000,
            "",
        );
    }
    let most = crate::ledger::decide::front_of_line(20);
    assert_eq!(seen.line(most).len(), most);
    let built = seen.0.applicants_built();
    for number in 0..100 {
        seen.line(most);
        seen.0.is_in_line(&who(&format!("b{number:05}")));
        seen.0.is_deletion_pending(&id(), &who("b00000"));
    }
    assert_eq!(seen.0.applicants_built(), built, "a pass builds none");
    seen.put("b00000", "a0", 0, "suspended");
    assert_eq!(seen.0.applicants_built(), built + 1, "a change builds one");
}
