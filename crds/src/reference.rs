//! `docs/reference/api.md` and `docs/reference/grants.md`: all that a definition says of its resource, for people. Input is the
//! definition as it is installed, output is Markdown; `crdgen` puts it into the page.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};

/// Stands before the generated part of the page. What is before it is written by hand.
const BEGIN: &str = "<!-- generated from the types in crds/: `make crds` writes it, `make check-generated` compares it -->\n\n";

/// Stands after the generated part.
const END: &str = "\n<!-- end of the generated part -->";

/// Where the page says more about a field than the schema does.
const READ_ON: [(&str, &str); 1] = [(
    "status.conditions",
    "Types and reasons are in [conditions and reasons](conditions.md).",
)];

/// The page with its generated part as it should be, or `None` where the page has no marker comments.
#[must_use]
pub fn updated_page(page: &str, crd: &CustomResourceDefinition) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let definition = serde_json::to_value(crd).ok()?;
    let generated = markdown(&definition["spec"]);
    Some(format!("{before}{BEGIN}{generated}{END}{after}"))
}

/// The generated part: the resource, its columns, its fields and its rules.
fn markdown(spec: &Value) -> String {
    let version = &spec["versions"][0];
    let mut objects = Vec::new();
    let mut rules = Vec::new();
    walk(
        "",
        &version["schema"]["openAPIV3Schema"],
        &mut |path, schema| {
            let fields = &schema["properties"];
            if fields.is_object() {
                let title = if path.is_empty() {
                    text(&spec["names"]["kind"])
                } else {
                    path
                };
                objects.push(section(title, path, schema));
            }
            rules.extend(list(&schema["x-kubernetes-validations"]).map(|it| rule(path, it)));
        },
    );
    format!(
        "## Resource\n\n{}\n## Columns of `kubectl get`\n\n{}\n## Fields\n\n{}\n## Validation rules\n\n{}",
        resource(spec, version),
        columns(version),
        objects.join("\n"),
        rules.join("\n"),
    )
}

/// Calls `visit` with the path of an object, a list's item or a field, and its schema: itself first, then all below it.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&below(path, name), property, visit);
    }
    if let Some(items) = schema.get("items") {
        walk(&format!("{path}[]"), items, visit);
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() {
        return name.to_owned();
    }
    format!("{path}.{name}")
}

fn resource(spec: &Value, version: &Value) -> String {
    let names = &spec["names"];
    let group = format!("{}/{}", text(&spec["group"]), text(&version["name"]));
    let subresources = version["subresources"].as_object().map(Map::keys);
    let rows = [
        ("API version", code(&group)),
        ("kind", code(text(&names["kind"]))),
        ("plural", code(text(&names["plural"]))),
        ("singular", code(text(&names["singular"]))),
        ("short names", codes(&names["shortNames"])),
        ("categories", codes(&names["categories"])),
        ("scope", code(text(&spec["scope"]))),
        (
            "subresources",
            joined(subresources.into_iter().flatten().map(|name| code(name))),
        ),
    ];
    table(["", ""], rows.map(|(what, value)| [what.to_owned(), value]))
}

fn columns(version: &Value) -> String {
    let columns = list(&version["additionalPrinterColumns"]);
    let rows = columns.map(|column| {
        let wide = column["priority"].as_i64().unwrap_or_default() > 0;
        [
            code(text(&column["name"])),
            if wide { "with `-o wide`" } else { "always" }.to_owned(),
            code(text(&column["jsonPath"])),
            text(&column["description"]).to_owned(),
        ]
    });
    table(["column", "shown", "value", "meaning"], rows)
}

/// An object, or an item of a list, with a row for each of its fields.
fn section(title: &str, path: &str, schema: &Value) -> String {
    let required = &schema["required"];
    let fields = schema["properties"].as_object();
    let rows = fields.into_iter().flatten().map(|(name, field)| {
        let path = below(path, name);
        let is_required = list(required).any(|it| it == name);
        let more = READ_ON.iter().find(|(of, _)| *of == path);
        let meaning = text(&field["description"]).split_whitespace();
        [
            code(&path),
            type_(&path, field),
            match field.get("default") {
                Some(default) => code(&value(default)),
                None if is_required => "required".to_owned(),
                None => String::new(),
            },
            allowed(field),
            meaning
                .chain(more.map(|(_, more)| *more))
                .collect::<Vec<_>>()
                .join(" "),
        ]
    });
    let head = ["field", "type", "default", "allowed", "meaning"];
    // What a field is about stands in its row.
    let description = match text(&schema["description"]) {
        description if is_field(path) || description.is_empty() => String::new(),
        description => format!("{}\n\n", one_line(description)),
    };
    format!("### {title}\n\n{description}{}", table(head, rows))
}

