//! The core as a simulation uses it: under a clock of its own, from a seed, and looked at directly.
#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is how a failure is told; clippy.toml spares test functions only, not what they call"
)]

use std::sync::OnceLock;

use azure_simulator::core::http::{Request, Service};
use azure_simulator::core::interference::{Latency, Matcher};
use azure_simulator::core::locks::LockLevel;
use azure_simulator::core::rbac::Role;
use azure_simulator::core::request_log::RequestRecord;
use azure_simulator::core::throttle::Throttling;
use azure_simulator::core::tunables::LatencyTail;
use azure_simulator::core::{Azure, Endpoints, Settings, SigningKey};
use azure_simulator::{ServicePrincipal, Tunables};
use jiff::{SignedDuration, Timestamp};
use uuid::{Uuid, uuid};

const TENANT: Uuid = uuid!("11111111-1111-4111-8111-111111111111");
const SUBSCRIPTION: Uuid = uuid!("22222222-2222-4222-8222-222222222222");
const OWNER: Uuid = uuid!("33333333-3333-4333-8333-333333333333");
const WRITE: &str =
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write";

fn azure(seed: u64, tunables: Tunables) -> Azure {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    let key = KEY.get_or_init(|| SigningKey::generate().unwrap());
    let endpoints = Endpoints::new("https://arm", "https://entra", "https://issuer");
    let settings = Settings {
        resource_groups: vec!["shop".into()],
        service_principals: vec![ServicePrincipal {
            client_id: OWNER,
            secret: None,
        }],
        tunables,
        seed,
        ..Settings::new(TENANT, SUBSCRIPTION, endpoints)
    };
    Azure::new(settings, key.clone())
}

fn noon() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// One caller, which sends its next request when it has the answer to the last one.
struct Caller {
    token: String,
    now: Timestamp,
}

impl Caller {
    fn new(azure: &mut Azure) -> Self {
        let token = azure.issue_token(OWNER, SignedDuration::from_hours(48), noon());
        Self {
            token: token.unwrap(),
            now: noon(),
        }
    }

    /// Sends a request and gives back its status.
    fn send(&mut self, azure: &mut Azure, method: &str, path: &str) -> u16 {
        let name = path.rsplit('/').next().unwrap();
        let request = Request::new(Service::ResourceManager, method, path)
            .with_query("api-version=2023-01-31")
            .with_header("authorization", &format!("Bearer {}", self.token))
            .with_body(format!(
                r#"{{"properties": {{"issuer": "https://i/", "subject": "{name}", "audiences": ["a"]}}}}"#
            ));
        let mut operation = azure.begin(request, self.now);
        self.now = operation.effect_at();
        let outcome = azure.take_effect(&mut operation, self.now);
        self.now = outcome.at;
        let response = outcome.answer.response();
        azure.end(operation.id(), response, self.now);
        response.map_or(0, |response| response.status.as_u16())
    }
}

fn credential(identity: &str, name: &str) -> String {
    format!("{identity}/federatedIdentityCredentials/{name}")
}

#[test]
fn what_there_is_can_be_read_without_a_request() {
    let mut azure = azure(1, Tunables::default());
    let made = azure.create_identity(SUBSCRIPTION, "shop", "orders");
    let made = made.unwrap();
    let mut caller = Caller::new(&mut azure);
    let path = credential(&made.id, "first");
    assert_eq!(caller.send(&mut azure, "PUT", &path), 201);

    let identities: Vec<_> = azure.identities().map(|(id, _)| id).collect();
    assert_eq!(identities, [made.id.as_str()]);
    let identity = azure.identity(&made.id.to_uppercase()).unwrap();
    assert_eq!(identity.client_id, made.client_id);
    let names: Vec<_> = identity.credentials.keys().collect();
    assert_eq!(names, ["first"]);
    let seen = azure.credentials_at_the_token_endpoint(made.client_id, caller.now);
    assert_eq!(seen.len(), 1);
    assert!(azure.identity("/subscriptions/none").is_none());

    assert!(azure.is_permitted(OWNER, WRITE, &made.id, noon()));
    assert!(!azure.is_permitted(made.client_id, WRITE, &made.id, noon()));
    azure.assign_role(&made.id, Role::Contributor, made.client_id);
    assert!(azure.is_permitted(made.principal_id, WRITE, &made.id, noon()));
    let lock = azure.lock(&made.id, LockLevel::CanNotDelete);
    assert_eq!(azure.locks()[0].id, lock);
    let denial = azure.deny_by_policy(&made.id);
    assert_eq!(azure.policy_denials()[0].id, denial);

    let removed = azure.remove_credential(SUBSCRIPTION, "shop", "orders", "First", noon());
    assert!(removed.unwrap());
    assert!(azure.identity(&made.id).unwrap().credentials.is_empty());
    assert!(
        azure
            .delete_identity(SUBSCRIPTION, "shop", "orders")
            .unwrap()
    );
    assert_eq!(azure.identities().count(), 0);
}

#[test]
fn who_waits_as_told_is_let_in_and_who_does_not_is_not() {
    let tunables = Tunables {
        throttling: Some(Throttling::default()),
        ..Tunables::default()
    };
    // Seconds between two writes on an identity, and how many of twenty pass.
    for (pause, passed) in [(4, 20), (2, 10), (1, 5)] {
        let mut azure = azure(1, tunables.clone());
        let identity = azure.create_identity(SUBSCRIPTION, "shop", "orders");
        let identity = identity.unwrap().id;
        let mut caller = Caller::new(&mut azure);
        let mut statuses = Vec::new();
        for number in 0..20 {
            let path = credential(&identity, &format!("shop-{number}"));
            statuses.push(caller.send(&mut azure, "PUT", &path));
            caller.now += seconds(pause);
        }
        let let_in = statuses.iter().filter(|status| **status == 201).count();
        assert_eq!(let_in, passed, "{pause}: {statuses:?}");
    }
}

#[test]
fn a_seed_decides_all_that_is_drawn() {
    let tunables = Tunables {
        parent_delay_seconds: 3600,
        parent_not_found_per_mille: 300,
        latency_tail: Some(LatencyTail {
            per_mille: 500,
            up_to_milliseconds: 3000,
        }),
        ..Tunables::default()
    };
    let run = |seed| -> Vec<RequestRecord> {
        let mut azure = azure(seed, tunables.clone());
        let latency = Latency {
            matcher: Matcher::default(),
            milliseconds: 20,
            jitter_milliseconds: 30,
        };
        azure.set_latencies(vec![latency]).unwrap();
        let identity = azure.recreate_identity(SUBSCRIPTION, "shop", "orders", noon());
        let identity = identity.unwrap().id;
        let mut caller = Caller::new(&mut azure);
        for number in 0..30 {
            let path = credential(&identity, &format!("shop-{}", number % 7));
            let method = if number % 3 == 0 { "DELETE" } else { "PUT" };
            caller.send(&mut azure, method, &path);
        }
        azure.requests().to_vec()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
