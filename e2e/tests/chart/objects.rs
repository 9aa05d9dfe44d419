//! Objects of Kubernetes as their fields, one by one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// Objects by kind and name, as `Deployment azwib-operator`.
pub(crate) type Objects = BTreeMap<String, Value>;

/// # Panics
/// An object has no kind or name, or is there twice.
pub(crate) fn objects(yaml: &str) -> Objects {
    let mut objects = Objects::new();
    for document in serde_yaml_ng::Deserializer::from_str(yaml) {
        let mut object = Value::deserialize(document).unwrap();
        if object.is_null() {
            continue;
        }
        whole_numbers(&mut object);
        let kind = object["kind"].as_str().unwrap();
        let name = object["metadata"]["name"].as_str().unwrap();
        let key = format!("{kind} {name}");
        let before = objects.insert(key, object);
        assert!(before.is_none(), "twice: {before:?}");
    }
    objects
}

/// YAML knows `20` and `20.0`, which are one number to the API server.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = number.as_f64().filter(|it| it.fract() == 0.0) {
                *value = json!(whole as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

/// The fields of an object: from the path of each to its value.
pub(crate) fn fields(object: &Value) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::new();
    collect("", object, &mut fields);
    fields
}

fn collect(path: &str, value: &Value, fields: &mut BTreeMap<String, Value>) {
    let below = |key: &str| format!("{path}{}{key}", if path.is_empty() { "" } else { "/" });
    match value {
        Value::Object(map) if !map.is_empty() => map
            .iter()
            .for_each(|(key, value)| collect(&below(key), value, fields)),
        Value::Array(items) if !items.is_empty() => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| collect(&below(&index.to_string()), value, fields)),
        _ => {
            fields.insert(path.to_owned(), value.clone());
        }
    }
}

/// What differs, a line for each field that goes (`-`) or comes (`+`). An object that goes is one line.
pub(crate) fn differences(before: &Objects, after: &Objects) -> Vec<String> {
    let mut lines = Vec::new();
    for key in before.keys().filter(|it| !after.contains_key(*it)) {
        lines.push(format!("- {key}"));
    }
    for (key, object) in after {
        let old = before.get(key).map(fields).unwrap_or_default();
        let new = fields(object);
        for (path, value) in old.iter().filter(|(path, it)| new.get(*path) != Some(it)) {
            lines.push(format!("- {key}: {path} = {value}"));
        }
        for (path, value) in new.iter().filter(|(path, it)| old.get(*path) != Some(it)) {
            lines.push(format!("+ {key}: {path} = {value}"));
        }
    }
    lines
}
