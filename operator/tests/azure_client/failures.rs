//! What the calls make of bad answers and of none.

use std::time::Duration;

use axum::{
    http::{StatusCode, header},
    response::{Html, IntoResponse},
};
use azwib_operator::azure::{
    AzureError, AzureErrorKind, Cause, IdentityService,
    cloud::Cloud,
    msi::{MsiIdentityService, MsiOptions},
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fake_azure::{
    Answer, FakeAzure, content, credential, error, identity, list, ok, status, token_number,
};

async fn read(service: &MsiIdentityService) -> AzureError {
    list(service).await.expect_err("fails")
}

async fn write(service: &MsiIdentityService) -> AzureError {
    service
        .put_credential(&identity(), &credential(), &content())
        .await
        .expect_err("fails")
}

async fn delete(service: &MsiIdentityService) -> AzureError {
    service
        .delete_credential(&identity(), &credential())
        .await
        .expect_err("fails")
}

#[tokio::test]
async fn a_refusal_keeps_code_message_request_id_and_retry_after() {
    let azure = FakeAzure::start().await;
    azure.answer(Answer::Whole(
        (
            StatusCode::TOO_MANY_REQUESTS,
            [("retry-after", "17"), ("x-ms-request-id", "req-1")],
            axum::Json(json!({"error": {"code": "TooManyRequests", "message": "Request is temporarily throttled."}})),
        )
            .into_response(),
    ));
    let failure = write(&azure.service()).await;
    let wait = Some(Duration::from_secs(17));
    assert_eq!(failure.kind(), AzureErrorKind::Throttled);
    assert_eq!(failure.retry_after(), wait);
    assert_eq!(failure.status(), Some(429));
    assert_eq!(
        failure.to_string(),
        "TooManyRequests: Request is temporarily throttled. (request id req-1)"
    );
    assert!(!failure.outcome_unknown());
    assert_eq!(azure.requests().len(), 1, "it is tried once");
}

#[tokio::test]
async fn a_fault_keeps_its_retry_after_and_leaves_a_write_in_doubt() {
    let azure = FakeAzure::start().await;
    for _ in 0..2 {
        azure.answer(Answer::Whole(
            (
                StatusCode::SERVICE_UNAVAILABLE,
                [("retry-after", "2")],
                "busy",
            )
                .into_response(),
        ));
    }
    let service = azure.service();
    for (failure, in_doubt) in [
        (read(&service).await, false),
        (delete(&service).await, true),
    ] {
        assert_eq!(failure.kind(), AzureErrorKind::Unavailable);
        assert_eq!(failure.retry_after(), Some(Duration::from_secs(2)));
        assert_eq!(failure.outcome_unknown(), in_doubt);
    }
    assert_eq!(azure.requests().len(), 2, "each is tried once");
}

#[tokio::test]
async fn not_found_means_the_identity_wherever_no_credential_has_to_be_there() {
    let azure = FakeAzure::start().await;
    let service = azure.service();
    for code in ["NotFound", "ResourceNotFound"] {
        for _ in 0..2 {
            azure.answer(error(404, code, "It was not found."));
        }
        assert_eq!(
            read(&service).await.kind(),
            AzureErrorKind::ParentNotFound,
            "{code}"
        );
        assert_eq!(
            write(&service).await.kind(),
            AzureErrorKind::ParentNotFound,
            "{code}"
        );
    }
    azure.answer(error(404, "ResourceNotFound", "It was not found."));
    assert_eq!(
        delete(&service).await.kind(),
        AzureErrorKind::ParentNotFound
    );
}

#[tokio::test]
async fn what_is_not_from_resource_manager_is_no_answer() {
    let azure = FakeAzure::start().await;
    let service = azure.service();
    let answers: [fn() -> axum::response::Response; 7] = [
        || Html("<html>sign in to the network</html>").into_response(),
        || (StatusCode::FORBIDDEN, Html("<html>blocked</html>")).into_response(),
        || (StatusCode::NOT_FOUND, Html("<html>nothing here</html>")).into_response(),
        || {
            (
                [(header::CONTENT_TYPE, "application/json")],
                "{\"value\": [{\"name\": \"on",
            )
                .into_response()
        },
        || {
            (
                StatusCode::FOUND,
                [(header::LOCATION, "https://elsewhere.example/")],
            )
                .into_response()
        },
        || {
            (
                StatusCode::TEMPORARY_REDIRECT,
                [(header::LOCATION, "/other")],
            )
                .into_response()
        },
        || StatusCode::BAD_GATEWAY.into_response(),
    ];
    for answer in answers {
        let shown = format!("{:?}", answer().status());
        for _ in 0..3 {
            azure.answer(Answer::Whole(answer()));
        }
        let (read, write, delete) = (
            read(&service).await,
            write(&service).await,
            delete(&service).await,
        );
        for failure in [&read, &write, &delete] {
            assert_eq!(failure.kind(), AzureErrorKind::Unavailable, "{shown}");
            assert!(!failure.to_string().contains("html"), "{failure}");
        }
        assert!(!read.outcome_unknown(), "{shown}");
        assert!(
            write.outcome_unknown() && delete.outcome_unknown(),
            "{shown}"
        );
    }
    assert_eq!(azure.requests().len(), 21, "no redirect is followed");
}

#[tokio::test]
async fn json_of_another_form_is_no_answer_and_is_not_shown() {
    let azure = FakeAzure::start().await;
    let service = azure.service();
    for body in [
        json!({"value": {"secret": "hunter2"}}),
        json!({"values": ["hunter2"]}),
        json!({}),
        json!(["hunter2"]),
    ] {
        azure.answer(ok(body.clone()));
        azure.answer(ok(body));
        let (failure, write) = (read(&service).await, write(&service).await);
        assert_eq!(failure.kind(), AzureErrorKind::Unavailable);
        assert!(write.outcome_unknown(), "{write}");
        assert!(
            !format!("{failure} {failure:?}").contains("hunter2"),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn a_write_with_a_success_that_means_nothing_is_in_doubt() {
    let azure = FakeAzure::start().await;
    let service = azure.service();
    for _ in 0..2 {
        azure.answer(status(StatusCode::ACCEPTED, json!({})));
    }
    for failure in [write(&service).await, delete(&service).await] {
        assert_eq!(failure.kind(), AzureErrorKind::Unavailable);
        assert_eq!(failure.status(), Some(202));
        assert!(failure.outcome_unknown());
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_read_to_its_end() {
    let azure = FakeAzure::start().await;
    azure.answer(ok(json!({"value": [], "padding": "x".repeat(5 << 20)})));
    let failure = read(&azure.service()).await;
    assert_eq!(failure.kind(), AzureErrorKind::Unavailable);
    assert!(failure.to_string().contains("too long"), "{failure}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_leaves_a_write_in_doubt() {
    let azure = FakeAzure::start().await;
    let options = MsiOptions {
        request_timeout: Duration::from_millis(500),
        ..azure.options()
    };
    let service =
        MsiIdentityService::new(&azure.cloud(), azure.client_secret(), options).expect("is built");
    for _ in 0..2 {
        azure.answer(Answer::Never);
    }
    for (failure, in_doubt) in [(read(&service).await, false), (write(&service).await, true)] {
        assert_eq!(failure.kind(), AzureErrorKind::Unavailable);
        assert_eq!(failure.to_string(), "no answer from 127.0.0.1 in time");
        assert_eq!(failure.outcome_unknown(), in_doubt);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_a_write_in_doubt() {
    let azure = FakeAzure::start().await;
    let hanging_up = format!("https://{}", azure.start_hanging_up().await);
    let cloud = Cloud::custom(&azure.url(), &hanging_up, "https://arm.example").expect("valid");
    let broken =
        MsiIdentityService::new(&cloud, azure.client_secret(), azure.options()).expect("is built");
    let service = azure.service();
    azure.answer(Answer::BrokenOff);
    azure.answer(Answer::BrokenOff);
    for (failure, in_doubt) in [
        (read(&broken).await, false),
        (write(&broken).await, true),
        (read(&service).await, false),
        (delete(&service).await, true),
    ] {
        assert_eq!(failure.kind(), AzureErrorKind::Unavailable);
        assert!(
            failure
                .to_string()
                .starts_with("lost the connection to 127.0.0.1: "),
            "{failure}"
        );
        assert_eq!(failure.outcome_unknown(), in_doubt, "{failure}");
    }
}

#[tokio::test]
async fn a_write_that_was_never_sent_is_not_in_doubt() {
    let azure = FakeAzure::start().await;
    // Nobody listens there any more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("binds");
    let cloud = Cloud::custom(
        &azure.url(),
        &format!("https://{closed}"),
        "https://arm.example",
    );
    let service = MsiIdentityService::new(
        &cloud.expect("valid"),
        azure.client_secret(),
        azure.options(),
    )
    .expect("is built");
    let failure = write(&service).await;
    assert_eq!(failure.kind(), AzureErrorKind::Unavailable);
    assert!(
        failure.to_string().contains("cannot connect to 127.0.0.1"),
        "{failure}"
    );
    assert!(failure.to_string().contains("refused"), "{failure}");
    assert!(!failure.outcome_unknown());
}

#[tokio::test]
async fn a_server_with_a_certificate_of_an_unknown_authority_gets_nothing() {
    let azure = FakeAzure::start().await;
    let options = MsiOptions {
        ca_file: None,
        ..azure.options()
    };
    let service =
        MsiIdentityService::new(&azure.cloud(), azure.client_secret(), options).expect("is built");
    let failure = read(&service).await;
    assert_eq!(failure.kind(), AzureErrorKind::SignInUnavailable);
    assert!(failure.to_string().contains("UnknownIssuer"), "{failure}");
    assert_eq!(azure.sign_ins().len(), 0);
}

#[tokio::test]
async fn no_failure_shows_a_token_that_azure_repeats() {
    let azure = FakeAzure::start().await;
    let token = token_number(1);
    azure.answer(error(
        403,
        "AuthorizationFailed",
        &format!("The token '{token}' may not."),
    ));
    let failure = write(&azure.service()).await;
    assert_eq!(
        failure.to_string(),
        "AuthorizationFailed: The token '[removed]' may not."
    );
    assert!(!format!("{failure:?}").contains(&token));
}

/// What a service over these addresses says of a read.
async fn cause_at(azure: &FakeAzure, endpoint: &str, options: MsiOptions) -> (Cause, String) {
    let cloud = Cloud::custom(&azure.url(), endpoint, "https://arm.example").expect("valid");
    let service = MsiIdentityService::new(&cloud, azure.client_secret(), options);
    let failure = read(&service.expect("is built")).await;
    assert_eq!(failure.kind(), AzureErrorKind::Unavailable, "{failure}");
    (failure.cause().expect("a cause"), failure.to_string())
}

#[tokio::test]
async fn why_there_is_no_answer_is_known() {
    let (azure, other) = (FakeAzure::start().await, FakeAzure::start().await);
    let port = other.address.port();
    for (endpoint, expected, said) in [
        // Its certificate is another fake's, which signed it for itself.
        (other.url(), Cause::Certificate, "certificate"),
        (
            format!("https://arm.invalid:{port}"),
            Cause::Name,
            "cannot connect to arm.invalid",
        ),
        (
            "https://127.0.0.1:1".to_owned(),
            Cause::NoConnection,
            "cannot connect to 127.0.0.1",
        ),
    ] {
        let (cause, text) = cause_at(&azure, &endpoint, azure.options()).await;
        assert_eq!(cause, expected, "{text}");
        assert!(text.contains(said), "{text}");
    }
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("binds");
    let endpoint = format!("https://{}", silent.local_addr().expect("is bound"));
    let options = MsiOptions {
        request_timeout: Duration::from_millis(300),
        ..azure.options()
    };
    let (cause, text) = cause_at(&azure, &endpoint, options).await;
    assert!(
        matches!(cause, Cause::ConnectTimeout | Cause::AnswerTimeout),
        "{text}"
    );
}

/// Listens, and answers what a client begins with by these bytes, for each connection.
async fn answering(bytes: &'static [u8]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("binds");
    let endpoint = format!("https://{}", listener.local_addr().expect("is bound"));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut hello = [0; 1024];
            let _ = client.read(&mut hello).await;
            let _ = client.write_all(bytes).await;
            let _ = client.shutdown().await;
        }
    });
    endpoint
}

#[tokio::test]
async fn who_does_not_speak_tls_as_we_do_is_no_matter_of_networks() {
    let azure = FakeAzure::start().await;
    for (what, bytes) in [
        (
            "plain HTTP",
            &b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"[..],
        ),
        // Alerts of TLS (RFC 8446, section 6): fatal, and why.
        ("protocol_version", &[21, 3, 1, 0, 2, 2, 70]),
        ("handshake_failure", &[21, 3, 3, 0, 2, 2, 40]),
        ("closed in the handshake", &[]),
    ] {
        let endpoint = answering(bytes).await;
        let (cause, text) = cause_at(&azure, &endpoint, azure.options()).await;
        assert_eq!(cause, Cause::Tls, "{what}: {text}");
        assert!(text.contains("cannot connect to 127.0.0.1"), "{text}");
    }
}

#[tokio::test]
async fn a_token_that_comes_back_with_blanks_in_it_is_shown_in_no_piece() {
    let azure = FakeAzure::start().await;
    let service = azure.service();
    let token = token_number(1);
    for (every, with) in [(7, " "), (16, "\n"), (30, " ... "), (9, "', '"), (1000, "")] {
        let pieces: Vec<_> = token.as_bytes().chunks(every).collect();
        let pieces = pieces
            .iter()
            .map(|it| std::str::from_utf8(it).expect("is ascii"));
        let echo = pieces.collect::<Vec<_>>().join(with);
        azure.answer(error(
            400,
            "BadRequest",
            &format!("The token '{echo}' is not nice."),
        ));
        let shown = write(&service).await.to_string();
        for piece in token.as_bytes().windows(8) {
            let piece = std::str::from_utf8(piece).expect("is ascii");
            assert!(!shown.replace(with, "").contains(piece), "{piece}: {shown}");
        }
        assert!(shown.contains("[removed]"), "{shown}");
    }
}
