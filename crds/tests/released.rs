//! No later definition is narrower than one that was released: each field is still there, and takes every value that it took.
//! `e2e/tests/crd_rules/released.rs` holds the same on a real API server, with objects. A release that
//! takes something away on purpose, and says so in the changelog, gets its exception here.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;

use azwib_crds::binding_crd;
use serde_json::{Value, json};

/// Keywords of which a later definition may have a larger number or none.
const MOST: [&str; 3] = ["maximum", "maxItems", "maxLength"];

/// Keywords of which it may have a smaller number or none.
const LEAST: [&str; 3] = ["minimum", "minItems", "minLength"];

/// Keywords that stay as they are, or go.
const SAME_OR_NONE: [&str; 2] = ["format", "pattern"];

/// Keywords that stay as they are: what is left out means the same, and who owns what does not change.
const SAME: [&str; 6] = [
    "default",
    "nullable",
    "type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
];

/// The definitions that were released, each with its version.
fn released() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("released");
    let mut released: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let version = path.file_stem().unwrap().to_string_lossy().into_owned();
            (version, serde_yaml_ng::from_str(&text).unwrap())
        })
        .collect();
    released.sort_by(|one, other| one.0.cmp(&other.0));
    released
}

/// What the later schema of a field, and of all below it, does not take any more.
fn narrower(path: &str, before: &Value, now: &Value) -> Vec<String> {
    let mut found = keywords(before, now);
    found.extend(required(before, now));
    found.extend(rules(before, now));
    found
        .iter_mut()
        .for_each(|it| *it = format!("{path}: {it}"));
    for (name, field) in before["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match now["properties"].get(name) {
            Some(now) => found.extend(narrower(&path, field, now)),
            None => found.push(format!("{path}: is gone")),
        }
    }
    if let Some(items) = before.get("items") {
        found.extend(narrower(&format!("{path}[]"), items, &now["items"]));
    }
    found
}

fn keywords(before: &Value, now: &Value) -> Vec<String> {
    let number = |schema: &Value, keyword: &str| schema[keyword].as_f64();
    let mut found = Vec::new();
    let mut changed = |keyword: &str| {
        let value = |schema: &Value| schema.get(keyword).map(Value::to_string);
        found.push(format!(
            "{keyword} was {:?}, is {:?}",
            value(before),
            value(now)
        ));
    };
    for keyword in MOST {
        let before = number(before, keyword).unwrap_or(f64::INFINITY);
        if number(now, keyword).is_some_and(|now| now < before) {
            changed(keyword);
        }
    }
    for keyword in LEAST {
        let before = number(before, keyword).unwrap_or(f64::NEG_INFINITY);
        if number(now, keyword).is_some_and(|now| now > before) {
            changed(keyword);
        }
    }
    for keyword in SAME_OR_NONE {
        if now.get(keyword).is_some() && now.get(keyword) != before.get(keyword) {
            changed(keyword);
        }
    }
    for keyword in SAME {
        if now.get(keyword) != before.get(keyword) {
            changed(keyword);
        }
    }
    if let Some(allowed) = now["enum"].as_array() {
        let before = before["enum"].as_array();
        if before.is_none_or(|before| before.iter().any(|it| !allowed.contains(it))) {
            changed("enum");
        }
    }
    found
}

fn required(before: &Value, now: &Value) -> Vec<String> {
    let (before, now) = (elements(before, "required"), elements(now, "required"));
    let new = now.iter().filter(|field| !before.contains(field));
    new.map(|field| format!("{field} is required")).collect()
}

/// A rule that was not there before, unless it is about a field that was not there either.
fn rules(before: &Value, now: &Value) -> Vec<String> {
    let old = elements(before, "x-kubernetes-validations");
    let old: Vec<_> = old.iter().map(|it| &it["rule"]).collect();
    let of_a_new_field = |rule: &str| {
        let field = rule
            .strip_prefix("!has(self.")
            .and_then(|it| it.split_once(')'));
        field.is_some_and(|(field, rest)| {
            before["properties"].get(field).is_none() && rest.starts_with(" ||")
        })
    };
    let rules = elements(now, "x-kubernetes-validations");
    let new = rules
        .iter()
        .map(|it| &it["rule"])
        .filter(|rule| !old.contains(rule) && !rule.as_str().is_some_and(of_a_new_field));
    new.map(|rule| format!("a new rule {rule}")).collect()
}

fn elements(schema: &Value, keyword: &str) -> Vec<Value> {
    schema[keyword].as_array().cloned().unwrap_or_default()
}

/// The version of this name, if it is still served.
fn served<'a>(definition: &'a Value, name: &Value) -> Option<&'a Value> {
    let mut versions = definition["spec"]["versions"].as_array()?.iter();
    versions.find(|it| it["name"] == *name && it["served"] == true)
}

