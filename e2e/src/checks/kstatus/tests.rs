use serde_json::{Value, json};

use super::*;

fn condition(type_: &str, status: &str, reason: &str, generation: i64) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": "so it is",
        "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

/// A binding that is done, in its second generation.
fn ready() -> SeenBinding {
    let conditions = [
        ("Ready", "Succeeded"),
        ("Granted", "GrantsNotRequired"),
        ("IssuerReady", "IssuerConfigured"),
        ("IdentityResolved", "Resolved"),
        ("ServiceAccountReady", "Applied"),
        ("CredentialReady", "InPlace"),
    ]
    .map(|(type_, reason)| condition(type_, "True", reason, 2));
    let credential = json!({
        "name": "azwib-shop-orders", "resourceId": "/subscriptions/s", "issuer": "https://oidc.example/",
        "subject": "system:serviceaccount:shop:orders", "audience": "a", "origin": "Created",
    });
    seen(json!({ "observedGeneration": 2, "credentials": [credential], "conditions": conditions }))
}

/// A binding that waits for its credential to spread.
fn propagating() -> SeenBinding {
    let mut binding = ready();
    let conditions = &mut binding.status["conditions"];
    conditions[0] = condition("Ready", "False", "Propagating", 2);
    push(
        conditions,
        condition("Reconciling", "True", "Propagating", 2),
    );
    binding
}

fn seen(status: Value) -> SeenBinding {
    SeenBinding {
        namespace: "shop".to_owned(),
        name: "orders".to_owned(),
        uid: "1".to_owned(),
        generation: 2,
        terminating: false,
        status,
    }
}

fn push(conditions: &mut Value, condition: Value) {
    conditions.as_array_mut().unwrap().push(condition);
}

fn changed(mut binding: SeenBinding, change: impl FnOnce(&mut Value)) -> Vec<SeenBinding> {
    change(&mut binding.status);
    vec![binding]
}

#[test]
fn what_keeps_the_contract_has_no_breach() {
    let before = seen(json!({ "observedGeneration": -1 }));
    let mut stalled = propagating();
    stalled.status["conditions"][0] = condition("Ready", "False", "PolicyDenied", 2);
    stalled.status["conditions"][5] = condition("CredentialReady", "False", "PolicyDenied", 2);
    stalled.status["conditions"][6] = condition("Stalled", "True", "PolicyDenied", 2);
    let mut edited = ready();
    edited.generation = 3;
    let mut suspended = ready();
    suspended.status["conditions"][0] = condition("Ready", "False", "Suspended", 2);
    let unparsed = seen(json!({
        "observedGeneration": 2, "credentials": "of any shape",
        "conditions": [condition("Ready", "False", "InvalidSpec", 2), condition("Stalled", "True", "InvalidSpec", 2)],
    }));
    let history = [
        before,
        propagating(),
        ready(),
        stalled,
        suspended,
        unparsed,
        edited,
    ];
    assert_eq!(breaches(&history), Vec::<String>::new());
}

#[test]
fn kstatus_reads_a_status_in_its_own_order() {
    let of = |binding: &SeenBinding| {
        let status = serde_json::from_value(binding.status.clone()).unwrap();
        kstatus(binding, &status)
    };
    assert_eq!(of(&ready()), Kstatus::Current);
    assert_eq!(of(&propagating()), Kstatus::InProgress);
    let mut edited = ready();
    edited.generation = 3;
    assert_eq!(of(&edited), Kstatus::InProgress);
    edited.terminating = true;
    assert_eq!(of(&edited), Kstatus::Terminating);
    let mut stalled = propagating();
    stalled.status["conditions"][6]["type"] = json!("Stalled");
    assert_eq!(of(&stalled), Kstatus::Failed);
    let silent = seen(json!({ "observedGeneration": 2 }));
    assert_eq!(of(&silent), Kstatus::Current, "nothing said is Current");
}

