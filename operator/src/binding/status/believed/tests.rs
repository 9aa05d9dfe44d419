use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::*;
use crate::binding::fixtures::{defaults, id};

const OURS: &str = "azwib-shop-orders-99bb76e015ed7c8774a80011f8ebdf81";
const ISSUER: &str = "https://oidc.example/";
const SUBJECT: &str = "system:serviceaccount:shop:orders";
const OTHER_ISSUER: &str = "https://other.example/";

/// A record of the binding's own, but for what is changed about it.
fn record(change: impl FnOnce(&mut RecordedCredential)) -> RecordedCredential {
    let mut record = RecordedCredential {
        name: OURS.to_owned(),
        resource_id: Some(id("orders").to_string()),
        id: None,
        issuer: ISSUER.to_owned(),
        subject: SUBJECT.to_owned(),
        audience: "api://AzureADTokenExchange".to_owned(),
        origin: CredentialOrigin::Created,
    };
    change(&mut record);
    record
}

fn of_other_issuer() -> RecordedCredential {
    let issuer = Issuer::parse(OTHER_ISSUER).unwrap();
    record(|it| {
        it.name = CredentialName::derive(&issuer, "shop", "orders").to_string();
        it.issuer = issuer.to_string();
    })
}

/// A binding with a status in which every step is done.
fn binding(credentials: Vec<RecordedCredential>) -> WorkloadIdentityBinding {
    let mut binding: WorkloadIdentityBinding = serde_yaml_ng::from_str(&format!(
        "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: orders, namespace: shop, \
         generation: 1}}, spec: {{identity: {{name: orders}}}}, status: {{observedGeneration: 1, identity: {{resourceId: {}, \
         clientId: c, principalId: p, tenantId: t}}, serviceAccount: {{name: orders, origin: Created}}}}}}",
        id("orders")
    ))
    .unwrap();
    let status = binding.status.as_mut().unwrap();
    status.credentials = credentials;
    let types = ConditionType::STEPS.iter().map(|step| step.as_str());
    status.conditions = types
        .chain(["Ready", "example.com/Audited"])
        .map(|type_| -> Condition {
            serde_yaml_ng::from_str(&format!(
                "{{type: {type_}, status: 'True', reason: r, message: m, lastTransitionTime: '2026-01-02T03:04:05Z'}}"
            ))
            .unwrap()
        })
        .collect();
    binding
}

fn status(binding: &WorkloadIdentityBinding) -> WorkloadIdentityBindingStatus {
    let believed = believed(binding, &defaults());
    believed.status.clone().unwrap()
}

fn done(status: &WorkloadIdentityBindingStatus) -> Vec<&str> {
    let conditions = status.conditions.iter();
    conditions.map(|it| it.type_.as_str()).collect()
}

const ALL: [&str; 7] = [
    "Granted",
    "IssuerReady",
    "IdentityResolved",
    "ServiceAccountReady",
    "CredentialReady",
    "Ready",
    "example.com/Audited",
];

