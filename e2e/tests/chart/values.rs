//! Each value changes the fields that `values/` lists for it, and no other.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use azwib_e2e::environment::repository;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::objects::{Objects, differences, objects};
use crate::tools::template;

/// What a value does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    #[serde(default = "azwib")]
    pub(crate) chart: String,
    /// Where it is, as `log.level`.
    pub(crate) value: String,
    /// Other values, where this one has no effect, or is refused, without them.
    #[serde(default)]
    pub(crate) given: Map<String, Value>,
    /// What it is set to.
    pub(crate) to: Value,
    /// Fields that go and come, in the order of [`differences`].
    #[serde(default)]
    pub(crate) changes: Vec<String>,
}

fn azwib() -> String {
    "azwib".to_owned()
}

pub(crate) fn rows() -> Vec<Row> {
    let folder = repository().join("e2e/tests/chart/values");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let of_file = |path| -> Vec<Row> {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("VERSION", env!("CARGO_PKG_VERSION"));
        serde_yaml_ng::from_str(&text).unwrap_or_else(|it| panic!("{path:?}: {it}"))
    };
    files.into_iter().flat_map(of_file).collect()
}

/// The values with one more at a path such as `log.level`.
pub(crate) fn with(values: &Map<String, Value>, path: &str, to: Value) -> Value {
    let mut all = Value::Object(values.clone());
    let mut place = &mut all;
    for key in path.split('.') {
        let fields = place.as_object_mut().unwrap();
        place = fields.entry(key).or_insert_with(|| json!({}));
    }
    *place = to;
    all
}

/// The chart's objects, and the name of the operator's ConfigMap, which stands for its content and is put aside.
fn rendered(chart: &str, values: &Value) -> (Objects, Option<String>) {
    let yaml = template(chart, values, &[]).unwrap_or_else(|it| panic!("{values}: {it}"));
    let named = |line: &str| {
        Some(
            line.trim()
                .strip_prefix("name: azwib-operator-")?
                .to_owned(),
        )
    };
    let settings = yaml
        .lines()
        .skip_while(|line| *line != "kind: ConfigMap")
        .find_map(named);
    let stable = match &settings {
        None => yaml,
        Some(digest) => {
            let name = format!("azwib-operator-{digest}");
            let count = yaml.matches(&name).count();
            assert_eq!(count, 2, "the ConfigMap, and the Deployment that reads it");
            yaml.replace(&name, "settings")
        }
    };
    (objects(&stable), settings)
}

#[test]
fn each_value_changes_what_is_listed_and_nothing_else() {
    let mut before = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in rows() {
        let given = Value::Object(row.given.clone());
        let (old, old_name) = before
            .entry((row.chart.clone(), given.to_string()))
            .or_insert_with(|| rendered(&row.chart, &given));
        let (new, new_name) = rendered(&row.chart, &with(&row.given, &row.value, row.to));
        let changes = differences(old, &new);
        assert!(!changes.is_empty(), "{} changes nothing", row.value);
        let data = |all: &Objects| Some(all.get("ConfigMap settings")?["data"].clone());
        let other_settings = data(old) != data(&new);
        let rolls = *old_name != new_name;
        assert_eq!(
            other_settings, rolls,
            "{}: a setting rolls the pods",
            row.value
        );
        if changes != row.changes {
            let changes = serde_yaml_ng::to_string(&changes).unwrap();
            wrong.push(format!("{}:\n{changes}", row.value));
        }
    }
    assert!(wrong.is_empty(), "these changed:\n{}", wrong.join("\n"));
}