#[test]
fn every_breach_of_the_contract_is_found() {
    let both = |status: &mut Value| {
        let stalled = condition("Stalled", "True", "Propagating", 2);
        push(&mut status["conditions"], stalled);
    };
    let table: Vec<(&str, Vec<SeenBinding>)> = vec![
        ("cannot be read", changed(ready(), |it| *it = json!("done"))),
        ("cannot be read", changed(ready(), |it| *it = Value::Null)),
        ("observedGeneration goes back", {
            let earlier = changed(propagating(), |it| {
                *it =
                    serde_json::from_str(&it.to_string().replace("eneration\":2", "eneration\":1"))
                        .unwrap();
            });
            [vec![ready()], earlier].concat()
        }),
        ("observedGeneration is ahead", {
            let mut early = propagating();
            early.generation = 1;
            vec![early]
        }),
        (
            "Current before the work is done",
            changed(ready(), |it| *it = json!({ "observedGeneration": 2 })),
        ),
        (
            "Current before the work is done",
            changed(ready(), |it| it["credentials"] = json!([])),
        ),
        (
            "Current before the work is done",
            changed(ready(), |it| {
                it["credentials"][0]["origin"] = json!("Pending")
            }),
        ),
        (
            "Current before the work is done",
            changed(ready(), |it| {
                it["conditions"][5] = condition("CredentialReady", "False", "Creating", 2)
            }),
        ),
        (
            "Reconciling and Stalled at once",
            changed(propagating(), both),
        ),
        (
            "Ready, and yet",
            changed(ready(), |it| {
                push(
                    &mut it["conditions"],
                    condition("Reconciling", "True", "Propagating", 2),
                )
            }),
        ),
        (
            "neither Ready, Reconciling nor Stalled",
            changed(propagating(), |it| {
                drop(it["conditions"].as_array_mut().unwrap().pop())
            }),
        ),
        (
            "Reconciling stands without being true",
            changed(propagating(), |it| {
                it["conditions"][6]["status"] = json!("False")
            }),
        ),
        (
            "Reconciling has another reason than Ready",
            changed(propagating(), |it| {
                it["conditions"][6]["reason"] = json!("Creating")
            }),
        ),
        (
            "Stalled for Propagating",
            changed(propagating(), |it| {
                it["conditions"][6]["type"] = json!("Stalled")
            }),
        ),
        (
            "Ready is missing",
            changed(ready(), |it| {
                drop(it["conditions"].as_array_mut().unwrap().remove(0))
            }),
        ),
        (
            "IdentityResolved is missing",
            changed(ready(), |it| {
                drop(it["conditions"].as_array_mut().unwrap().remove(3))
            }),
        ),
        (
            "Granted stands twice",
            changed(ready(), |it| {
                push(
                    &mut it["conditions"],
                    condition("Granted", "True", "GrantsNotRequired", 2),
                )
            }),
        ),
        (
            "Granted does not carry the observed generation",
            changed(ready(), |it| {
                it["conditions"][1]["observedGeneration"] = json!(1)
            }),
        ),
        (
            "Granted does not carry the observed generation",
            changed(ready(), |it| {
                it["conditions"][1]
                    .as_object_mut()
                    .unwrap()
                    .remove("observedGeneration");
            }),
        ),
        (
            "Suspended, and yet Reconciling",
            changed(propagating(), |it| {
                it["conditions"][0]["reason"] = json!("Suspended");
                it["conditions"][6]["reason"] = json!("Suspended");
            }),
        ),
        (
            "Stalled for WaitingForCredential",
            changed(propagating(), |it| {
                it["conditions"][0]["reason"] = json!("WaitingForCredential");
                it["conditions"][6] = condition("Stalled", "True", "WaitingForCredential", 2);
            }),
        ),
        (
            "Ready says nothing",
            changed(ready(), |it| it["conditions"][0]["message"] = json!("")),
        ),
        (
            "Ready for Propagating",
            changed(ready(), |it| {
                it["conditions"][0]["reason"] = json!("Propagating")
            }),
        ),
        (
            "CredentialReady=True for Creating",
            changed(ready(), |it| {
                it["conditions"][5]["reason"] = json!("Creating")
            }),
        ),
        (
            "OutOfLuck is no reason of Ready",
            changed(propagating(), |it| {
                it["conditions"][0]["reason"] = json!("OutOfLuck")
            }),
        ),
        (
            "Granted=False for WouldBeRefused",
            changed(propagating(), |it| {
                it["conditions"][1] = condition("Granted", "False", "WouldBeRefused", 2);
            }),
        ),
        (
            "Granted=True for NotGranted",
            changed(ready(), |it| {
                it["conditions"][1]["reason"] = json!("NotGranted")
            }),
        ),
        (
            "WouldBeRefused is no reason of Ready",
            changed(propagating(), |it| {
                it["conditions"][0]["reason"] = json!("WouldBeRefused")
            }),
        ),
        (
            "CredentialExists is no reason of Granted",
            changed(propagating(), |it| {
                it["conditions"][1] = condition("Granted", "False", "CredentialExists", 2);
            }),
        ),
        (
            "Lucky is no condition of a binding",
            changed(ready(), |it| {
                push(
                    &mut it["conditions"],
                    condition("Lucky", "True", "Lucky", 2),
                )
            }),
        ),
    ];
    for (expected, history) in table {
        let found = breaches(&history);
        assert!(
            found.iter().any(|breach| breach.contains(expected)),
            "{expected} is not among {found:?}"
        );
    }
}

#[test]
fn each_way_of_being_granted_is_taken() {
    for reason in ["Granted", "GrantsNotRequired", "WouldBeRefused"] {
        let seen = changed(ready(), |it| {
            it["conditions"][1]["reason"] = json!(reason);
        });
        assert_eq!(breaches(&seen), Vec::<String>::new(), "{reason}");
    }
    for reason in ["NotGranted", "GrantQuotaReached", "Reserved"] {
        let seen = changed(propagating(), |it| {
            for at in [0, 6] {
                it["conditions"][at]["reason"] = json!(reason);
            }
            it["conditions"][1] = condition("Granted", "False", reason, 2);
        });
        assert_eq!(breaches(&seen), Vec::<String>::new(), "{reason}");
    }
}