#[test]
fn whose_a_recorded_credential_is_follows_from_the_binding_and_not_from_the_record() {
    let other_id = id("other").to_string();
    let cases: [(&str, RecordedCredential, &str); 13] = [
        ("created", record(|_| {}), "own"),
        (
            "pending",
            record(|it| it.origin = CredentialOrigin::Pending),
            "own",
        ),
        (
            "its own name was never adopted",
            record(|it| it.origin = CredentialOrigin::Adopted),
            "own",
        ),
        (
            "the subject is computed",
            record(|it| it.subject = "s".to_owned()),
            "own",
        ),
        (
            "an id in another spelling",
            record(|it| it.resource_id = it.resource_id.as_ref().map(|it| it.to_uppercase())),
            "own",
        ),
        (
            "adopted",
            record(|it| {
                it.name = "by-terraform".to_owned();
                it.origin = CredentialOrigin::Adopted;
            }),
            "adopted",
        ),
        ("of another cluster", of_other_issuer(), "other issuer"),
        (
            "the issuer without its slash is another",
            record(|it| {
                it.name = "n".to_owned();
                it.issuer = "https://oidc.example".to_owned();
                it.origin = CredentialOrigin::Adopted;
            }),
            "other issuer",
        ),
        (
            "a foreign name",
            record(|it| it.name = "aks-identity-binding".to_owned()),
            "foreign",
        ),
        (
            "another identity",
            record(|it| it.resource_id = Some(other_id)),
            "foreign",
        ),
        ("no id", record(|it| it.resource_id = None), "foreign"),
        (
            "an id that is none",
            record(|it| it.resource_id = Some("r".to_owned())),
            "foreign",
        ),
        (
            "adopted for somebody else",
            record(|it| {
                it.name = "n".to_owned();
                it.subject = "system:serviceaccount:shop:other".to_owned();
                it.origin = CredentialOrigin::Adopted;
            }),
            "foreign",
        ),
    ];
    let binding = binding(vec![]);
    let owner = owner(&binding, "shop", "orders");
    for (what, record, expected) in cases {
        let found = match whose(&record, &owner, &defaults().issuer) {
            Recorded::Own { identity, name } => {
                assert_eq!((identity, name.as_str()), (id("orders"), OURS), "{what}");
                "own"
            }
            Recorded::Adopted => "adopted",
            Recorded::OfOtherIssuer => "other issuer",
            Recorded::Foreign(_) => "foreign",
        };
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn a_status_of_the_bindings_own_is_believed_as_it_is() {
    for credentials in [
        vec![record(|_| {})],
        vec![record(|it| {
            it.name = "by-terraform".to_owned();
            it.origin = CredentialOrigin::Adopted;
        })],
    ] {
        let binding = binding(credentials);
        assert!(matches!(believed(&binding, &defaults()), Cow::Borrowed(_)));
    }
}

#[test]
fn no_step_is_believed_that_another_cluster_may_have_done() {
    let cloned = binding(vec![of_other_issuer()]);
    let believed = status(&cloned);
    assert_eq!(done(&believed), ["Granted", "Ready", "example.com/Audited"]);
    assert_eq!(believed.credentials, [of_other_issuer()], "it is told of");
    // A record of its own says that this cluster has been there since.
    let both = binding(vec![record(|_| {}), of_other_issuer()]);
    assert_eq!(status(&both), both.status.clone().unwrap());
    // What this cluster has said since stays as it is.
    let mut told = cloned.clone();
    for condition in &mut told.status.as_mut().unwrap().conditions {
        if condition.type_ != "Granted" {
            condition.status = "False".to_owned();
        }
    }
    assert_eq!(status(&told), told.status.unwrap());
}

#[test]
fn a_credential_that_no_record_tells_of_is_not_in_place() {
    let pending = record(|it| it.origin = CredentialOrigin::Pending);
    for credentials in [
        vec![],
        vec![pending],
        vec![record(|it| it.name = "n".to_owned())],
    ] {
        let believed = status(&binding(credentials));
        assert!(!done(&believed).contains(&"CredentialReady"));
        assert_eq!(done(&believed).len(), ALL.len() - 1);
    }
}

#[test]
fn nothing_is_believed_of_a_status_of_another_identity_or_account_but_records_of_its_own() {
    let mut of_identity = binding(vec![record(|_| {})]);
    let resolved = of_identity
        .status
        .as_mut()
        .unwrap()
        .identity
        .as_mut()
        .unwrap();
    resolved.resource_id = Some(id("other").to_string());
    let mut of_account = binding(vec![record(|_| {})]);
    let account = of_account
        .status
        .as_mut()
        .unwrap()
        .service_account
        .as_mut()
        .unwrap();
    account.name = "other".to_owned();
    for binding in [of_identity, of_account] {
        let believed = status(&binding);
        assert_eq!(done(&believed), ["example.com/Audited"], "another's");
        assert_eq!((believed.identity, believed.service_account), (None, None));
        assert_eq!(believed.observed_generation, -1);
        assert_eq!(believed.credentials, [record(|_| {})]);
    }
}

#[test]
fn what_other_defaults_gave_can_have_been_resolved() {
    let reference = |yaml: &str| -> IdentityReference { serde_yaml_ng::from_str(yaml).unwrap() };
    let by_id = format!("{{resourceId: {}}}", id("orders"));
    for (yaml, can) in [
        ("{name: orders}", true),
        ("{name: ORDERS, resourceGroup: RG}", true),
        ("{name: other}", false),
        ("{name: orders, resourceGroup: other}", false),
        (
            "{name: orders, subscriptionId: 00000000-0000-0000-0000-000000000002}",
            false,
        ),
        (by_id.as_str(), true),
        ("{}", false),
    ] {
        assert_eq!(can_mean(&reference(yaml), &id("orders")), can, "{yaml}");
    }
}

#[test]
fn records_of_other_issuers_are_taken_off_where_there_are_any() {
    let issuer = defaults().issuer;
    assert!(without_other_issuers(&binding(vec![record(|_| {})]), &issuer).is_none());
    let both = binding(vec![record(|_| {}), of_other_issuer()]);
    let own = without_other_issuers(&both, &issuer).unwrap();
    assert_eq!(own.status.unwrap().credentials, [record(|_| {})]);
}
