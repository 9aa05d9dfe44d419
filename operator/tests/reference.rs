//! The reference in docs/ says what the code says. The table of reasons is held in `operator/src/binding/error/tests/looks.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fmt::Write;

use azwib_operator::binding::events::EventReason;
use azwib_operator::binding::status::reason::{ConditionType, Reason};
use azwib_operator::cli::flags::Cli;
use clap::{Arg, CommandFactory};

const CONDITIONS: &str = include_str!("../../docs/reference/conditions.md");
const EVENTS: &str = include_str!("../../docs/reference/events.md");
const FLAGS: &str = include_str!("../../docs/reference/flags.md");

/// What stands between the two marker comments of a document.
fn generated_part(document: &str) -> &str {
    let (_, rest) = document
        .split_once("; a test keeps it so -->\n\n")
        .expect("a marker where the generated part begins");
    let (part, _) = rest
        .split_once("\n<!-- end of the generated part -->")
        .expect("a marker where it ends");
    part
}

#[test]
fn the_table_of_conditions_names_every_condition_and_every_reason_and_no_others() {
    let (conditions, _) = CONDITIONS
        .split_once("A step that was not reached")
        .unwrap();
    let named: BTreeSet<_> = conditions
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|row| row.split('`').skip(1).step_by(2))
        .collect();
    let known = ConditionType::ALL
        .iter()
        .map(|condition| condition.as_str());
    let known: BTreeSet<_> = known
        .chain(Reason::ALL.iter().map(|reason| reason.as_str()))
        .collect();
    // `Pending` is what every step says that was not reached: a sentence below the table.
    let missing: Vec<_> = known
        .difference(&named)
        .filter(|name| **name != "Pending")
        .collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(
        unknown.is_empty(),
        "in the table, but not in the code: {unknown:?}"
    );
}

#[test]
fn the_reference_of_events_describes_every_reason_of_an_event() {
    let mut expected = "| reason | type | meaning |\n|---|---|---|\n".to_owned();
    for reason in EventReason::all() {
        let (name, type_) = (reason.as_str(), reason.type_());
        let meaning = reason.description();
        writeln!(expected, "| `{name}` | {type_:?} | {meaning} |").unwrap();
    }
    assert_eq!(
        generated_part(EVENTS),
        expected,
        "docs/reference/events.md should hold:\n{expected}"
    );
}

fn row_of_flag(flag: &Arg) -> String {
    let list = |values: Vec<String>| {
        values
            .iter()
            .map(|value| format!("`{value}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let choices = flag.get_possible_values();
    let choices: Vec<_> = choices
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    let name = flag.get_long().expect("every flag has a long name");
    let value = match flag.get_value_names() {
        Some([value]) if choices.is_empty() && flag.get_action().takes_values() => {
            format!(" {value}")
        }
        _ => String::new(),
    };
    let variable = flag
        .get_env()
        .expect("every flag has a variable")
        .to_string_lossy();
    let default = match flag.get_default_values() {
        [] if flag.is_required_set() => "required".to_owned(),
        [] if !flag.get_action().takes_values() => "`false`".to_owned(),
        defaults => list(
            defaults
                .iter()
                .map(|value| value.to_string_lossy().into_owned())
                .collect(),
        ),
    };
    let mut meaning = flag
        .get_help()
        .expect("every flag is described")
        .to_string();
    if !flag.get_action().takes_values() {
        let values = choices
            .iter()
            .map(|it| format!("`{it}`"))
            .collect::<Vec<_>>()
            .join(" or ");
        write!(meaning, ". The flag has no value; the variable is {values}").unwrap();
    } else if !choices.is_empty() {
        meaning.push_str(": ");
        meaning.push_str(&list(choices));
    }
    format!("| `--{name}{value}` | `{variable}` | {default} | {meaning} |\n")
}

#[test]
fn the_reference_of_flags_describes_every_flag() {
    let mut expected = "| flag | variable | default | |\n|---|---|---|---|\n".to_owned();
    expected.extend(Cli::command().get_arguments().map(row_of_flag));
    assert_eq!(
        generated_part(FLAGS),
        expected,
        "docs/reference/flags.md should hold:\n{expected}"
    );
}
