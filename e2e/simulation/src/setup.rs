//! What a run begins with, from its seed.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use azure_simulator::core::interference::{Latency, Matcher};
use azure_simulator::core::rbac::Role;
use azure_simulator::core::throttle::Throttling;
use azure_simulator::core::tunables::LatencyTail;
use azure_simulator::core::{Azure, Endpoints, Settings, SigningKey};
use azure_simulator::{ServicePrincipal, Tunables};
use azwib_operator::grant::Mode;
use azwib_operator::leader::Timings;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use uuid::{Uuid, uuid};

use crate::names::{AUTHORITY, CLIENT, GROUP, IdentityName, RESOURCE_MANAGER, SECRET, TENANT};

/// Passes at once.
pub const CONCURRENCY: u16 = 8;

/// How many bindings of one account are served. Far fewer than in production: each change costs a look at each of them.
pub const BINDINGS_OF_AN_ACCOUNT: usize = 5;

/// Those of the Lease: the operator's own.
pub const TIMINGS: Timings = Timings {
    lease_duration: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry_period: Duration::from_secs(2),
};

const SUBSCRIPTIONS: [Uuid; 2] = [
    uuid!("22222222-2222-4222-8222-222222222221"),
    uuid!("22222222-2222-4222-8222-222222222222"),
];

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct World {
    pub seed: u64,
    /// Nothing goes wrong: the costs of a binding are counted.
    pub calm: bool,
    /// Credentials that one identity may have, as the operator is told.
    pub limit: usize,
    pub resync_period: Duration,
    pub propagation_delay: Duration,
    pub write_settle_time: Duration,
    /// Whether grants are required, as the operator is told.
    pub grants: Option<Mode>,
    pub revocation_grace: Duration,
    /// Whether the operator only looks at first, and now and then later.
    pub looks_first: bool,
    pub faults_per_mille: u32,
    pub crashes_per_mille: u32,
    /// How many replicas of the operator there are.
    pub replicas: u32,
    pub identities: Vec<IdentityName>,
    pub namespaces: Vec<String>,
    pub accounts: Vec<String>,
    /// How long there are disturbances.
    pub disturbed: Duration,
    pub steps: u64,
    tunables: Tunables,
}

impl World {
    /// Draws the settings.
    pub fn draw(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed ^ 0x5e77_1e55);
        let calm = random.random_ratio(1, 8);
        // Few slots make many waiters; the real limit now and then.
        let limit = *[2, 3, 4, 20].choose(&mut random).unwrap_or(&4);
        // Azure allows more than the operator is told: nobody but itself keeps it to that.
        let is_lowered = random.random_ratio(1, 4);
        let azures_limit = if is_lowered { 20 } else { limit };
        let identities = (0..random.random_range(1..=3)).map(|number| IdentityName {
            subscription: SUBSCRIPTIONS[random.random_range(0..2)],
            name: format!("id-{number}"),
        });
        let identities = identities.collect();
        let names = |kind: &str, count: u32| (0..count).map(|it| format!("{kind}-{it}")).collect();
        Self {
            seed,
            calm,
            limit,
            resync_period: Duration::from_secs(random.random_range(300..=900)),
            propagation_delay: Duration::from_secs(*[0, 20].choose(&mut random).unwrap_or(&0)),
            write_settle_time: Duration::from_secs(60),
            grants: Some(grants(seed, calm)),
            // Some platform teams want none.
            revocation_grace: Duration::from_secs(if seed % 7 == 3 { 0 } else { 120 }),
            looks_first: !calm && seed % 11 == 6,
            faults_per_mille: if calm {
                0
            } else {
                *[0, 30, 100, 250].choose(&mut random).unwrap_or(&0)
            },
            crashes_per_mille: if calm {
                0
            } else {
                *[0, 0, 10, 30].choose(&mut random).unwrap_or(&0)
            },
            replicas: if !calm && seed % 6 == 1 { 2 } else { 1 },
            identities,
            namespaces: names("ns", random.random_range(1..=2)),
            accounts: names("sa", random.random_range(2..=6)),
            disturbed: Duration::from_secs(random.random_range(300..=2400)),
            steps: random.random_range(6..=30),
            tunables: if calm {
                Tunables {
                    credential_limit: azures_limit,
                    ..Tunables::default()
                }
            } else {
                tunables(&mut random, azures_limit)
            },
        }
    }

    /// The simulated Azure that it begins with.
    pub fn azure(&self) -> anyhow::Result<Azure> {
        static KEY: OnceLock<SigningKey> = OnceLock::new();
        let key = KEY.get_or_init(|| {
            // A fixed key would be a key in a repository; which one it is changes nothing in a run.
            SigningKey::generate().unwrap_or_else(|_| std::process::abort())
        });
        let settings = Settings {
            resource_groups: vec![GROUP.to_owned()],
            service_principals: vec![ServicePrincipal {
                client_id: CLIENT,
                secret: Some(SECRET.to_owned()),
            }],
            tunables: self.tunables.clone(),
            latencies: vec![Latency {
                matcher: Matcher::default(),
                milliseconds: 20,
                jitter_milliseconds: 300,
            }],
            seed: self.seed,
            ..Settings::new(
                TENANT,
                SUBSCRIPTIONS[0],
                Endpoints::new(RESOURCE_MANAGER, AUTHORITY, "https://issuer.simulation"),
            )
        };
        let mut azure = Azure::new(settings, key.clone());
        azure.create_subscription(SUBSCRIPTIONS[1], "the other one");
        azure.create_resource_group(SUBSCRIPTIONS[1], GROUP, "westeurope")?;
        azure.assign_role(
            &format!("/subscriptions/{}", SUBSCRIPTIONS[1]),
            Role::Owner,
            CLIENT,
        );
        for identity in &self.identities {
            azure
                .create_identity(identity.subscription, GROUP, &identity.name)
                .context("an identity of the run")?;
        }
        Ok(azure)
    }
}

/// Whether grants are required. Drawn by itself, so that runs without them are what they were before there were any.
fn grants(seed: u64, calm: bool) -> Mode {
    let mut random = StdRng::seed_from_u64(seed ^ 0x6ea7_7ed5);
    if !calm && random.random_ratio(1, 4) {
        Mode::Enforce
    } else {
        Mode::Off
    }
}

fn tunables(random: &mut StdRng, limit: usize) -> Tunables {
    let answers = Tunables::credential_limit_answers();
    let mut tunables = Tunables {
        credential_limit: limit,
        page_size: random.random_range(1..=20),
        ..Tunables::default()
    };
    if let Some(answer) = answers.choose(random) {
        tunables.credential_limit_answer = answer.clone();
    }
    if random.random_ratio(1, 3) {
        // A listing of many pages takes as many requests: with a burst of one it could never be read.
        tunables.page_size = 20;
        tunables.throttling = Some(Throttling {
            sends_retry_after: random.random_ratio(3, 4),
            ..Throttling::published(random.random_range(1..=20))
        });
    }
    if random.random_ratio(1, 3) {
        tunables.directory_delay_seconds = random.random_range(10..=90);
    }
    if random.random_ratio(1, 3) {
        tunables.parent_delay_seconds = 60;
        tunables.parent_not_found_per_mille = 300;
    }
    if random.random_ratio(1, 3) {
        tunables.role_propagation_seconds = random.random_range(30..=400);
    }
    if random.random_ratio(1, 4) {
        tunables.read_lag_seconds = random.random_range(1..=15);
    }
    if random.random_ratio(1, 3) {
        tunables.latency_tail = Some(LatencyTail {
            per_mille: 50,
            up_to_milliseconds: 20_000,
        });
    }
    tunables
}
