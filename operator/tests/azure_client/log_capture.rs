//! The token must not be in the log, whatever is logged. RUSTSEC-2026-0275: the old client writes it there.

use std::{
    io::{self, Write},
    sync::{Arc, LazyLock, Mutex},
};

use azwib_operator::azure::{
    CredentialContent, IdentityService, auth::Authorization, msi::MsiIdentityService,
};
use serde_json::json;
use tracing::level_filters::LevelFilter;

use super::fake_azure::{FakeAzure, SECRET, credential, error, identity, ok, token_number};

/// Everything that is written through `tracing` or `log`, at any level.
#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<u8>>>);

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("not poisoned")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl log::Log for Capture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}\n", record.target(), record.args());
        self.0
            .lock()
            .expect("not poisoned")
            .extend_from_slice(line.as_bytes());
    }

    fn flush(&self) {}
}

impl Capture {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("not poisoned")).into_owned()
    }
}

/// `log` knows one logger for the whole process.
static LOG: LazyLock<&'static Capture> = LazyLock::new(|| {
    let capture: &'static Capture = Box::leak(Box::default());
    log::set_logger(capture).expect("is the first");
    log::set_max_level(log::LevelFilter::Trace);
    capture
});

/// Reads, writes, signs in again after a 401 and fails to sign in; gives back all that was logged at trace level.
async fn log_of_a_life(authorization: Authorization) -> String {
    let capture = Capture::default();
    let writer = capture.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let log: &Capture = &LOG;

    let azure = FakeAzure::start().await;
    let service = MsiIdentityService::with_authorization(
        &azure.cloud(),
        azure.client_secret(),
        azure.options(),
        authorization,
    )
    .expect("is built");
    let content = CredentialContent {
        issuer: "https://oidc.example/".to_owned(),
        subject: "system:serviceaccount:shop:orders".to_owned(),
        audiences: vec!["api://AzureADTokenExchange".to_owned()],
    };
    azure.answer(ok(json!({"value": []})));
    azure.answer(ok(json!({"properties": {}})));
    azure.answer(error(
        401,
        "ExpiredAuthenticationToken",
        "The token has expired.",
    ));
    azure.answer(ok(json!({"value": []})));
    service
        .list_credentials(&identity())
        .await
        .expect("is listed");
    service
        .put_credential(&identity(), &credential(), &content)
        .await
        .expect("is put");
    let _ = service.list_credentials(&identity()).await;
    assert!(
        azure
            .requests()
            .iter()
            .all(|request| request.authorization.starts_with("Bearer eyJ"))
    );
    capture.text() + &log.text()
}

/// The line in which the old client shows a whole request.
fn shows_the_put(log: &str) -> bool {
    log.contains("will be passed to the transport policy") && log.contains("method: Put")
}

#[tokio::test]
async fn no_token_is_in_a_log_at_trace_level() {
    let log = log_of_a_life(Authorization::BelowTheLogLine).await;
    assert!(
        shows_the_put(&log),
        "the capture sees the line that could leak"
    );
    for number in 1..=2 {
        for segment in token_number(number).split('.') {
            assert!(!log.contains(segment), "{segment} is in the log");
        }
    }
    assert!(!log.contains(SECRET));
    assert!(!log.contains("client_secret="));
}

#[tokio::test]
async fn the_same_search_finds_the_token_without_the_guard() {
    let log = log_of_a_life(Authorization::InsideTheClient).await;
    assert!(shows_the_put(&log));
    assert!(log.contains(&token_number(1)));
}
