//! A new binding is accepted exactly where the newtypes take its texts: what the API server lets in and the operator cannot
//! read, on a field that cannot be corrected, would be lost.

use azwib_crds::{Audience, ManagedIdentityId, WorkloadIdentityBinding};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{
    Api,
    api::{DynamicObject, ObjectMeta},
};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::{ID, SUBSCRIPTION, binding, bindings, cluster, dry_run, refusal, with};

/// How many values of a field are tried.
const VALUES: usize = 400;

/// How many are under way at once.
const AT_ONCE: usize = 16;

/// Letters that were letters before every Kubernetes from 1.29 on was built, and whatever else there is: white space and
/// control characters of all kinds among it.
fn any_character() -> BoxedStrategy<String> {
    let pattern = |pattern: &str| string_regex(pattern).map_err(|it| it.to_string());
    let mut characters = vec![
        select(vec![
            " ", "\t", "\n", "\r", "\0", "\u{b}", "\u{7f}", "\u{85}", "\u{a0}", "\u{ad}",
            "\u{200b}", "\u{2028}", "\u{202e}", "\u{3000}", "\u{feff}", "/", "\\", "%", "%20", "?",
            "#", ".", "..", "-", "_", "(", ")", ":", "'", "\"", "ß", "ẞ", "ı", "İ", "ſ",
            "\u{212a}", "o\u{308}", "日", "Ⅷ", "½", "²", "٣", "😀", "𝔄", "\u{e000}", "\u{fdd0}",
        ])
        .prop_map(str::to_owned)
        .boxed(),
        "[ -~]".boxed(),
        "[a-zA-Z0-9]".boxed(),
    ];
    for class in ["[\\p{age:15.0}--\\p{Cn}]", "[\\p{L}&&\\p{age:15.0}]"] {
        characters.extend(pattern(class).map(|it| it.boxed()).ok());
    }
    assert_eq!(characters.len(), 5);
    proptest::strategy::Union::new(characters).boxed()
}

/// The text as it is, or with some other characters in it, at its ends most of all, or cut, or repeated.
pub(super) fn about(text: &str) -> BoxedStrategy<String> {
    let text = text.to_owned();
    let (own, end) = (Just(text.clone()), Just(text.clone()));
    let (cut, cased) = (Just(text.clone()), Just(text.clone()));
    prop_oneof![
        2 => own,
        2 => (end, any_character(), any::<bool>()).prop_map(|(text, other, first)| {
            if first { format!("{other}{text}") } else { format!("{text}{other}") }
        }),
        3 => (Just(text), any_character(), any::<prop::sample::Index>()).prop_map(|(text, other, at)| {
            let mut chars: Vec<_> = text.chars().map(String::from).collect();
            if !chars.is_empty() {
                let at = at.index(chars.len());
                chars[at] = other;
            }
            chars.concat()
        }),
        1 => (cut, any::<prop::sample::Index>()).prop_map(|(text, at)| {
            text.chars().take(at.index(text.chars().count() + 1)).collect()
        }),
        1 => cased.prop_map(|text| text.to_uppercase()),
    ]
    .boxed()
}

/// Texts of some length around a bound, of characters of some kind.
fn long(most: usize) -> BoxedStrategy<String> {
    let character = prop_oneof![Just("x".to_owned()), Just("ß".to_owned()), any_character()];
    (character, most.saturating_sub(2)..most + 3)
        .prop_map(|(character, length)| character.repeat(length))
        .boxed()
}

pub(super) fn group() -> BoxedStrategy<String> {
    prop_oneof![
        about("rg-größe"),
        about("(rg)_a.b"),
        long(90),
        prop::collection::vec(any_character(), 0..6).prop_map(|it| it.concat()),
    ]
    .boxed()
}

pub(super) fn identity_name() -> BoxedStrategy<String> {
    prop_oneof![
        about("orders"),
        long(128),
        long(3),
        prop::collection::vec(any_character(), 0..6).prop_map(|it| it.concat()),
    ]
    .boxed()
}

