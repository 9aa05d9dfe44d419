//! What the harness gives to an operator process, shown with a shell script in the operator's place.

use std::{collections::BTreeMap, path::PathBuf};

use azwib_e2e::{
    ControlPlane, ControlPlaneOptions, OperatorOptions, OperatorProcess, supervisor::Exit,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

const SERVICE_ACCOUNT: &str = r"
apiVersion: v1
kind: Namespace
metadata: { name: azwib-system }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: azwib-operator, namespace: azwib-system }
";

fn script(script: &str) -> OperatorOptions {
    OperatorOptions {
        binary: Some(PathBuf::from("/bin/sh")),
        args: vec!["-c".to_owned(), script.to_owned()],
        ..OperatorOptions::default()
    }
}

#[tokio::test]
async fn an_operator_has_the_tokens_of_its_own_service_account_and_nothing_of_the_test()
-> anyhow::Result<()> {
    let control_plane = ControlPlane::start(ControlPlaneOptions::unpublished()?).await?;
    let error = OperatorProcess::start(&control_plane, script("true"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("azwib-system/azwib-operator"),
        "{error}"
    );
    control_plane.apply(SERVICE_ACCOUNT).await?;

    let log_file = control_plane.directory().join("chosen.log");
    let options = OperatorOptions {
        env: BTreeMap::from([("RUST_LOG".to_owned(), "info".to_owned())]),
        log_file: Some(log_file.clone()),
        ..script(
            "env; cat $KUBECONFIG; echo; echo azure token $(cat $AZURE_FEDERATED_TOKEN_FILE); exit 4",
        )
    };
    let operator = OperatorProcess::start(&control_plane, options).await?;
    assert_eq!(operator.wait_exit().await?, Exit::Code(4));
    let log = operator.log()?;
    assert_eq!(log, std::fs::read_to_string(log_file)?);
    assert!(
        log.contains("\"user\": \"azwib-operator\"") && log.contains("RUST_LOG=info"),
        "{log}"
    );
    assert!(!log.contains("CARGO"), "{log}");
    let token = log
        .lines()
        .find_map(|line| line.strip_prefix("azure token "))
        .unwrap();
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap())?;
    let claims: Value = serde_json::from_slice(&payload)?;
    assert_eq!(
        claims["sub"],
        "system:serviceaccount:azwib-system:azwib-operator"
    );
    assert_eq!(claims["aud"][0], "api://AzureADTokenExchange");

    let killed = OperatorProcess::start(&control_plane, script("sleep 1000")).await?;
    assert_eq!(killed.kill().await?, Exit::Signal(9));
    Ok(())
}
