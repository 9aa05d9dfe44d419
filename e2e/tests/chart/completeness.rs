//! Values, their schema and the table of what they do name the same values.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::tools::{chart, template};
use crate::values::{rows, with};

pub(crate) const CHARTS: [&str; 2] = ["azwib", "azwib-grants"];

/// Helm sets them where the chart is part of another one.
const OF_HELM: [&str; 2] = ["enabled", "global"];

/// Objects that are one value: they go to Kubernetes as they are.
const WHOLE: [&str; 2] = ["affinity", "resources"];

pub(crate) fn values_of(name: &str) -> Value {
    let text = fs::read_to_string(chart(name).join("values.yaml")).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

fn schema_of(name: &str) -> Value {
    let text = fs::read_to_string(chart(name).join("values.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A schema, or the one that it refers to.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// The paths of all values that a schema knows.
fn in_schema(name: &str) -> BTreeSet<String> {
    fn walk(root: &Value, schema: &Value, path: &str, paths: &mut BTreeSet<String>) {
        match resolved(root, schema)["properties"].as_object() {
            Some(properties) if !WHOLE.contains(&path) => {
                for (key, schema) in properties {
                    let dot = if path.is_empty() { "" } else { "." };
                    walk(root, schema, &format!("{path}{dot}{key}"), paths);
                }
            }
            _ => {
                paths.insert(path.to_owned());
            }
        }
    }
    let (schema, mut paths) = (schema_of(name), BTreeSet::new());
    walk(&schema, &schema, "", &mut paths);
    paths.retain(|path| !OF_HELM.contains(&&**path));
    paths
}

/// The value at a path, and None where there is none; null is a value.
fn at<'a>(values: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(values, |value, key| value.get(key))
}

#[test]
fn the_values_the_schema_and_the_table_name_the_same_values() {
    for name in CHARTS {
        let schema = in_schema(name);
        assert!(schema.len() > 2, "{schema:?}");
        let values = values_of(name);
        for path in &schema {
            assert!(at(&values, path).is_some(), "{name}: {path} has no default");
        }
        let tried: BTreeSet<_> = rows()
            .into_iter()
            .filter(|row| row.chart == name)
            .map(|row| row.value)
            .collect();
        let missing: Vec<_> = schema.difference(&tried).collect();
        assert!(missing.is_empty(), "{name}: not in values/: {missing:?}");
        // A row may also set several values that need each other, as `cloud`.
        let is_group = |it: &str| {
            schema
                .iter()
                .any(|path| path.starts_with(&format!("{it}.")))
        };
        let unknown: Vec<_> = tried
            .difference(&schema)
            .filter(|it| !is_group(it))
            .collect();
        assert!(unknown.is_empty(), "{name}: no value: {unknown:?}");
        // Whatever else values.yaml has, the schema would refuse: it is closed.
        template(name, &values, &[]).unwrap();
    }
}

#[test]
fn every_object_of_a_schema_that_names_its_fields_is_closed() {
    fn walk(schema: &Value, path: &str) {
        if schema["properties"].is_object() {
            assert_eq!(schema["additionalProperties"], false, "{path}");
        }
        let children: Vec<(String, &Value)> = match schema {
            Value::Object(fields) => fields.iter().map(|(key, it)| (key.clone(), it)).collect(),
            Value::Array(items) => items.iter().map(|it| ("[]".to_owned(), it)).collect(),
            _ => Vec::new(),
        };
        for (key, child) in children {
            walk(child, &format!("{path}/{key}"));
        }
    }
    CHARTS.iter().for_each(|name| walk(&schema_of(name), name));
}

#[test]
fn each_value_of_another_kind_is_refused_by_its_name() {
    for name in CHARTS {
        for path in in_schema(name) {
            let default = at(&values_of(name), &path).cloned().unwrap();
            let other = match default {
                Value::Object(_) | Value::Array(_) => json!("wrong"),
                _ => json!({ "wrong": true }),
            };
            let message = template(name, &with(&Default::default(), &path, other), &[])
                .expect_err(&format!("{name}: {path} is to be refused"));
            let place = format!("at '/{}", path.replace('.', "/"));
            assert!(message.contains(&place), "{path}: {message}");
        }
    }
}

/// Null takes a default away. What templates need is then missing, and the schema says so; the rest is as if it were empty.
#[test]
fn null_is_refused_by_its_name_or_means_nothing() {
    for name in CHARTS {
        for path in in_schema(name) {
            let default = at(&values_of(name), &path).cloned().unwrap();
            let without = |value| template(name, &with(&Default::default(), &path, value), &[]);
            match without(Value::Null) {
                Err(message) => {
                    let key = path.rsplit('.').next().unwrap();
                    let missing = format!("'{key}'");
                    assert!(message.contains("missing propert"), "{path}: {message}");
                    assert!(message.contains(&missing), "{path}: {message}");
                }
                Ok(rendered) => {
                    let empty = match default {
                        Value::Array(_) => json!([]),
                        Value::Null => Value::Null,
                        _ if path == "nodeSelector" => json!({ "kubernetes.io/os": null }),
                        _ if path == "resources" => json!({ "limits": null, "requests": null }),
                        _ => json!({}),
                    };
                    assert_eq!(rendered, without(empty).unwrap(), "{name}: {path}");
                }
            }
        }
    }
}

#[test]
fn a_value_that_nobody_knows_is_refused_beside_each_that_is_known() {
    for name in CHARTS {
        let beside: BTreeSet<String> = in_schema(name)
            .into_iter()
            .map(|path| match path.rsplit_once('.') {
                Some((object, _)) => format!("{object}.unknown"),
                None => "unknown".to_owned(),
            })
            .collect();
        for path in beside {
            let message = template(name, &with(&Default::default(), &path, json!(1)), &[])
                .expect_err(&format!("{name}: {path} is to be refused"));
            assert!(
                message.contains("'unknown' not allowed"),
                "{path}: {message}"
            );
        }
    }
}
