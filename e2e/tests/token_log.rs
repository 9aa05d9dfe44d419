//! What the two guards against tokens in the log are for (RUSTSEC-2026-0275), in three runs of the same life of a binding
//! with everything logged.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use azwib_e2e::checks::secrets::SecretSearch;
use azwib_e2e::supervisor::binary_beside;
use azwib_e2e::{Environment, EnvironmentOptions};

/// What a run has logged, and a search for the secrets that passed in it.
struct Run {
    log: String,
    secrets: SecretSearch,
}

impl Run {
    /// A binding is made and deleted by the shipped operator, or by one without guards in this environment.
    async fn of(unguarded: Option<&[(&str, &str)]>) -> anyhow::Result<Self> {
        let env = Environment::start(EnvironmentOptions {
            start_operator: false,
            // What is logged without guards must not be found by the search over all logs.
            keep_records: unguarded.is_none(),
            ..EnvironmentOptions::default()
        })
        .await?;
        let binary = match unguarded {
            Some(_) => Some(binary_beside(
                "operator-unguarded",
                "cargo build --workspace --bins",
            )?),
            None => None,
        };
        let variables: BTreeMap<_, _> = unguarded
            .unwrap_or_default()
            .iter()
            .chain(&[("RUST_LOG", "trace")])
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let access = env.operator_access().await?;
        let tokens = access.secrets()?;
        let operator = env
            .operator_with_access(access, env.operator_flags(), variables, binary)
            .await?;
        let shop = env.namespace("token-log").await?;
        let orders = shop.identity("orders").await?;
        shop.bind_to("orders", &orders).await?;
        shop.ready("orders").await?;
        shop.unbind("orders").await?;
        operator.terminate().await?;

        let seen = env.control().secrets().await?;
        let of_operator = tokens.iter().map(String::as_str);
        Ok(Self {
            log: operator.log()?,
            secrets: SecretSearch::of(seen.iter().map(|it| it.value.as_str()).chain(of_operator)),
        })
    }

    /// Lines of the HTTP client of Azure's old SDK below the level that is let through.
    fn has_debug_lines_of_the_client(&self) -> bool {
        let of_client = |line: &str| {
            let (level, target) = line.split_once(" azure_core").unwrap_or_default();
            !target.is_empty() && (level.ends_with("DEBUG") || level.ends_with("TRACE"))
        };
        self.log.lines().any(of_client)
    }

    /// What that client writes of the request that makes a credential; on many lines, its headers among them.
    fn shows_the_put(&self) -> bool {
        let mut requests = self.log.split("will be passed to the transport policy");
        requests.next();
        requests
            .filter_map(|request| request.split_once("headers:"))
            .any(|(line, _)| line.contains("method: Put"))
    }
}

#[tokio::test]
async fn the_operator_as_shipped_logs_neither_requests_to_azure_nor_tokens() -> anyhow::Result<()> {
    let run = Run::of(None).await?;
    assert!(run.log.contains("TRACE"), "everything else is logged");
    assert!(!run.has_debug_lines_of_the_client());
    assert!(!run.shows_the_put());
    assert!(!run.secrets.is_empty());
    assert_eq!(run.secrets.findings(&run.log), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn without_the_log_filter_a_request_is_logged_and_still_no_token() -> anyhow::Result<()> {
    let run = Run::of(Some(&[])).await?;
    assert!(run.has_debug_lines_of_the_client());
    assert!(run.shows_the_put());
    assert!(!run.secrets.is_empty());
    assert_eq!(run.secrets.findings(&run.log), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn without_the_placeholder_as_well_the_same_search_finds_the_token() -> anyhow::Result<()> {
    let run = Run::of(Some(&[("AZWIB_TOKEN_INSIDE_THE_CLIENT", "1")])).await?;
    assert!(run.shows_the_put());
    assert_ne!(run.secrets.findings(&run.log), Vec::<String>::new());
    Ok(())
}