#[test]
fn no_field_of_a_released_definition_is_gone_or_narrower() {
    let now = serde_json::to_value(binding_crd()).unwrap();
    let released = released();
    assert!(!released.is_empty());
    for (release, before) in released {
        for version in elements(&before["spec"], "versions") {
            let later = served(&now, &version["name"]);
            let later = later.unwrap_or_else(|| panic!("{release}: {} is gone", version["name"]));
            let schema = |version: &Value| version["schema"]["openAPIV3Schema"].clone();
            assert_eq!(
                narrower("", &schema(&version), &schema(later)),
                Vec::<String>::new(),
                "against {release}"
            );
            for column in elements(&version, "additionalPrinterColumns") {
                let columns = elements(later, "additionalPrinterColumns");
                let is_there = columns.iter().any(|it| it["name"] == column["name"]);
                assert!(is_there, "{release}: column {} is gone", column["name"]);
            }
        }
        for name in ["group", "scope"] {
            assert_eq!(now["spec"][name], before["spec"][name], "{release}");
        }
        for name in ["kind", "plural", "singular", "shortNames", "categories"] {
            assert_eq!(
                now["spec"]["names"][name], before["spec"]["names"][name],
                "{release}"
            );
        }
    }
}

fn some_schema() -> Value {
    json!({ "type": "object", "required": ["a"], "properties": {
        "a": { "type": "string", "minLength": 2, "maxLength": 9, "pattern": "^a", "enum": ["aa", "ab"], "default": "aa" },
        "b": { "type": "integer", "format": "int32", "minimum": 1.0, "maximum": 5.0 },
        "c": { "type": "array", "maxItems": 4, "x-kubernetes-list-type": "map", "items": {
            "type": "object", "properties": { "d": { "type": "string" } } } },
    }})
}

/// The schema with another value at this place; null takes what is there away.
fn with(pointer: &str, value: Value) -> Value {
    let mut schema = some_schema();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = schema.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => drop(parent.remove(key)),
        value => drop(parent.insert(key.to_owned(), value)),
    }
    schema
}

#[test]
fn what_narrows_a_definition_is_found() {
    for (pointer, value, found) in [
        ("/properties/a", Value::Null, ".a: is gone"),
        ("/properties/a/type", json!("integer"), ".a: type was"),
        ("/properties/a/maxLength", json!(8), ".a: maxLength was"),
        ("/properties/a/minLength", json!(3), ".a: minLength was"),
        ("/properties/a/pattern", json!("^ab"), ".a: pattern was"),
        ("/properties/a/enum", json!(["ab"]), ".a: enum was"),
        ("/properties/a/default", json!("ab"), ".a: default was"),
        ("/properties/a/default", Value::Null, ".a: default was"),
        ("/properties/b/minimum", json!(2), ".b: minimum was"),
        ("/properties/b/maximum", json!(4), ".b: maximum was"),
        ("/properties/b/enum", json!([1]), ".b: enum was"),
        ("/properties/b/pattern", json!("^1"), ".b: pattern was"),
        ("/properties/b/format", json!("int64"), ".b: format was"),
        ("/properties/c/maxItems", json!(3), ".c: maxItems was"),
        (
            "/properties/c/x-kubernetes-list-type",
            json!("set"),
            ".c: x-kubernetes-list-type was",
        ),
        (
            "/properties/c/items/properties/d/maxLength",
            json!(1),
            ".c[].d: maxLength was",
        ),
        (
            "/properties/c/items/required",
            json!(["d"]),
            ".c[]: \"d\" is required",
        ),
        ("/required", json!(["a", "b"]), ": \"b\" is required"),
        (
            "/x-kubernetes-validations",
            json!([{ "rule": "!has(self.b) || self.b > 1" }]),
            ": a new rule",
        ),
        (
            "/properties/a/x-kubernetes-validations",
            json!([{ "rule": "self == 'ab'" }]),
            ".a: a new rule",
        ),
    ] {
        let found_in = narrower("", &some_schema(), &with(pointer, value));
        let [only] = found_in.as_slice() else {
            panic!("{pointer}: {found_in:?}")
        };
        assert!(only.starts_with(found), "{pointer}: {only}");
    }
}

#[test]
fn what_widens_a_definition_is_let_through() {
    for (pointer, value) in [
        ("/properties/a/maxLength", json!(10)),
        ("/properties/a/maxLength", Value::Null),
        ("/properties/a/minLength", json!(1)),
        ("/properties/a/pattern", Value::Null),
        ("/properties/a/enum", json!(["aa", "ab", "ac"])),
        ("/properties/a/enum", Value::Null),
        ("/properties/a/description", json!("other words")),
        ("/properties/b/maximum", json!(5)),
        ("/properties/e", json!({ "type": "string", "maxLength": 1 })),
        ("/required", Value::Null),
        (
            "/x-kubernetes-validations",
            json!([{ "rule": "!has(self.e) || self.e != 'x'" }]),
        ),
    ] {
        let found = narrower("", &some_schema(), &with(pointer, value));
        assert_eq!(found, Vec::<String>::new(), "{pointer}");
    }
}
