//! Several processes want the Lease, the API server is slow by chance, and the Lease is changed by hand.

use std::sync::Mutex;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::api_server::Ways;
use super::*;
use crate::runtime::jitter;
use crate::runtime::lock::lock;

/// The claims of one process: all of them, since one that is void must stay so.
type Claims = Arc<Mutex<Vec<Claim>>>;

/// A process that leads again and again.
async fn lead(mut elector: Elector, claims: Claims, mut random: StdRng) {
    loop {
        let term = term(&mut elector).await;
        lock(&claims).push(term.claim());
        let lost = term.lost();
        let patience = seconds(random.random_range(1..120));
        tokio::select! {
            () = lost.cancelled() => {}
            () = sleep(patience) => {}
        }
        match random.random_range(0..3) {
            0 => drop(term),
            _ => term.release().await,
        }
        sleep(seconds(random.random_range(0..5))).await;
    }
}

/// How a call goes: mostly quickly, and sometimes not at all.
fn by_chance(random: &mut StdRng) -> Ways {
    let mut way = || match random.random_range(0..20) {
        0 => seconds(3600),
        1 => Duration::from_millis(random.random_range(0..14_000)),
        _ => Duration::from_millis(random.random_range(0..300)),
    };
    Ways {
        there: way(),
        back: way(),
    }
}

/// What somebody does to the Lease.
fn by_hand(server: &ApiServer, random: &mut StdRng) {
    match random.random_range(0..5) {
        0 => server.delete_by_hand(),
        1 => server.write_by_hand(&json!({ "holderIdentity": "x", "leaseDurationSeconds": 1 })),
        2 => server.write_by_hand(&json!({ "holderIdentity": "b", "leaseDurationSeconds": 1 })),
        3 => server.write_by_hand(&json!({})),
        _ => server.write_by_hand(&json!({ "holderIdentity": "", "leaseDurationSeconds": 3 })),
    }
}

#[tokio::test(start_paused = true)]
async fn no_two_processes_ever_hold_a_claim_at_once() {
    let mut terms = 0;
    for seed in 0..40 {
        jitter::seed(seed);
        let mut random = StdRng::seed_from_u64(seed);
        let server = ApiServer::new();
        let mut processes = vec![];
        for (process, identity) in ["a", "b", "c"].into_iter().enumerate() {
            let chance = Mutex::new(StdRng::seed_from_u64(random.random()));
            server.of(identity, move |_| by_chance(&mut lock(&chance)));
            let ahead = random.random_range(-3600..3600);
            let (elector, moves) = elector(&server, identity, ahead);
            let claims = Claims::default();
            let of_process = StdRng::seed_from_u64(seed * 10 + process as u64);
            let task = tokio::spawn(lead(elector, Arc::clone(&claims), of_process));
            processes.push((claims, moves, task));
        }
        for step in 0..6000 {
            sleep(Duration::from_millis(100)).await;
            let holds = |(claims, _, _): &(Claims, _, _)| {
                let claims = lock(claims);
                claims.iter().filter(|it| it.is_held()).count()
            };
            let held: usize = processes.iter().map(holds).sum();
            assert!(held <= 1, "seed {seed}, step {step}: {held} claims");
            if random.random_range(0..300) == 0 {
                by_hand(&server, &mut random);
            }
            // Only of who leads: for the others time would have to pass meanwhile.
            let leader = processes.iter().find(|process| holds(process) > 0);
            if let Some((_, moves, _)) = leader.filter(|_| random.random_range(0..300) == 0) {
                moves.suspend(seconds(random.random_range(0..40)));
            }
        }
        terms += server
            .written()
            .windows(2)
            .filter(|pair| {
                pair[0].by != pair[1].by
                    || pair[0].spec["leaseTransitions"] != pair[1].spec["leaseTransitions"]
            })
            .count();
        for (_, _, task) in processes {
            task.abort();
        }
    }
    assert!(terms > 400, "{terms} terms: too few to show anything");
}
