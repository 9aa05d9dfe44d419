use std::time::{Duration, Instant};

use azure_simulator::Tunables;
use azure_simulator::control::api::{
    Fault, FaultAction, LatencyTail, Matcher, RequestRecord, When,
};
use reqwest::redirect::Policy;

use crate::support::{
    Azure, Reply, VERSION, credential, credential_path, credentials_path, identity_path,
};

async fn add(azure: &Azure, when: When, action: FaultAction) {
    let fault = Fault {
        matcher: Matcher {
            path: Some("**/federatedIdentityCredentials/*".into()),
            method: Some("PUT".into()),
            ..Matcher::default()
        },
        skip: 0,
        times: Some(1),
        when,
        action,
    };
    azure.control.add_fault(&fault).await.unwrap();
}

/// Puts a credential: its answer, or the error of the connection or of the body.
async fn put(azure: &Azure, name: &str) -> Result<(u16, String), reqwest::Error> {
    let url = format!(
        "{}{}?api-version={VERSION}",
        azure.simulator.arm_url(),
        credential_path("orders", name)
    );
    let request = azure
        .http
        .put(url)
        .bearer_auth(azure.owner().await.token)
        .json(&credential("https://issuer/", name));
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}

async fn exists(azure: &Azure, name: &str) -> bool {
    let path = credential_path("orders", name);
    azure.owner().await.get(&path).await.status == 200
}

async fn last_put(azure: &Azure) -> RequestRecord {
    let requests = azure.control.requests().await.unwrap();
    let mut puts = requests.into_iter().filter(|record| record.method == "PUT");
    puts.next_back().unwrap()
}

#[tokio::test]
async fn an_answer_can_be_cut_off_in_the_middle() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    for (when, name, effective) in [
        (When::BeforeEffect, "before", false),
        (When::AfterEffect, "after", true),
    ] {
        add(&azure, when, FaultAction::CutOff).await;
        let error = put(&azure, name).await.unwrap_err();
        assert!(error.is_body() || error.is_decode(), "{error:?}");
        assert_eq!(exists(&azure, name).await, effective);
    }
    assert_eq!(put(&azure, "next").await.unwrap().0, 201);
}

#[tokio::test]
async fn an_answer_can_stay_away_until_the_caller_gives_up() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    add(&azure, When::AfterEffect, FaultAction::NeverAnswer).await;
    let waiting = put(&azure, "lost");
    tokio::select! {
        answer = waiting => unreachable!("{answer:?}"),
        () = async {
            while !exists(&azure, "lost").await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        } => {}
    }
    // The provider is done with it: another write is let in.
    assert_eq!(put(&azure, "next").await.unwrap().0, 201);
}

#[tokio::test]
async fn an_answer_can_be_a_page_or_a_redirect() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let page = FaultAction::HtmlPage { status: 502 };
    add(&azure, When::BeforeEffect, page).await;
    let (status, text) = put(&azure, "first").await.unwrap();
    assert_eq!(status, 502);
    assert!(text.starts_with("<html>"), "{text}");
    let location = "https://login.example/".to_owned();
    let redirect = FaultAction::Redirect { location };
    add(&azure, When::BeforeEffect, redirect).await;
    let ca = std::fs::read(azure.simulator.ca_path()).unwrap();
    let http = reqwest::Client::builder()
        .add_root_certificate(reqwest::Certificate::from_pem(&ca).unwrap())
        .redirect(Policy::none())
        .build()
        .unwrap();
    let url = format!(
        "{}{}?api-version={VERSION}",
        azure.simulator.arm_url(),
        credential_path("orders", "second")
    );
    let reply = Reply::of(http.put(url).send().await.unwrap()).await;
    assert_eq!(reply.status, 307);
    assert_eq!(reply.header("location"), "https://login.example/");
    let list = azure.owner().await.get(&credentials_path("orders")).await;
    assert_eq!(list.names(), [""; 0]);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_can_take_effect_later() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let late = FaultAction::LateEffect {
        milliseconds: 300,
        keeps_turn: true,
        keeps_connection: false,
    };
    add(&azure, When::AfterEffect, late).await;
    let sent = Instant::now();
    put(&azure, "late").await.unwrap_err();
    let record = last_put(&azure).await;
    if sent.elapsed() < Duration::from_millis(300) {
        assert_eq!((record.status, record.effective), (None, false));
    }
    // Until then it is under way.
    while put(&azure, "other").await.unwrap().0 == 409 {
        assert!(sent.elapsed().as_secs() < 10, "it never took effect");
    }
    let let_in = last_put(&azure).await.started;
    assert!(let_in.duration_since(record.started).as_millis() >= 300);
    assert!(exists(&azure, "late").await);
    let requests = azure.control.requests().await.unwrap();
    let late = requests.iter().find(|it| it.id == record.id).unwrap();
    let effect = late.effect.unwrap().duration_since(late.started);
    assert!(late.effective && effect.as_millis() >= 300, "{late:?}");
    assert!(effect.as_millis() < 10_000, "{late:?}");
}

#[tokio::test]
async fn a_few_requests_can_take_much_longer() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let tail = LatencyTail {
        per_mille: 1000,
        up_to_milliseconds: 400,
    };
    let tunables = Tunables {
        latency_tail: Some(tail),
        ..Tunables::default()
    };
    azure.control.set_tunables(&tunables).await.unwrap();
    azure.control.clear_log().await.unwrap();
    for _ in 0..12 {
        owner.get(&identity_path("orders")).await;
    }
    let requests = azure.control.requests().await.unwrap();
    let mut milliseconds: Vec<_> = requests
        .iter()
        .map(|record| {
            let took = record.ended.unwrap().duration_since(record.started);
            took.as_millis()
        })
        .collect();
    milliseconds.sort_unstable();
    // From the seed: always the same draws.
    assert!(milliseconds[0] < milliseconds[11] / 2, "{milliseconds:?}");
    assert!(milliseconds[11] >= 50, "{milliseconds:?}");
}
