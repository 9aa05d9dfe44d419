use azure_simulator::Tunables;
use clap::ValueEnum as _;
use conformance::assumed::{
    Assumed, NOT_PROBED, ROWS_NOT_PROBED, ROWS_PROBED, SENDS_RETRY_AFTER, THROTTLED_CODE,
};
use conformance::cli::ProbeName;
use serde_json::json;

use crate::support::Azure;

/// What the tool names as assumed is what the simulator does, and no setting of the simulator is forgotten.
#[test]
fn what_is_assumed_is_what_the_simulator_does() {
    let simulator = json!(Tunables::default());
    let assumed = json!(Assumed::default());
    for (name, value) in assumed.as_object().unwrap() {
        assert_eq!(&simulator[name], value, "{name}");
    }
    let not_probed: Vec<&str> = NOT_PROBED
        .iter()
        .flat_map(|(what, _)| what.split(", "))
        .collect();
    for name in simulator.as_object().unwrap().keys() {
        let is_probed = assumed.get(name).is_some();
        let is_listed = not_probed.contains(&name.as_str());
        assert!(
            is_probed != is_listed,
            "{name} is neither probed nor listed, or both"
        );
    }
    let throttling = azure_simulator::control::api::Tunables {
        throttling: serde_json::from_value(json!({})).unwrap(),
        ..Tunables::default()
    };
    let throttling = json!(throttling)["throttling"].clone();
    assert_eq!(throttling["providerCode"], THROTTLED_CODE);
    assert_eq!(throttling["sendsRetryAfter"], SENDS_RETRY_AFTER);
}

/// Each row of the model that says "assumed" is asked about, or it is said why not.
#[test]
fn no_assumed_row_of_the_model_is_forgotten() {
    let model = include_str!("../../../azure-simulator/docs/model.md");
    let rows = model.lines().filter_map(|line| {
        let id = line.strip_prefix("| ")?.split(' ').next()?;
        let is_id =
            id.starts_with(|it: char| it.is_ascii_uppercase()) && id[1..].parse::<u32>().is_ok();
        (is_id && line.contains("assumed")).then_some(id)
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_unstable();
    let probed = ROWS_PROBED.iter().flat_map(|(_, rows)| rows.iter());
    let not_probed = ROWS_NOT_PROBED.iter().flat_map(|(rows, _)| rows.iter());
    let mut listed: Vec<_> = probed.chain(not_probed).copied().collect();
    listed.sort_unstable();
    assert_eq!(listed, rows);
    for (probe, _) in ROWS_PROBED {
        let probes = ProbeName::value_variants().iter();
        assert!(
            probes.map(|it| it.as_str()).any(|it| it == *probe),
            "{probe}"
        );
    }
}

#[tokio::test]
async fn nothing_differs_from_the_simulator_as_it_is() {
    let azure = Azure::start().await;
    let outcome = azure
        .run(&["--regions=westeurope,eastasia", "--throttling"])
        .await;
    assert_eq!(
        outcome.code,
        Some(0),
        "{}{}",
        outcome.stdout,
        outcome.stderr
    );
    assert_eq!(outcome.json["tunables"], json!({}));
    assert_eq!(outcome.facts("differs"), [""; 0]);
    assert_eq!(outcome.facts("same").len(), 28, "{}", outcome.stdout);
    // Nothing of this kind comes about in the simulator as it is.
    let not_seen = [
        "new identity: of a thousand writes meanwhile",
        "new identity: answer meanwhile",
    ];
    assert_eq!(outcome.facts("not-seen"), not_seen);
    assert_eq!(azure.groups().await, [""; 0]);
}

#[test]
fn the_tool_shares_no_code_with_the_simulator_and_the_operator() {
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ])
        .args(["--package", env!("CARGO_PKG_NAME")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && tree.contains("reqwest"),
        "{tree}"
    );
    for own in [
        "azure-simulator",
        "azwib-operator",
        "azwib-crds",
        "azwib-e2e",
        "azure_mgmt_msi",
    ] {
        assert!(!tree.contains(own), "it depends on {own}");
    }
}
