//! What is logged is changed while the operator runs, by those whom the API server gives the right.

use azwib_e2e::checks::secrets::SecretSearch;
use azwib_e2e::environment::PATIENCE;
use azwib_e2e::{Environment, OperatorProcess, wait};
use reqwest::{Method, StatusCode};

use super::{bind, operator, token};

const PATH: &str = "/debug/flags/log-level";
const EDITOR: &str = "platform/editor";
const READER: &str = "monitoring/prometheus";

/// A request as `curl --insecure` makes it.
async fn ask(
    operator: &OperatorProcess,
    method: Method,
    token: &str,
    body: &str,
) -> anyhow::Result<(StatusCode, String)> {
    let address = operator.address_of("metrics").await?;
    let http = reqwest::Client::builder()
        .no_proxy()
        .danger_accept_invalid_certs(true)
        .build()?;
    let request = http.request(method, format!("https://{address}{PATH}"));
    let request = request.bearer_auth(token).body(body.to_owned());
    let answer = request.send().await?;
    Ok((answer.status(), answer.text().await?))
}

/// An operator that logs at `info`, and the tokens of who may change that and of who may only scrape.
async fn with_editor_and_reader(
    env: &Environment,
) -> anyhow::Result<(OperatorProcess, String, String)> {
    let operator = operator(env, &["--log-level=info".to_owned()]).await?;
    operator.probe_until("/readyz", 200, "ok").await?;
    let (editor, reader) = (token(env, EDITOR).await?, token(env, READER).await?);
    bind(env, READER, "azwib-metrics-reader").await?;
    bind(env, EDITOR, "azwib-log-level-editor").await?;
    wait::until("the right to be known", PATIENCE, async || {
        let (status, said) = ask(&operator, Method::GET, &editor, "").await?;
        Ok((status == 200 && said == "info\n").then_some(()))
    })
    .await?;
    Ok((operator, editor, reader))
}

/// Whether the log has a line of the operator's own below `info`.
fn has_debug_lines(log: &str) -> bool {
    log.lines().any(|it| it.contains("DEBUG azwib_operator"))
}

#[tokio::test]
async fn who_has_the_right_changes_what_is_logged_until_it_is_changed_again() -> anyhow::Result<()>
{
    let env = Environment::without_operator().await?;
    let (operator, editor, reader) = with_editor_and_reader(&env).await?;
    let shop = env.namespace("log-level").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    assert!(!has_debug_lines(&operator.log()?));

    let asked = "info,azwib_operator=debug\n";
    let (status, said) = ask(&operator, Method::PUT, &editor, asked).await?;
    assert_eq!(
        (status.as_u16(), said.as_str()),
        (200, "azwib_operator=debug,info\n")
    );
    let line = r#"the log level is changed user="system:serviceaccount:platform:editor" filter="azwib_operator=debug,info""#;
    operator.logs(line).await?;
    operator.logs("DEBUG azwib_operator").await?;

    // The line of the last change is the last but for what was under way.
    let (status, said) = ask(&operator, Method::PUT, &editor, "off").await?;
    assert_eq!((status.as_u16(), said.as_str()), (200, "off\n"));
    operator.logs(r#"editor" filter="off""#).await?;
    shop.bind_to("invoices", &orders).await?;
    shop.ready("invoices").await?;
    assert!(!operator.log()?.contains("invoices"));

    // Everything, of every library.
    let (status, _) = ask(&operator, Method::PUT, &editor, "trace").await?;
    assert_eq!(status, 200);
    operator.logs(r#"editor" filter="trace""#).await?;
    shop.bind_to("payments", &shop.identity("payments").await?)
        .await?;
    shop.ready("payments").await?;
    operator.logs("TRACE").await?;
    let mut secrets = vec![editor, reader];
    let seen = env.control().secrets().await?;
    secrets.extend(seen.into_iter().map(|it| it.value));
    let search = SecretSearch::of(secrets.iter().map(String::as_str));
    assert_eq!(search.findings(&operator.log()?), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn who_may_only_scrape_is_refused_and_a_bad_filter_changes_nothing() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let (operator, editor, reader) = with_editor_and_reader(&env).await?;

    for (method, verb) in [(Method::PUT, "put"), (Method::GET, "get")] {
        let (status, said) = ask(&operator, method, &reader, "debug").await?;
        assert_eq!(status, 403, "{said}");
        let expected = format!(
            "system:serviceaccount:monitoring:prometheus may not {verb} {PATH}: bind it to the ClusterRole azwib-log-level-editor"
        );
        assert!(said.contains(&expected), "{said}");
    }
    let (status, said) = ask(&operator, Method::PUT, "a.made.up-token", "debug").await?;
    assert_eq!(status, 401, "{said}");

    let long = "a".repeat(2000);
    for (body, status, expected) in [
        (
            "loud",
            400,
            r#""loud" is not a level or a filter such as info,azwib_operator=debug"#,
        ),
        (
            "azwib_operator=loud",
            400,
            r#""azwib_operator=loud" is not a level"#,
        ),
        ("\n", 400, "there is no text in the request"),
        (&long, 413, "longer than 1024 bytes"),
    ] {
        let (answered, said) = ask(&operator, Method::PUT, &editor, body).await?;
        assert_eq!(answered, status, "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let (status, said) = ask(&operator, Method::GET, &editor, "").await?;
    assert_eq!((status.as_u16(), said.as_str()), (200, "info\n"));
    Ok(())
}

#[tokio::test]
async fn by_plain_http_there_is_no_log_level() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let operator = env
        .operator_with(env.operator_flags(), Default::default(), None)
        .await?;
    let address = operator.address_of("metrics").await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    for method in [Method::GET, Method::PUT] {
        let request = http.request(method, format!("http://{address}{PATH}"));
        let answer = request.body("trace").send().await?;
        assert_eq!(answer.status(), 404);
        let said = answer.text().await?;
        assert!(said.contains("--metrics-secure"), "{said}");
    }
    assert!(!operator.log()?.contains("the log level is changed"));
    Ok(())
}
