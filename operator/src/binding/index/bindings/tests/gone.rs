//! What has gone with something on record: another process may have something under way for it.

use std::time::Duration;

use azwib_crds::CredentialName;

use super::*;

/// The binding with this UID, with a credential on record or without.
fn with_uid(uid: &str, identity: &str, is_recorded: bool) -> Guarded {
    let issuer = "https://oidc.example/";
    let name = CredentialName::derive(&Issuer::parse(issuer).unwrap(), "shop", "orders");
    let status = match is_recorded {
        true => format!(
            "{{credentials: [{{name: {name}, resourceId: {ID}{identity}, issuer: '{issuer}', audience: a, origin: Created, \
             subject: 'system:serviceaccount:shop:orders'}}]}}"
        ),
        false => "null".to_owned(),
    };
    let mut binding = binding("a", "orders", identity, &status);
    binding.meta_mut().uid = Some(uid.to_owned());
    binding
}

fn unreadable() -> Guarded {
    serde_yaml_ng::from_str(
        "{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {name: a, namespace: shop, uid: u}, \
         spec: {credential: 7}}",
    )
    .unwrap()
}

/// The identities of what has gone.
fn gone(bindings: &Bindings) -> Vec<String> {
    let gone = bindings.gone_within(Duration::from_secs(60));
    let ids = gone.into_iter().flat_map(|(_, identities)| identities);
    ids.map(|id| id.name().to_owned()).collect()
}

#[test]
fn one_that_goes_while_another_process_leads_is_remembered_if_it_had_something() {
    for is_recorded in [true, false] {
        let bindings = bindings();
        bindings.stand_by();
        for event in [Event::Apply, Event::Delete] {
            let event = event(with_uid("u", "one", is_recorded));
            bindings.follow(&event);
        }
        let expected = if is_recorded { vec!["one"] } else { vec![] };
        assert_eq!(gone(&bindings), expected);
        bindings.take_over();
        assert_eq!(gone(&bindings), expected, "the term goes by it");
    }
}

#[test]
fn one_whose_name_another_bears_in_the_next_list_is_remembered() {
    let bindings = bindings();
    bindings.stand_by();
    for event in [
        Event::Apply(with_uid("u", "one", true)),
        Event::Init,
        Event::InitApply(with_uid("other", "two", false)),
        Event::InitDone,
    ] {
        bindings.follow(&event);
    }
    assert_eq!(gone(&bindings), ["one"]);
    assert_eq!(of(&bindings, "two"), ["a"]);
}

#[test]
fn one_that_goes_in_a_term_without_having_been_cleaned_up_is_remembered_after_it() {
    for is_cleaned_up in [false, true] {
        let bindings = bindings();
        bindings.take_over();
        let event = Event::Apply(with_uid("u", "one", true));
        bindings.follow(&event);
        if is_cleaned_up {
            bindings.cleaned_up("u");
        }
        let event = Event::Delete(with_uid("u", "one", true));
        bindings.follow(&event);
        assert!(gone(&bindings).is_empty(), "this process cleans up");
        bindings.stand_by();
        let expected = if is_cleaned_up { vec![] } else { vec!["one"] };
        assert_eq!(gone(&bindings), expected);
    }
}

#[test]
fn one_that_could_not_be_read_any_more_is_remembered() {
    let bindings = bindings();
    bindings.stand_by();
    let event = Event::Apply(with_uid("u", "one", true));
    bindings.follow(&event);
    let event = Event::Apply(unreadable());
    bindings.follow(&event);
    bindings.take_over();
    bindings.stand_by();
    let known = bindings.identities_of(&bindings.all()[0], None);
    assert_eq!(known.len(), 1, "{known:?}");
    let event = Event::Delete(unreadable());
    bindings.follow(&event);
    assert_eq!(gone(&bindings), ["one"]);
    assert!(bindings.all().is_empty());
}

#[test]
fn those_that_cannot_be_read_are_among_all() {
    let bindings = bindings();
    bindings.follow(&Event::Apply(unreadable()));
    bindings.take_over();
    assert_eq!(bindings.all(), bindings.unreadable());
    assert_eq!(bindings.all().len(), 1);
}

#[test]
fn an_identity_with_letters_of_any_alphabet_is_remembered_like_others() {
    let bindings = bindings();
    let id = ManagedIdentityId::new("00000000-0000-0000-0000-000000000001", "rg-İzmir", "one");
    let id = id.unwrap();
    let mut binding = with_uid("u", "one", true);
    let readable = binding.0.as_mut().unwrap();
    readable.spec.identity.resource_id = Some(id.to_string());
    readable.status.as_mut().unwrap().credentials[0].resource_id = Some(id.to_string());
    let who = reference(&binding);
    bindings.stand_by();
    bindings.follow(&Event::Apply(binding.clone()));
    assert_eq!(bindings.identities(), std::slice::from_ref(&id));
    assert_eq!(
        bindings.identities_of(&who, None),
        std::slice::from_ref(&id)
    );
    bindings.follow(&Event::Delete(binding));
    let gone = bindings.gone_within(Duration::from_secs(60));
    assert_eq!(gone, [(who, vec![id])]);
}
