//! Objects of all kinds that a schema allows, and some that it does not: each field is there or left out, at its bounds or
//! somewhere between them. What texts a rule asks for comes from [`super::agreement`].

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use super::agreement::{account, audience, group, guid, identity_name, resource_id};
use super::{ID, SUBSCRIPTION};

/// Longer texts are not made where the schema has no pattern for them: an object has to fit into a request.
const LONGEST: u64 = 2048;

/// So many values of a schema, the same in every run. `path` is where it stands in an object, such as `spec`.
pub(super) fn values(path: &str, schema: &Value, count: usize) -> Vec<Value> {
    let strategy = value(path, schema);
    let mut runner = TestRunner::deterministic();
    let trees = (0..count).filter_map(|_| strategy.new_tree(&mut runner).ok());
    trees.map(|tree| tree.current()).collect()
}

fn value(path: &str, schema: &Value) -> BoxedStrategy<Value> {
    if let Some((usual, others)) = texts(path) {
        return prop_oneof![3 => Just(usual.to_owned()), 2 => others]
            .prop_map(Value::from)
            .boxed();
    }
    if let Some(values) = schema["enum"].as_array() {
        return select(values.clone()).boxed();
    }
    match schema["type"].as_str() {
        Some("object") => object(path, schema),
        Some("array") => {
            let most = schema["maxItems"].as_u64().unwrap_or(3) as usize;
            let items = value(&format!("{path}[]"), &schema["items"]);
            prop_oneof![
                6 => prop::collection::vec(items.clone(), 0..=most.min(3)),
                1 => prop::collection::vec(items, most),
            ]
            .prop_map(Value::from)
            .boxed()
        }
        Some("integer") => {
            let bound =
                |name: &str, otherwise| schema[name].as_f64().map_or(otherwise, |it| it as i64);
            let (least, most) = (bound("minimum", -1), bound("maximum", 1000));
            prop_oneof![Just(least), Just(most), least..=most]
                .prop_map(Value::from)
                .boxed()
        }
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        _ => text(schema),
    }
}

/// A text that is usual in a field whose texts have to keep a rule, and texts of all kinds for it.
fn texts(path: &str) -> Option<(&'static str, BoxedStrategy<String>)> {
    Some(match path {
        "spec.identity.resourceId" => (ID, resource_id()),
        "spec.identity.name" => ("orders", identity_name()),
        "spec.identity.resourceGroup" => ("rg-shop", group()),
        "spec.identity.subscriptionId" => (SUBSCRIPTION, guid()),
        "spec.serviceAccount.name" => ("orders", account()),
        "spec.credential.audience" => ("api://AzureADTokenExchange", audience()),
        _ => return None,
    })
}

fn object(path: &str, schema: &Value) -> BoxedStrategy<Value> {
    let required = schema["required"].as_array();
    let fields = schema["properties"].as_object().into_iter().flatten();
    let fields: Vec<_> = fields
        .map(|(name, field)| {
            let is_required = required.is_some_and(|it| it.contains(&json!(name)));
            let value = value(&format!("{path}.{name}"), field);
            let value = match is_required {
                true => value.prop_map(Some).boxed(),
                false => prop::option::weighted(0.7, value).boxed(),
            };
            (Just(name.clone()), value)
        })
        .collect();
    let given = fields.prop_map(|fields| {
        let given = fields.into_iter();
        given
            .filter_map(|(name, value)| Some((name, value?)))
            .collect::<Map<_, _>>()
    });
    let is_identity = path == "spec.identity";
    (given, any::<bool>())
        .prop_map(move |(mut fields, by_id)| {
            // Only one of the two forms is ever accepted.
            if is_identity {
                fields.retain(|name, _| (name == "resourceId") == by_id);
            }
            Value::Object(fields)
        })
        .boxed()
}

fn text(schema: &Value) -> BoxedStrategy<Value> {
    if schema["format"] == "date-time" {
        let times = ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678901+05:30"];
        return select(times.to_vec()).prop_map(Value::from).boxed();
    }
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
    if let (false, Ok(texts)) = (pattern.is_empty(), string_regex(pattern)) {
        return texts.prop_map(Value::from).boxed();
    }
    let bound =
        |name: &str, otherwise| schema[name].as_u64().unwrap_or(otherwise).min(LONGEST) as usize;
    let (least, most) = (bound("minLength", 0), bound("maxLength", 40));
    let length = prop_oneof![1 => Just(least), 1 => Just(most), 6 => least..=most.min(least + 40)];
    (select(vec!["x", "ß", "日", "\n", "😀"]), length)
        .prop_map(|(letter, length)| Value::from(letter.repeat(length)))
        .boxed()
}
