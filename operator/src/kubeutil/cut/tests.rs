use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::json::Cutter;
use super::shape::{Fields, Items, Others, Shape, Verdict};

fn judge(kept: usize, item: &[u8]) -> Verdict {
    match serde_json::from_slice::<Value>(item) {
        Ok(item) if item["a"].is_number() => Verdict::Replace(b"[{}]".to_vec()),
        Ok(item) if item.is_object() || kept == 0 => Verdict::Keep,
        _ => Verdict::Drop,
    }
}

static SHAPE: LazyLock<Shape> = LazyLock::new(|| {
    let leaf = || Shape::fields([("a", Shape::Text(4)), ("bc", Shape::list(Shape::Text(2)))]);
    Shape::Fields(Fields {
        known: vec![
            ("a".into(), leaf()),
            ("bc".into(), Shape::list(leaf())),
            (
                "d".into(),
                Shape::Items(Items {
                    shape: Box::new(leaf()),
                    at_most: 2,
                    judge: Some(judge),
                }),
            ),
        ],
        others: Some(Others {
            shape: Box::new(Shape::Text(3)),
            at_most: 2,
            named: |name| !name.starts_with(b"x"),
        }),
    })
});

/// The same on a whole value.
fn expected(shape: &'static Shape, value: &Value) -> Value {
    match (shape, value) {
        (_, Value::String(text)) => json!(cut(text, shape.characters())),
        (_, Value::Object(fields)) if shape.is_for_objects() => {
            let mut kept = Map::new();
            let mut others = 0;
            for (name, value) in fields {
                let name_as_written = json!(name).to_string();
                let name_as_written = name_as_written.trim_matches('"').as_bytes();
                if let Some(field) = shape.field(name_as_written, kept.len(), others) {
                    others += usize::from(field.is_other);
                    kept.insert(name.clone(), expected(field.shape, value));
                }
            }
            json!(kept)
        }
        (_, Value::Array(items)) if shape.is_for_lists() => {
            let mut kept = vec![];
            for item in items {
                let Some(item) = shape.item(kept.len()).map(|shape| expected(shape, item)) else {
                    continue;
                };
                let judge = shape.judge().unwrap_or(|_, _| Verdict::Keep);
                match judge(kept.len(), item.to_string().as_bytes()) {
                    Verdict::Keep => kept.push(item),
                    Verdict::Drop => {}
                    Verdict::Replace(other) => kept.extend(serde_json::from_slice(&other)),
                }
            }
            json!(kept)
        }
        (_, Value::Object(_)) => json!({}),
        (_, Value::Array(_)) => json!([]),
        (_, scalar) => scalar.clone(),
    }
}

fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Without what tells one cut text from another.
fn without_marks(value: Value) -> Value {
    match value {
        Value::String(text) => json!(match text.find('…') {
            Some(mark) => text[..mark + '…'.len_utf8()].to_owned(),
            None => text,
        }),
        Value::Array(items) => items.into_iter().map(without_marks).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            json!(
                fields
                    .map(|(name, value)| (name, without_marks(value)))
                    .collect::<Map<_, _>>()
            )
        }
        other => other,
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("a".to_owned()),
        Just("bc".to_owned()),
        Just("d".to_owned()),
        "[a-z\"\\\\]{0,3}"
    ];
    let text = prop_oneof![
        "[a-z]{0,9}",
        "[\"\\\\\u{1}\n\u{e9}\u{1f600}{}\\[\\],:]{0,9}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-999_i64..999).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|fields| json!(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// As other writers of JSON may do it: every character that is not ASCII as an escape.
fn escaped(json: &str) -> String {
    let mut escaped = String::new();
    for c in json.chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

fn cut_in_pieces(shape: &'static Shape, json: &str, pieces: usize) -> Vec<u8> {
    let mut cutter = Cutter::new(shape);
    let pieces = json.as_bytes().chunks(pieces);
    pieces.flat_map(|piece| cutter.push(piece)).collect()
}

proptest! {
    #[test]
    fn what_is_cut_byte_by_byte_is_what_is_kept_of_the_whole(
        value in any_value(), pieces in 1_usize..40, pretty: bool, escapes: bool
    ) {
        let json = if pretty { serde_json::to_string_pretty(&value)? } else { value.to_string() };
        let json = if escapes { escaped(&json) } else { json };
        let kept = cut_in_pieces(&SHAPE, &json, pieces);
        let kept: Value = serde_json::from_slice(&kept)
            .map_err(|error| TestCaseError::fail(format!("{error}: {}", String::from_utf8_lossy(&kept))))?;
        prop_assert_eq!(without_marks(kept), without_marks(expected(&SHAPE, &value)));
    }

    #[test]
    fn within_its_bounds_everything_is_kept(value in any_value(), pieces in 1_usize..40) {
        static ANY: Shape = Shape::Any;
        let kept = cut_in_pieces(&ANY, &value.to_string(), pieces);
        prop_assert_eq!(serde_json::from_slice::<Value>(&kept)?, value);
    }

    #[test]
    fn nothing_that_comes_is_too_strange(bytes: Vec<u8>, pieces in 1_usize..9) {
        let mut cutter = Cutter::new(&SHAPE);
        for piece in bytes.chunks(pieces) {
            cutter.push(piece);
        }
    }
}

#[test]
fn texts_that_are_cut_differ_where_the_whole_did() {
    static TEXT: Shape = Shape::Text(5);
    let cut = |text: &str| cut_in_pieces(&TEXT, &json!(text).to_string(), 3);
    assert_eq!(cut("hello"), b"\"hello\"");
    assert_ne!(cut("hello, world"), cut("hello, there"));
    assert_eq!(cut("hello, world"), cut("hello, world"));
}

#[test]
fn the_lines_of_a_watch_stay_lines() {
    let lines = "{\"a\":{\"a\":1},\"x\":2}\n{\"x\":[1,{}]}\n";
    let kept = cut_in_pieces(&SHAPE, lines, 4);
    assert_eq!(String::from_utf8_lossy(&kept), "{\"a\":{\"a\":1}}\n{}\n");
}

#[test]
fn what_is_dropped_takes_no_room() {
    let mut cutter = Cutter::new(&SHAPE);
    let mut most = 0;
    let mut push = |json: &str| most = most.max(cutter.push(json.as_bytes()).len());
    push("{\"x\":{");
    for label in 0..100_000 {
        push(&format!("\"label-{label}\":\"{}\",", "v".repeat(63)));
    }
    push("\"last\":[]},\"bc\":[{\"a\":\"");
    for _ in 0..1_000 {
        push(&"v".repeat(1_000));
    }
    push("\"}]}");
    assert!(most < 100, "{most}");
}
