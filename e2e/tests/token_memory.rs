//! How often a token lies in the operator's memory: a bound, so that no buffer of our own keeps one.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::BufRead;
use std::os::unix::fs::FileExt;

use azure_simulator::control::api::{Fault, FaultAction, SecretKind, When};
use azwib_e2e::environment::{ManagedIdentity, Namespace};
use azwib_e2e::{Environment, OperatorProcess};

/// Identities whose reads may be under way at once, each on a connection of its own.
const IDENTITIES: usize = 10;

/// How often the operator gets another token.
const RENEWALS: usize = 5;

/// Copies of the token that is in use: each connection keeps the header of its last request.
const IN_USE: usize = 64;

/// Copies of one that was replaced.
const REPLACED: usize = 12;

/// The end of a token, which no other has: its signature.
fn tail(token: &str) -> &[u8] {
    &token.as_bytes()[token.len() - 32..]
}

/// All memory that a process may write. What is gone by the time it is read counts as empty.
fn memory(operator: &OperatorProcess) -> anyhow::Result<Vec<Vec<u8>>> {
    let of = |name: &str| format!("/proc/{}/{name}", operator.pid());
    let (maps, bytes) = (fs::read_to_string(of("maps"))?, File::open(of("mem"))?);
    let mut regions = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?);
        let mut region = vec![0; usize::try_from(to - from)?];
        if bytes.read_exact_at(&mut region, from).is_ok() {
            regions.push(region);
        }
    }
    Ok(regions)
}

/// How often the end of a token is found.
fn copies(memory: &[Vec<u8>], token: &str) -> anyhow::Result<usize> {
    let tail = tail(token);
    let last = tail[tail.len() - 1];
    let mut found = 0;
    for region in memory {
        let (mut rest, mut seen) = (&region[..], Vec::with_capacity(region.len()));
        while rest.read_until(last, &mut seen)? > 0 {
            found += usize::from(seen.ends_with(tail));
        }
    }
    Ok(found)
}

/// Work on all identities at once, in the course of which the token is refused: at a write, since a read of a moment ago may serve
/// the next round as well.
async fn renew(env: &Environment, shop: &Namespace<'_>, round: usize) -> anyhow::Result<()> {
    let refused = Fault {
        matcher: shop.requests_to("PUT", "orders-0"),
        skip: 0,
        times: Some(1),
        when: When::BeforeEffect,
        action: FaultAction::Respond {
            status: 401,
            code: "ExpiredAuthenticationToken".to_owned(),
            message: "The access token has expired.".to_owned(),
            headers: Vec::new(),
            body: None,
        },
    };
    env.control().add_fault(&refused).await?;
    for number in 0..IDENTITIES {
        let name = format!("orders-{number}-{round}");
        let identity = shop.identity_id(&format!("orders-{number}"));
        shop.bind(&name, &format!("identity: {{resourceId: {identity}}}"))
            .await?;
    }
    for number in 0..IDENTITIES {
        shop.ready(&format!("orders-{number}-{round}")).await?;
    }
    Ok(())
}

async fn access_tokens(env: &Environment) -> anyhow::Result<Vec<String>> {
    let seen = env.control().secrets().await?.into_iter();
    let tokens = seen.filter(|it| it.kind == SecretKind::AccessToken);
    Ok(tokens.map(|it| it.value).collect())
}

#[tokio::test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "reads /proc/PID/mem, which only Linux has"
)]
async fn a_token_lies_in_memory_a_bounded_number_of_times() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let access = env.operator_access().await?;
    let [of_kubernetes, federated] = access.secrets()?;
    let operator = env
        .operator_with_access(access, env.operator_flags(), Default::default(), None)
        .await?;
    let shop = env.namespace("token-memory").await?;
    for number in 0..IDENTITIES {
        let _: ManagedIdentity = shop.identity(&format!("orders-{number}")).await?;
    }
    for round in 0..RENEWALS {
        renew(&env, &shop, round).await?;
    }
    let tokens = access_tokens(&env).await?;
    let memory = memory(&operator)?;
    let counts = tokens.iter().map(|it| copies(&memory, it));
    let counts = counts.collect::<anyhow::Result<Vec<_>>>()?;
    let exchanged = copies(&memory, &federated)?;
    let kept_by_kube = copies(&memory, &of_kubernetes)?;
    println!("access tokens, the oldest first: {counts:?}");
    println!("the token for Entra: {exchanged}; the token for Kubernetes: {kept_by_kube}");
    let (in_use, replaced) = counts.split_last().unwrap();
    assert!(replaced.len() >= RENEWALS - 1, "{counts:?}");
    // That it is found at all shows that the search finds what is there.
    assert!((1..=IN_USE).contains(in_use), "{counts:?}");
    assert!(replaced.iter().all(|it| *it <= REPLACED), "{counts:?}");
    assert!(exchanged <= REPLACED, "{exchanged}");
    Ok(())
}
