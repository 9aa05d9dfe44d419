//! The core without a server: its phases, driven one by one with a clock of the test's own.
#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is how a failure is told; clippy.toml spares test functions only, not what they call"
)]

use std::sync::OnceLock;

use azure_simulator::core::http::{Answer, Request, Response, Service};
use azure_simulator::core::interference::{FaultAction, Latency, Matcher, When};
use azure_simulator::core::{Azure, Endpoints, Operation, Outcome, Settings, SigningKey};
use azure_simulator::{ServicePrincipal, Tunables};
use http::{HeaderMap, Method};
use jiff::{SignedDuration, Timestamp};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

const TENANT: Uuid = uuid!("11111111-1111-4111-8111-111111111111");
const SUBSCRIPTION: Uuid = uuid!("22222222-2222-4222-8222-222222222222");
const OWNER: Uuid = uuid!("33333333-3333-4333-8333-333333333333");

fn noon() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn azure() -> Azure {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        SigningKey::from_pem(&key.to_pkcs8_pem(LineEnding::LF).unwrap()).unwrap()
    });
    let settings = Settings {
        tenant: TENANT,
        subscription: SUBSCRIPTION,
        resource_groups: vec!["rg-shop".into()],
        service_principals: vec![ServicePrincipal {
            client_id: OWNER,
            secret: Some("secret".into()),
        }],
        endpoints: Endpoints::new("https://arm", "https://entra", "https://issuer"),
        tunables: Tunables::default(),
        latencies: vec![],
        seed: 1,
    };
    Azure::new(settings, key.clone())
}

fn response(outcome: Outcome) -> Response {
    outcome.answer.response().unwrap().clone()
}

fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

/// Signs the owner in at this time.
fn token(azure: &mut Azure, now: Timestamp) -> String {
    let form = format!(
        "grant_type=client_credentials&client_id={OWNER}&client_secret=secret&scope=https%3A%2F%2Fmanagement.azure.com%2F.default"
    );
    let request = Request {
        service: Service::Entra,
        method: Method::POST,
        path: format!("/{TENANT}/oauth2/v2.0/token"),
        query: String::new(),
        base_url: "https://entra".into(),
        headers: HeaderMap::new(),
        body: form.into(),
    };
    let mut operation = azure.begin(request, now);
    let answer = response(azure.take_effect(&mut operation, now));
    body(&answer)["access_token"].as_str().unwrap().to_owned()
}

fn credential_request(method: Method, token: &str, name: &str) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    let properties = json!({"issuer": "https://issuer/", "subject": name, "audiences": ["a"]});
    Request {
        service: Service::ResourceManager,
        method,
        path: format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders/federatedIdentityCredentials/{name}"
        ),
        query: "api-version=2023-01-31".into(),
        base_url: "https://arm".into(),
        headers,
        body: json!({"properties": properties}).to_string().into(),
    }
}

fn begin(azure: &mut Azure, method: Method, token: &str, name: &str) -> Operation {
    azure.begin(credential_request(method, token, name), noon())
}

fn status(azure: &mut Azure, mut operation: Operation) -> u16 {
    response(azure.take_effect(&mut operation, noon()))
        .status
        .as_u16()
}

#[test]
fn requests_overlap_and_take_effect_in_the_order_of_the_driver() {
    let mut azure = azure();
    azure.set_tunables(Tunables {
        single_writer: false,
        ..Tunables::default()
    });
    azure
        .create_identity(SUBSCRIPTION, "rg-shop", "orders")
        .unwrap();
    let token = token(&mut azure, noon());
    let put = begin(&mut azure, Method::PUT, &token, "shop");
    let delete = begin(&mut azure, Method::DELETE, &token, "shop");
    let get = begin(&mut azure, Method::GET, &token, "shop");
    // The one that arrived last takes effect first.
    assert_eq!(status(&mut azure, get), 404);
    assert_eq!(status(&mut azure, put), 201);
    assert_eq!(status(&mut azure, delete), 200);
}

/// What happens to a write, by its number.
enum Step {
    Begin(Method),
    TakeEffect(usize),
    End(usize),
}

#[test]
fn the_second_of_two_writes_that_overlap_on_an_identity_is_refused() {
    use Step::{Begin, End, TakeEffect};
    let put = || Begin(Method::PUT);
    let delete = || Begin(Method::DELETE);
    let cases: [(&[Step], &[u16]); 6] = [
        (
            &[put(), TakeEffect(0), End(0), put(), TakeEffect(1)],
            &[201, 200],
        ),
        (&[put(), put(), TakeEffect(0), TakeEffect(1)], &[201, 409]),
        // Until its answer is out, a write is under way.
        (&[put(), TakeEffect(0), put(), TakeEffect(1)], &[201, 409]),
        (
            &[delete(), put(), TakeEffect(1), TakeEffect(0)],
            &[409, 204],
        ),
        // One that is refused is not under way.
        (
            &[put(), put(), TakeEffect(0), End(0), put(), TakeEffect(2)],
            &[201, 200],
        ),
        // One whose caller has gone before its effect is over.
        (&[put(), End(0), put(), TakeEffect(1)], &[201]),
    ];
    for (number, (steps, expected)) in cases.into_iter().enumerate() {
        let mut azure = azure();
        azure
            .create_identity(SUBSCRIPTION, "rg-shop", "orders")
            .unwrap();
        let token = token(&mut azure, noon());
        let (mut writes, mut statuses) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Begin(method) => writes.push(begin(&mut azure, method.clone(), &token, "shop")),
                TakeEffect(write) => {
                    let outcome = azure.take_effect(&mut writes[*write], noon());
                    statuses.push(response(outcome).status.as_u16());
                }
                End(write) => azure.end(writes[*write].id(), None, noon()),
            }
        }
        assert_eq!(statuses, expected, "case {number}");
    }
}

