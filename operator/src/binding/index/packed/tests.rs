use serde_json::{Value, json};

use super::*;

fn typical() -> Guarded {
    serde_json::from_slice(TYPICAL).unwrap()
}

/// Of every field that it can have, as text.
fn text(binding: &Guarded) -> Value {
    serde_json::to_value(binding.0.as_ref().unwrap()).unwrap()
}

fn compressed(packed: &mut Packed) -> &mut Compressed {
    match &mut packed.content {
        Content::Readable {
            kept: Kept::Compressed(compressed),
            ..
        } => compressed,
        other => panic!("not compressed: {other:?}"),
    }
}

/// Whoever may write a status may write any time. What differs from what a fresh read shows would be taken for a change.
#[test]
fn a_time_that_its_text_would_not_bring_back_comes_back_all_the_same() {
    for time in ["2026-01-02T03:04:05.5Z", "0000-01-01T00:00:00+23:00"] {
        let mut binding = text(&typical());
        binding["status"]["conditions"][1]["lastTransitionTime"] = time.into();
        let binding: Guarded = serde_json::from_value(binding).unwrap();
        let before = binding.0.as_ref().unwrap();
        let after = Packed::of(&binding).unpack().0.unwrap();
        assert_eq!(*before, after, "{time}");
    }
}

#[test]
fn what_is_packed_comes_back_as_it_was() {
    let mut other = typical();
    let binding = other.0.as_mut().unwrap();
    binding.metadata.deletion_timestamp = binding.metadata.creation_timestamp.clone();
    binding.metadata.name = Some("ein-Prüfstück".repeat(40));
    binding.spec.suspend = true;
    binding.status.as_mut().unwrap().conditions.clear();
    let mut new = typical();
    new.0.as_mut().unwrap().status = None;
    for binding in [typical(), other, new] {
        assert_eq!(text(&Packed::of(&binding).unpack()), text(&binding));
    }
}

#[test]
fn a_typical_binding_takes_a_quarter_of_its_text() {
    let typical = typical();
    let text = text(&typical).to_string();
    let other = text
        .replace("orders", "invoices")
        .replace("11111111-2222", "abcdef12-3456")
        .replace("99bb76e015ed7c87", "7b24f96fe49cb0fe")
        .replace("03:04:05", "17:23:42");
    let other = serde_json::from_str(&other).unwrap();
    let compressed = compressed(&mut Packed::of(&other)).clone();
    assert!(
        compressed.bytes() < text.len() / 4,
        "{}",
        compressed.bytes()
    );
}

#[test]
fn conditions_and_adopted_credentials_are_known_without_unpacking() {
    let mut binding = text(&typical());
    let status = &mut binding["status"];
    status["conditions"] = json!([
        { "type": "Ready", "status": "False", "reason": "NotGranted", "message": "m", "lastTransitionTime": "2026-01-02T03:04:05Z" },
        { "type": "Granted", "status": "False", "reason": "OfTomorrow", "message": "m", "lastTransitionTime": "2026-01-02T03:04:05Z" },
        { "type": "OfOthers", "status": "True", "reason": "X", "message": "m", "lastTransitionTime": "2026-01-02T03:04:05Z" },
    ]);
    status["credentials"][0]["origin"] = "Adopted".into();
    let packed = Packed::of(&serde_json::from_value(binding).unwrap());
    let shown = |type_, reason| Shown {
        type_,
        status: ConditionStatus::False,
        reason,
    };
    let expected = [
        shown(ConditionType::Ready, Some(Reason::NotGranted)),
        shown(ConditionType::Granted, None),
    ];
    assert_eq!(packed.shown(), Some(&expected[..]));
    assert!(packed.has_adopted() && !Packed::of(&typical()).has_adopted());
}

#[test]
fn one_that_cannot_be_read_comes_back_with_its_metadata_and_the_cause() {
    let mut binding = text(&typical());
    binding["spec"]["suspend"] = "perhaps".into();
    let binding: Guarded = serde_json::from_value(binding).unwrap();
    let packed = Packed::of(&binding);
    assert_eq!(packed.shown(), None);
    let (before, after) = (binding.0.unwrap_err(), packed.unpack().0.unwrap_err());
    assert_eq!(
        (before.error, before.metadata),
        (after.error, after.metadata)
    );
}

#[test]
fn what_is_damaged_is_a_binding_that_cannot_be_read() {
    let mut packed = Packed::of(&typical());
    *compressed(&mut packed) = Compressed::of(&"no binding", TYPICAL).unwrap();
    let invalid = packed.unpack().0.unwrap_err();
    assert_eq!(invalid.metadata.name.as_deref(), Some("orders"));
    assert!(!invalid.error.is_empty());
}