pub(super) fn guid() -> BoxedStrategy<String> {
    prop_oneof![
        about("0f5D2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f"),
        Just("{0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f}".to_owned()),
        Just("0f5d2c1e9d3a4b6c8e7f1a2b3c4d5e6f".to_owned()),
        Just("urn:uuid:0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f".to_owned()),
        "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{11,13}",
    ]
    .boxed()
}

pub(super) fn resource_id() -> BoxedStrategy<String> {
    let built = |(subscription, group, name): (String, String, String)| {
        format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        )
    };
    let one_is_other = prop_oneof![
        (guid(), Just("rg".to_owned()), Just("orders".to_owned())),
        (
            Just(SUBSCRIPTION.to_owned()),
            group(),
            Just("orders".to_owned())
        ),
        (
            Just(SUBSCRIPTION.to_owned()),
            Just("rg".to_owned()),
            identity_name()
        ),
    ];
    prop_oneof![
        2 => one_is_other.prop_map(built),
        1 => about(ID),
    ]
    .boxed()
}

pub(super) fn audience() -> BoxedStrategy<String> {
    prop_oneof![
        about("api://AzureADTokenExchange"),
        about("日本 a"),
        long(600),
        prop::collection::vec(any_character(), 0..5).prop_map(|it| it.concat()),
    ]
    .boxed()
}

pub(super) fn account() -> BoxedStrategy<String> {
    prop_oneof![
        about("orders.v2"),
        about("a-0"),
        long(253),
        prop::collection::vec(any_character(), 0..5).prop_map(|it| it.concat()),
    ]
    .boxed()
}

/// Values of a strategy, the same in every run, each once.
pub(super) fn values<T: std::fmt::Debug + PartialEq>(strategy: &BoxedStrategy<T>) -> Vec<T> {
    let mut runner = TestRunner::deterministic();
    let mut values = Vec::new();
    for _ in 0..VALUES {
        let value = strategy
            .new_tree(&mut runner)
            .map(|tree| tree.current())
            .ok();
        values.extend(value.filter(|value| !values.contains(value)));
    }
    values
}

/// Whether a binding with this spec would be created; what is stored then is what the operator reads.
async fn is_accepted(bindings: &Api<DynamicObject>, spec: &Value) -> anyhow::Result<bool> {
    let created = bindings.create(&dry_run(), &binding("tried", spec)).await;
    let stored = created
        .as_ref()
        .ok()
        .map(serde_json::to_value)
        .transpose()?;
    let accepted = refusal(created)?.is_none();
    if let Some(stored) = stored {
        serde_json::from_value::<WorkloadIdentityBinding>(stored)?;
    }
    Ok(accepted)
}