#[test]
fn latency_lies_around_the_effect() {
    let mut azure = azure();
    let latency = Latency {
        matcher: Matcher::default(),
        milliseconds: 101,
        jitter_milliseconds: 0,
    };
    let token = token(&mut azure, noon());
    azure.set_latencies(vec![latency]).unwrap();
    let mut get = begin(&mut azure, Method::GET, &token, "shop");
    assert_eq!(get.effect_at(), noon() + SignedDuration::from_millis(50));
    let effect = get.effect_at();
    let outcome = azure.take_effect(&mut get, effect);
    assert_eq!(outcome.at, noon() + SignedDuration::from_millis(101));
}

#[test]
fn a_late_write_takes_effect_when_it_is_due_if_the_identity_is_free_then() {
    let seconds = |seconds| noon() + SignedDuration::from_secs(seconds);
    // Whether it keeps its turn; when another write begins and ends; whether the other one passes, whether the late one does.
    for (keeps_turn, other, passes, comes) in [
        (false, (1, 2), true, true),
        (false, (29, 31), true, false),
        (true, (1, 2), false, true),
        (true, (31, 32), true, true),
    ] {
        let mut azure = azure();
        azure
            .create_identity(SUBSCRIPTION, "rg-shop", "orders")
            .unwrap();
        let token = token(&mut azure, noon());
        let late = FaultAction::LateEffect {
            milliseconds: 30_000,
            keeps_turn,
            keeps_connection: false,
        };
        let put = credential_request(Method::PUT, &token, "late");
        let mut put = azure.begin_with(put, Some((When::BeforeEffect, late)), noon());
        let outcome = azure.take_effect(&mut put, noon());
        assert!(matches!(outcome.answer, Answer::ConnectionDropped));
        azure.end(put.id(), None, noon());
        let other_put = credential_request(Method::PUT, &token, "other");
        let mut second = azure.begin(other_put, seconds(other.0));
        let passed = response(azure.take_effect(&mut second, seconds(other.0))).status == 201;
        azure.end(second.id(), None, seconds(other.1));
        azure.advance(seconds(40));
        let case = format!("keeps_turn {keeps_turn}, other {other:?}");
        assert_eq!(passed, passes, "{case}");
        let records = azure.requests();
        let record = records.iter().find(|record| record.id == put.id()).unwrap();
        assert_eq!(record.effect, comes.then_some(seconds(30)), "{case}");
        let get = begin(&mut azure, Method::GET, &token, "late");
        assert_eq!(status(&mut azure, get) == 200, comes, "{case}");
    }
}

#[test]
fn a_request_that_is_dropped_before_its_effect_has_changed_nothing() {
    let mut azure = azure();
    azure
        .create_identity(SUBSCRIPTION, "rg-shop", "orders")
        .unwrap();
    let token = token(&mut azure, noon());
    let lost = begin(&mut azure, Method::PUT, &token, "shop");
    azure.end(lost.id(), None, noon() + SignedDuration::from_secs(30));
    drop(lost);
    let get = begin(&mut azure, Method::GET, &token, "shop");
    assert_eq!(status(&mut azure, get), 404);
    let put = azure
        .requests()
        .iter()
        .find(|record| record.method == "PUT")
        .unwrap();
    assert_eq!((put.status, put.effective), (None, false));
    assert_eq!(put.ended, Some(noon() + SignedDuration::from_secs(30)));
}

#[test]
fn permission_is_decided_on_arrival_and_existence_at_the_effect() {
    let mut azure = azure();
    let token = token(&mut azure, noon());
    let before = begin(&mut azure, Method::PUT, &token, "shop");
    azure
        .create_identity(SUBSCRIPTION, "rg-shop", "orders")
        .unwrap();
    let assignment = azure.role_assignments()[0].id;
    assert!(azure.delete_role_assignment(assignment));
    assert_eq!(status(&mut azure, before), 201);
    let after = begin(&mut azure, Method::PUT, &token, "shop");
    assert_eq!(status(&mut azure, after), 403);
}

#[test]
fn time_is_the_drivers() {
    let mut azure = azure();
    azure
        .create_identity(SUBSCRIPTION, "rg-shop", "orders")
        .unwrap();
    let token = token(&mut azure, noon());
    for (after, expected) in [(0, 404), (3598, 404), (3599, 401), (-1, 401)] {
        let now = noon() + SignedDuration::from_secs(after);
        let mut operation = azure.begin(credential_request(Method::GET, &token, "shop"), now);
        let answer = response(azure.take_effect(&mut operation, now));
        assert_eq!(answer.status.as_u16(), expected, "{after}");
    }
}

#[test]
fn two_runs_with_one_seed_are_the_same() {
    let run = || {
        let mut azure = azure();
        let identity = azure
            .create_identity(SUBSCRIPTION, "rg-shop", "orders")
            .unwrap();
        let token = token(&mut azure, noon());
        let mut operation = azure.begin(credential_request(Method::PUT, &token, "shop"), noon());
        let answer = response(azure.take_effect(&mut operation, noon()));
        (identity, token, answer.headers, answer.body)
    };
    assert_eq!(run(), run());
}
