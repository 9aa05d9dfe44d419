//! The token must not be in the log, whatever is logged. RUSTSEC-2026-0275: the old client writes it there.
//!
//! A program of its own, one test at a time: a line that another thread logs for the first time while nobody listens, just
//! when a subscriber arrives, can stay switched off for the whole process.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "azure_client/fake_azure.rs"]
#[allow(dead_code, unreachable_pub)] // The other program uses the rest.
mod fake_azure;

use std::{
    fs,
    io::{self, Write},
    sync::{Arc, LazyLock, Mutex},
};

use azwib_operator::azure::{IdentityService, auth::Authorization, msi::MsiIdentityService};
use serde_json::json;
use tokio::sync::Mutex as Turn;
use tracing::level_filters::LevelFilter;

use fake_azure::{
    FakeAzure, Recorded, SECRET, content, credential, error, identity, list, ok, token_number,
    workload_identity,
};

const ASSERTION: &str =
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.eyJzdWIiOiJhc3NlcnRpb24ifQ.signature-of-the-assertion";

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

static TURN: Turn<()> = Turn::const_new(());

/// Signs in both ways, reads, writes, meets a 401; gives back all that was logged at trace level.
async fn log_of_a_life(authorization: Authorization) -> String {
    let _turn = TURN.lock().await;
    let capture = Capture::default();
    let writer = capture.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let log: &Capture = &LOG;

    for by_secret in [true, false] {
        let azure = FakeAzure::start().await;
        let token_file = azure.files.path().join("token");
        fs::write(&token_file, ASSERTION).expect("is written");
        let auth = match by_secret {
            true => azure.client_secret(),
            false => workload_identity(&token_file),
        };
        let service = MsiIdentityService::with_authorization(
            &azure.cloud(),
            auth,
            azure.options(),
            authorization,
        )
        .expect("is built");
        azure.answer(ok(json!({"value": []})));
        azure.answer(ok(json!({"properties": {}})));
        azure.answer(error(
            401,
            "ExpiredAuthenticationToken",
            "The token has expired.",
        ));
        azure.answer(ok(json!({"value": []})));
        let listed = list(&service).await;
        listed.expect("is listed");
        let put = service
            .put_credential(&identity(), &credential(), &content())
            .await;
        put.expect("is put");
        let _ = list(&service).await;
        let carries_a_token = |request: &Recorded| request.authorization.starts_with("Bearer eyJ");
        assert!(azure.requests().iter().all(carries_a_token));
    }
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
    let tokens = (1..=2).map(token_number);
    for secret in tokens.chain([ASSERTION.to_owned(), SECRET.to_owned()]) {
        for segment in secret.split('.') {
            assert!(!log.contains(segment), "{segment} is in the log");
        }
    }
}

#[tokio::test]
async fn the_same_search_finds_the_token_without_the_guard() {
    let log = log_of_a_life(Authorization::InsideTheClient).await;
    assert!(shows_the_put(&log));
    assert!(log.contains(&token_number(1)));
}
