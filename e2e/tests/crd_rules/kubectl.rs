//! What kubectl shows of a binding.

use kube::api::PostParams;

use super::{ID, binding, bindings, by_name, cluster, status::full_status};

#[tokio::test]
async fn kubectl_prints_what_the_reader_looks_for() -> anyhow::Result<()> {
    let bindings = bindings().await?;
    let mut object = bindings
        .create(
            &PostParams::default(),
            &binding("columns", &by_name("orders")),
        )
        .await?;
    object.data["status"] = full_status();
    bindings
        .replace_status("columns", &PostParams::default(), &object)
        .await?;

    let cluster = cluster().await?;
    let narrow = table(&cluster.kubectl(&["get", "azwib", "columns"]).await?);
    assert_eq!(
        narrow[0],
        [
            "NAME",
            "READY",
            "REASON",
            "IDENTITY",
            "SERVICEACCOUNT",
            "AGE"
        ]
    );
    let client_id = "0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f";
    assert_eq!(
        narrow[1][..5],
        ["columns", "True", "Succeeded", client_id, "orders"]
    );

    let wide = table(
        &cluster
            .kubectl(&["get", "azwib", "columns", "-o", "wide"])
            .await?,
    );
    assert_eq!(wide[0][6..], ["CREDENTIAL", "RESOURCEID", "MESSAGE"]);
    assert_eq!(
        wide[1][6..],
        ["azwib-default-orders-0", ID, "the credential is in place"]
    );

    let category = cluster.kubectl(&["get", "azure", "-o", "name"]).await?;
    assert!(
        category.contains("workloadidentitybinding.azwib.dev/columns"),
        "{category}"
    );
    Ok(())
}

/// The cells of a table as kubectl prints it: at least three spaces stand between two columns.
fn table(output: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        line.split("   ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .map(str::to_owned)
            .collect()
    };
    output.lines().map(cells).collect()
}

#[tokio::test]
async fn kubectl_explains_every_field() -> anyhow::Result<()> {
    let explained = cluster()
        .await?
        .kubectl(&["explain", "azwib", "--recursive"])
        .await?;
    for field in [
        "resourceId\t<string>",
        "tokenExpirationSeconds\t<integer>",
        "observedGeneration\t<integer>",
    ] {
        assert!(explained.contains(field), "{explained}");
    }
    let explained = cluster()
        .await?
        .kubectl(&["explain", "azwib.spec.deletionPolicy"])
        .await?;
    assert!(
        explained.contains("ENUM:") && explained.contains("when the binding is deleted"),
        "{explained}"
    );
    Ok(())
}
