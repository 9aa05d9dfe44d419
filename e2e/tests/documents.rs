//! The documents for people: their links lead somewhere, and their YAML can be read; workflows run what is there.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use azwib_e2e::environment::repository;
use serde::Deserialize;
use serde_json::Value;

/// Folders that hold what is built or fetched, and what versions are kept in.
const NOT_OURS: [&str; 4] = ["target", "bin", ".git", ".venv"];

fn documents() -> Vec<PathBuf> {
    let mut folders = vec![repository()];
    let mut documents = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let name = entry.file_name();
            if entry.file_type().unwrap().is_dir() {
                if !NOT_OURS.iter().any(|other| name == *other) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|it| it == "md") {
                documents.push(path);
            }
        }
    }
    assert!(documents.len() > 5, "{documents:?}");
    documents
}

/// The text of a document without its code, and the blocks of code, each with its language and without indentation.
fn parts(document: &str) -> (String, Vec<(String, String)>) {
    let (mut text, mut blocks) = (String::new(), Vec::new());
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let indentation = line.len() - line.trim_start().len();
        let code = lines
            .by_ref()
            .take_while(|line| line.trim() != "```")
            .map(|line| format!("{}\n", line.get(indentation..).unwrap_or_default()));
        blocks.push((language.to_owned(), code.collect()));
    }
    (text, blocks)
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter if letter.is_alphanumeric() => Some(letter),
        _ => None,
    });
    kept.collect::<String>().to_lowercase()
}

fn anchors(document: &Path) -> BTreeSet<String> {
    let (text, _) = parts(&fs::read_to_string(document).unwrap());
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

/// A text without its `code`, in which a pattern may look like a link.
fn without_code(text: &str) -> String {
    let prose = text.lines().map(|line| {
        let outside = line.split('`').step_by(2);
        outside.collect::<Vec<_>>().join("")
    });
    prose.collect::<Vec<_>>().join("\n")
}

/// Where the links of a text lead to, those out of the repository left out.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '\n']).next())
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    for document in documents() {
        let (text, _) = parts(&fs::read_to_string(&document).unwrap());
        for target in targets(&without_code(&text)) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            let from = document.display();
            assert!(file.exists(), "{from}: {target}");
            let is_there = anchor.is_empty() || anchors(&file).contains(anchor);
            assert!(is_there, "{from}: {target}");
        }
    }
}

#[test]
fn every_block_of_yaml_can_be_read() {
    for document in documents() {
        let (_, blocks) = parts(&fs::read_to_string(&document).unwrap());
        for (_, code) in blocks.iter().filter(|(language, _)| language == "yaml") {
            for part in serde_yaml_ng::Deserializer::from_str(code) {
                let read = Value::deserialize(part);
                assert!(read.is_ok(), "{}: {read:?}:\n{code}", document.display());
            }
        }
    }
}

#[test]
fn the_contents_of_the_user_guide_name_each_of_its_chapters() {
    let guide = repository().join("docs/user-guide.md");
    let (text, _) = parts(&fs::read_to_string(guide).unwrap());
    let chapters: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|title| format!("- [{title}](#{})", anchor(title)))
        .collect();
    let listed: Vec<_> = text
        .lines()
        .skip_while(|line| !line.starts_with("- ["))
        .take_while(|line| line.starts_with("- ["))
        .collect();
    assert_eq!(listed, chapters);
}

#[test]
fn the_page_on_security_has_each_kind_of_attack_with_the_sentence_that_its_tests_begin_with() {
    let page = fs::read_to_string(repository().join("docs/security.md")).unwrap();
    let folder = repository().join("e2e/tests/attacks");
    let mut kinds = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if ["main.rs", "tenant.rs"].contains(&&*name) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let head = text.lines().map_while(|line| line.strip_prefix("//! "));
        let sentence = head.collect::<Vec<_>>().join(" ");
        let row = format!("| {sentence} | [`{name}`](../e2e/tests/attacks/{name}) |");
        assert!(page.contains(&row), "docs/security.md lacks: {row}");
        kinds += 1;
    }
    assert_eq!(kinds, 12);
}

#[test]
fn every_target_and_script_that_a_workflow_runs_is_there() {
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let is_target = |name: &str| {
        let mut lines = makefile.lines().filter(|line| !line.starts_with('\t'));
        lines.any(|line| {
            let names = line.split_once(':').map(|(names, _)| names);
            names.is_some_and(|names| names.split(' ').any(|it| it == name))
        })
    };
    let mut seen = 0;
    for name in ["ci.yml", "release.yml"] {
        let workflow = repository().join(".github/workflows").join(name);
        let workflow = fs::read_to_string(workflow).unwrap();
        let lines = workflow.lines().filter(|it| !it.trim().starts_with('#'));
        for line in lines {
            let words: Vec<_> = line.split_whitespace().collect();
            for pair in words.windows(2).filter(|pair| pair[0] == "make") {
                let target = pair[1].trim_matches(|it: char| !it.is_alphanumeric() && it != '-');
                assert!(is_target(target), "{name}: make {target}");
                seen += 1;
            }
            for script in words
                .iter()
                .filter(|it| it.starts_with("e2e/") || **it == ".ci/run")
            {
                let is_file = repository().join(script).is_file();
                assert!(is_file || script.contains('*'), "{name}: {script}");
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn every_action_of_a_workflow_is_named_by_its_commit() {
    let mut seen = 0;
    for name in ["ci.yml", "release.yml"] {
        let workflow = repository().join(".github/workflows").join(name);
        let workflow = fs::read_to_string(workflow).unwrap();
        let uses = workflow
            .lines()
            .filter_map(|it| it.trim().split_once("uses: "));
        for (_, action) in uses.filter(|(_, action)| !action.starts_with("./")) {
            // A tag can be moved to other code; the comment says which version that commit is.
            let (_, at) = action.split_once('@').unwrap();
            let (commit, version) = at.split_once(" # v").unwrap();
            let is_commit = commit.len() == 40 && commit.chars().all(|it| it.is_ascii_hexdigit());
            assert!(is_commit && version.contains('.'), "{name}: {action}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn the_notes_of_a_release_are_its_section_and_a_version_without_one_is_refused() {
    let run = |script: &str, version: &str| {
        let script = repository().join("e2e/release").join(script);
        Command::new(script).arg(version).output().unwrap()
    };
    let notes = run("notes", "v0.1.0");
    let text = String::from_utf8(notes.stdout).unwrap();
    assert!(notes.status.success() && text.contains("The first version"));
    assert!(!text.contains("## ["), "no other section: {text}");
    let missing = run("notes", "v9.9.9");
    let said = String::from_utf8(missing.stderr).unwrap();
    assert!(!missing.status.success() && said.contains("says nothing about 9.9.9"));
    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    assert!(run("check-version", &version).status.success());
    let other = run("check-version", "v9.9.9");
    let said = String::from_utf8(other.stderr).unwrap();
    assert!(!other.status.success());
    assert_eq!(
        said.lines().count(),
        6,
        "Cargo.toml, image, and two of each chart: {said}"
    );
}
