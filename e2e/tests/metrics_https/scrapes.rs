//! Who may scrape, and which certificate the metrics are served with.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use azwib_e2e::environment::PATIENCE;
use azwib_e2e::{Environment, OperatorProcess, wait};
use rcgen::{CertificateParams, KeyPair};
use reqwest::{Certificate, StatusCode};

use super::{bind, operator, token};

const SCRAPER: &str = "monitoring/prometheus";

/// A scrape as Prometheus makes it, which trusts nothing but this certificate; none at all where none is given, and anything.
async fn scrape(
    address: SocketAddr,
    trusted: Option<&str>,
    token: Option<&str>,
) -> anyhow::Result<(StatusCode, String)> {
    let http = reqwest::Client::builder().no_proxy();
    let http = match trusted {
        Some(pem) => http
            .tls_built_in_root_certs(false)
            .add_root_certificate(Certificate::from_pem(pem.as_bytes())?),
        None => http.danger_accept_invalid_certs(true),
    };
    let mut request = http.build()?.get(format!("https://{address}/metrics"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await?;
    Ok((answer.status(), answer.text().await?))
}

/// Writes a certificate for 127.0.0.1 as cert-manager would, and gives it.
fn write_certificate(folder: &Path) -> anyhow::Result<String> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()])?.self_signed(&key)?;
    fs::write(folder.join("tls.key"), key.serialize_pem())?;
    fs::write(folder.join("tls.crt"), certificate.pem())?;
    Ok(certificate.pem())
}

async fn reviews(env: &Environment, resource: &str) -> anyhow::Result<usize> {
    let mut count = 0;
    env.control_plane.for_each_audited(|event| {
        let of = event.object_ref.as_ref().and_then(|it| it.resource.clone());
        count += usize::from(of.as_deref() == Some(resource));
    })?;
    Ok(count)
}

#[tokio::test]
async fn who_has_the_right_may_scrape_and_nobody_else() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let operator = operator(&env, &[]).await?;
    operator.probe_until("/readyz", 200, "ok").await?;
    let address = operator.address_of("metrics").await?;
    let token = token(&env, SCRAPER).await?;

    let (status, said) = scrape(address, None, None).await?;
    assert_eq!(status, 401, "{said}");
    assert!(said.contains("Authorization: Bearer"), "{said}");
    let (status, said) = scrape(address, None, Some("a.made.up-token")).await?;
    assert_eq!(status, 401, "{said}");
    let (status, said) = scrape(address, None, Some(&token)).await?;
    assert_eq!(status, 403, "{said}");
    let expected = "system:serviceaccount:monitoring:prometheus may not get /metrics";
    assert!(said.contains(expected), "{said}");

    // As docs/runbooks.md says.
    bind(&env, SCRAPER, "azwib-metrics-reader").await?;
    wait::until("the right to be known", PATIENCE, async || {
        let (status, said) = scrape(address, None, Some(&token)).await?;
        Ok((status == 200 && said.contains("azwib_build_info")).then_some(()))
    })
    .await?;
    // The answer counts for a minute.
    let before = reviews(&env, "tokenreviews").await?;
    assert!(before > 0);
    for _ in 0..20 {
        assert_eq!(scrape(address, None, Some(&token)).await?.0, 200);
    }
    assert_eq!(reviews(&env, "tokenreviews").await?, before);

    // The port does not answer plain http, and the probes stay as they are.
    let plain = reqwest::Client::builder().no_proxy().build()?;
    let answer = plain.get(format!("http://{address}/metrics")).send().await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(operator.probe("/healthz").await?.0, 200);
    Ok(())
}

/// Waits until a scrape that trusts this certificate alone is answered, with whatever.
async fn served_with(operator: &OperatorProcess, certificate: &str) -> anyhow::Result<()> {
    let address = operator.address_of("metrics").await?;
    let what = "the certificate to be served";
    wait::until(what, PATIENCE, async || {
        let answer = scrape(address, Some(certificate), None).await;
        Ok(answer.is_ok_and(|(status, _)| status == 401).then_some(()))
    })
    .await
    .with_context(|| operator.log_tail())
}

#[tokio::test]
async fn a_certificate_that_is_rotated_is_served_without_a_restart() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let folder = tempfile::tempdir()?;
    let one = write_certificate(folder.path())?;
    let folder_flag = format!("--metrics-cert-path={}", folder.path().display());
    let operator = operator(&env, &[folder_flag]).await?;
    served_with(&operator, &one).await?;

    // Half of a rotation leaves it as it is.
    let key = fs::read(folder.path().join("tls.key"))?;
    fs::write(folder.path().join("tls.key"), "nonsense")?;
    operator
        .logs("/metrics is still served with the certificate before")
        .await?;
    served_with(&operator, &one).await?;
    fs::write(folder.path().join("tls.key"), key)?;

    let two = write_certificate(folder.path())?;
    served_with(&operator, &two).await?;
    let address = operator.address_of("metrics").await?;
    let old = scrape(address, Some(&one), None).await;
    assert!(old.is_err(), "{old:?}");
    assert_eq!(operator.exit(), None);
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_is_away_lets_nobody_scrape_who_was_not_known() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let operator = operator(&env, &[]).await?;
    operator.probe_until("/readyz", 200, "ok").await?;
    let address = operator.address_of("metrics").await?;
    let token = token(&env, SCRAPER).await?;
    env.control_plane.stop_api_server().await?;
    let (status, said) = scrape(address, None, Some(&token)).await?;
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("does not say who may get /metrics"), "{said}");
    Ok(())
}