/// Tries a value of a field for each of `values` and tells where the API server and the parser disagree.
async fn disagreements<T: Clone + serde::Serialize>(
    values: &[T],
    spec: impl Fn(Value) -> Value,
    parses: impl Fn(&T) -> bool,
) -> anyhow::Result<Vec<(Value, bool)>> {
    let bindings = bindings().await?;
    let tried: Vec<_> = stream::iter(values)
        .map(|value| {
            let (bindings, parses) = (&bindings, parses(value));
            let value = json!(value);
            let spec = spec(value.clone());
            async move { anyhow::Ok((value, parses, is_accepted(bindings, &spec).await?)) }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let of = |verdict: bool| tried.iter().filter(|it| it.1 == verdict).count();
    assert!(
        of(true) > 20 && of(false) > 20,
        "{} {}",
        of(true),
        of(false)
    );
    let differ = tried.into_iter().filter(|it| it.1 != it.2);
    Ok(differ.map(|(value, parses, _)| (value, parses)).collect())
}

async fn assert_agreement(
    field: &str,
    texts: &BoxedStrategy<String>,
    parses: impl Fn(&str) -> bool,
) -> anyhow::Result<()> {
    let spec = |value| match field {
        "identity.resourceId" => json!({ "identity": { "resourceId": value } }),
        _ => with(field, value),
    };
    let differ = disagreements(&values(texts), spec, |text: &String| parses(text)).await?;
    assert!(
        differ.is_empty(),
        "{field}: the parser takes these (true) and the API server does not, or the other way round: {differ:?}"
    );
    Ok(())
}

#[tokio::test]
async fn resource_ids_are_accepted_exactly_where_they_are_parsed() -> anyhow::Result<()> {
    let parses = |text: &str| ManagedIdentityId::parse(text).is_ok();
    assert_agreement("identity.resourceId", &resource_id(), parses).await
}

#[tokio::test]
async fn the_parts_of_an_identity_are_accepted_exactly_where_they_are_parsed() -> anyhow::Result<()>
{
    let id = |subscription: &str, group: &str, name: &str| {
        ManagedIdentityId::new(subscription, group, name).is_ok()
    };
    assert_agreement("identity.name", &identity_name(), |name| {
        id(SUBSCRIPTION, "rg", name)
    })
    .await?;
    assert_agreement("identity.resourceGroup", &group(), |group| {
        id(SUBSCRIPTION, group, "orders")
    })
    .await?;
    assert_agreement("identity.subscriptionId", &guid(), |guid| {
        id(guid, "rg", "orders")
    })
    .await
}

#[tokio::test]
async fn audiences_are_accepted_exactly_where_they_are_parsed() -> anyhow::Result<()> {
    let parses = |text: &str| Audience::parse(text).is_ok();
    assert_agreement("credential.audience", &audience(), parses).await
}

#[tokio::test]
async fn account_names_are_accepted_exactly_where_kubernetes_takes_them() -> anyhow::Result<()> {
    let accounts: Api<ServiceAccount> =
        Api::namespaced(cluster().await?.client().await?, "default");
    let names = values(&account());
    let taken: Vec<String> = stream::iter(&names)
        .map(|name| {
            let account = ServiceAccount {
                metadata: ObjectMeta {
                    name: Some(name.clone()),
                    ..ObjectMeta::default()
                },
                ..ServiceAccount::default()
            };
            let accounts = &accounts;
            async move {
                let taken = match accounts.create(&dry_run(), &account).await {
                    Err(kube::Error::Api(answer)) if matches!(answer.code, 400 | 422) => None,
                    answer => answer.map(|_| Some(name.clone()))?,
                };
                anyhow::Ok(taken)
            }
        })
        .buffered(AT_ONCE)
        .try_filter_map(|it| std::future::ready(Ok(it)))
        .try_collect()
        .await?;
    let spec = |value| with("serviceAccount.name", value);
    let differ = disagreements(&names, spec, |name: &String| taken.contains(name)).await?;
    assert!(differ.is_empty(), "{differ:?}");
    Ok(())
}

#[tokio::test]
async fn token_lifetimes_are_accepted_exactly_where_they_are_read() -> anyhow::Result<()> {
    let whole = (3500_i64..86500).prop_map(|it| json!(it));
    let texts = prop_oneof![
        Just(json!("7200")),
        Just(json!(7200.5)),
        Just(json!(7200.0)),
        Just(json!(3.6e3)),
        Just(json!(true)),
        any::<i64>().prop_map(|it| json!(it)),
        (-5..5_i64).prop_map(|it| json!(3600 + it)),
        (-5..5_i64).prop_map(|it| json!(86400 + it)),
    ];
    let values = values(&prop_oneof![whole, texts].boxed());
    let parses = |value: &Value| {
        let whole = value.as_f64().filter(|it| it.fract() == 0.0);
        whole.is_some_and(|it| (3600.0..=86400.0).contains(&it))
    };
    let spec = |value| with("serviceAccount.tokenExpirationSeconds", value);
    let differ = disagreements(&values, spec, parses).await?;
    assert!(differ.is_empty(), "{differ:?}");
    Ok(())
}
