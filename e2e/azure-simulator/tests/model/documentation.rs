use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names of the functions below a `#[tokio::test]` in this directory; this file is about them and not one of them.
fn tests() -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("documentation.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[tokio::test]") {
            let name = pair[1].strip_prefix("async fn ").unwrap();
            names.insert(name.split_once('(').unwrap().0.to_owned());
        }
    }
    names
}

/// Ids, sources and test names of the rows of the tables in docs/model.md.
fn rows() -> Vec<[String; 3]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/model.md");
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| id "))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            assert_eq!(cells.len(), 4, "not four cells: {line}");
            [cells[0], cells[2], cells[3].trim_matches('`')].map(str::to_owned)
        })
        .collect()
}

#[test]
fn every_fact_has_a_source_and_a_test_and_every_test_a_fact() {
    let rows = rows();
    let ids: BTreeSet<&String> = rows.iter().map(|[id, ..]| id).collect();
    assert_eq!(ids.len(), rows.len(), "two rows share an id");
    for [id, source, _] in &rows {
        assert!(!source.is_empty(), "{id} has no source");
    }
    let named: BTreeSet<String> = rows.iter().map(|[.., test]| test.clone()).collect();
    let tests = tests();
    let without_test: Vec<_> = named.difference(&tests).collect();
    let without_row: Vec<_> = tests.difference(&named).collect();
    assert!(
        without_test.is_empty(),
        "rows name tests that do not exist: {without_test:?}"
    );
    assert!(
        without_row.is_empty(),
        "tests that no row names: {without_row:?}"
    );
}