/// Whether this is a field, and not the object itself or an item of a list.
fn is_field(path: &str) -> bool {
    !path.is_empty() && !path.ends_with("[]")
}

/// The type of a field. That of an object leads to the section with its fields, where it has some.
fn type_(path: &str, field: &Value) -> String {
    let name = text(&field["type"]);
    let format = text(&field["format"]);
    let values = &field["additionalProperties"];
    match (name, &field["items"]) {
        ("object", _) if values.is_object() => format!("map of {}", text(&values["type"])),
        ("object", _) => format!("[object](#{})", anchor(path)),
        ("array", items) if items["properties"].is_object() => {
            format!("list of [objects](#{})", anchor(path))
        }
        ("array", items) => format!("list of {}", text(&items["type"])),
        _ if format.is_empty() => name.to_owned(),
        _ => format!("{name} ({format})"),
    }
}

/// What a heading with this path is called in a link.
fn anchor(path: &str) -> String {
    path.replace(['.', '[', ']'], "").to_lowercase()
}

/// The values that a field may have.
fn allowed(field: &Value) -> String {
    let mut parts = Vec::new();
    if field.get("enum").is_some() {
        parts.push(codes(&field["enum"]));
    }
    let bounds = [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " entries"),
    ];
    for (least, most, of) in bounds {
        let bounds = (field.get(least).map(value), field.get(most).map(value));
        parts.extend(match bounds {
            (None, None) => None,
            (Some(least), None) => Some(format!("at least {least}{of}")),
            (None, Some(most)) => Some(format!("at most {most}{of}")),
            (Some(least), Some(most)) => Some(format!("{least} to {most}{of}")),
        });
    }
    if let Some(pattern) = field["pattern"].as_str() {
        parts.push(format!("matches {}", code(pattern)));
    }
    let keys = &field["x-kubernetes-list-map-keys"];
    if keys.is_array() {
        parts.push(format!("each {} once", codes(keys)));
    }
    if field["x-kubernetes-list-type"] == "set" {
        parts.push("each once".to_owned());
    }
    for (values, each) in [
        ("items", "each item"),
        ("additionalProperties", "each value"),
    ] {
        // What the fields of an object may be stands in its section.
        let of_value = field.get(values).map(allowed).unwrap_or_default();
        if !of_value.is_empty() {
            parts.push(format!("{each}: {of_value}"));
        }
    }
    parts.join("; ")
}

/// A rule: where it points, in which words it refuses, and its expression.
fn rule(path: &str, rule: &Value) -> String {
    let points_to = text(&rule["fieldPath"]).trim_start_matches('.');
    let points_to = match (path, points_to) {
        (path, "") => path.to_owned(),
        (path, below_it) => below(path, below_it),
    };
    let expression = text(&rule["rule"]);
    let when = if expression.contains("oldSelf") {
        ", when it is changed"
    } else {
        ""
    };
    format!(
        "- {}{when}: {}\n\n  ```cel\n  {expression}\n  ```\n",
        code(&points_to),
        code(text(&rule["message"])),
    )
}

fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: [String; N]| {
        let cells = cells.map(|cell| match cell.as_str() {
            "" => " ".to_owned(),
            cell => format!(" {} ", cell.replace('|', r"\|")),
        });
        format!("|{}|\n", cells.join("|"))
    };
    let head = line(head.map(str::to_owned));
    let rows: String = rows.into_iter().map(line).collect();
    format!("{head}|{}\n{rows}", "---|".repeat(N))
}

/// Text as it is, to be typed or compared.
fn code(text: &str) -> String {
    format!("`{text}`")
}

fn codes(values: &Value) -> String {
    joined(list(values).map(|it| code(&value(it))))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A value as it is written in YAML. Bounds are whole numbers that the definition keeps as floating-point ones.
fn value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string().trim_end_matches(".0").to_owned(),
        other => other.to_string(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests;
