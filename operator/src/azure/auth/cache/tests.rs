use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::future::join_all;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;
use tokio::time::{advance, sleep};

use super::*;
use crate::azure::error::AzureErrorKind;

const HOUR: Duration = Duration::from_secs(3600);

fn fresh(name: &str, lifetime: Duration) -> Result<FreshToken, AzureError> {
    Ok(FreshToken {
        token: BearerToken::new(name).expect("a token"),
        lifetime,
    })
}

fn failure() -> AzureError {
    AzureError::local(AzureErrorKind::SignInUnavailable, "down")
}

/// The token that the cache gives out when a sign-in would bring `name`.
async fn get(cache: &TokenCache, name: &str, lifetime: Duration) -> String {
    let token = cache.get(async || fresh(name, lifetime)).await;
    token.expect("a token").token().to_owned()
}

async fn get_failing(cache: &TokenCache) -> Result<String, AzureError> {
    let token = cache.get(async || Err(failure())).await;
    token.map(|token| token.token().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_five_minutes_before_it_expires() {
    let cache = TokenCache::default();
    assert_eq!(get(&cache, "first", HOUR).await, "first");
    advance(Duration::from_secs(55 * 60 - 1)).await;
    assert_eq!(get(&cache, "second", HOUR).await, "first");
    advance(Duration::from_secs(1)).await;
    assert_eq!(get(&cache, "second", HOUR).await, "second");
}

#[tokio::test(start_paused = true)]
async fn a_short_token_is_renewed_after_half_of_its_life() {
    let cache = TokenCache::default();
    assert_eq!(get(&cache, "first", Duration::from_secs(60)).await, "first");
    advance(Duration::from_secs(29)).await;
    assert_eq!(get(&cache, "second", HOUR).await, "first");
    advance(Duration::from_secs(1)).await;
    assert_eq!(get(&cache, "second", HOUR).await, "second");
}

#[tokio::test(start_paused = true)]
async fn a_good_token_outlives_a_failed_renewal_and_the_next_try_waits() {
    let cache = TokenCache::default();
    get(&cache, "first", HOUR).await;
    advance(Duration::from_secs(56 * 60)).await;
    assert_eq!(get_failing(&cache).await.as_deref(), Ok("first"));
    assert_eq!(get(&cache, "second", HOUR).await, "first");
    advance(RENEW_AGAIN_AFTER).await;
    assert_eq!(get(&cache, "second", HOUR).await, "second");
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_not_used_when_the_renewal_fails() {
    let cache = TokenCache::default();
    get(&cache, "first", HOUR).await;
    advance(HOUR - LEAST_LIFETIME).await;
    assert_eq!(get_failing(&cache).await, Err(failure()));
}

#[tokio::test(start_paused = true)]
async fn callers_at_the_same_time_share_one_sign_in() {
    let cache = TokenCache::default();
    let sign_ins = AtomicUsize::new(0);
    let tokens = join_all((0..10).map(|_| {
        cache.get(async || {
            sign_ins.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
            fresh("shared", HOUR)
        })
    }))
    .await;
    assert!(
        tokens
            .iter()
            .all(|token| token.as_ref().is_ok_and(|token| token.token() == "shared"))
    );
    assert_eq!(sign_ins.into_inner(), 1);
}

#[tokio::test(start_paused = true)]
async fn callers_at_the_same_time_share_a_failure_and_later_ones_do_not() {
    let cache = TokenCache::default();
    let sign_ins = Cell::new(0);
    let sign_in = async || {
        sign_ins.set(sign_ins.get() + 1);
        sleep(Duration::from_secs(30)).await;
        Err(failure())
    };
    let outcomes = join_all((0..10).map(|_| cache.get(sign_in))).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.as_ref().is_err_and(|error| *error == failure()))
    );
    assert_eq!(sign_ins.get(), 1);
    advance(Duration::from_millis(1)).await;
    assert_eq!(get(&cache, "later", HOUR).await, "later");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_the_sign_in_to_the_next() {
    let cache = TokenCache::default();
    {
        let abandoned = cache.get(async || {
            sleep(HOUR).await;
            fresh("never", HOUR)
        });
        let _ = tokio::time::timeout(Duration::from_secs(1), abandoned).await;
    }
    assert_eq!(get(&cache, "next", HOUR).await, "next");
}

#[tokio::test(start_paused = true)]
async fn only_the_token_that_was_refused_is_forgotten() {
    let cache = TokenCache::default();
    get(&cache, "first", HOUR).await;
    cache
        .forget(&BearerToken::new("another").expect("a token"))
        .await;
    assert_eq!(get(&cache, "second", HOUR).await, "first");
    cache
        .forget(&BearerToken::new("first").expect("a token"))
        .await;
    assert_eq!(get(&cache, "second", HOUR).await, "second");
}

#[tokio::test(start_paused = true)]
async fn the_metrics_count_sign_ins_and_tell_how_old_the_last_good_one_is() {
    let cache = TokenCache::default();
    let mut registry = Registry::default();
    cache.metrics().register(&mut registry);
    let scrape = || {
        let mut scrape = String::new();
        prometheus_text::encode(&mut scrape, &registry).unwrap();
        scrape
    };
    let counted = |result: &str, count: u32| {
        let sample = format!(r#"azwib_sign_ins_total{{result="{result}"}} {count}"#);
        assert!(scrape().lines().any(|it| it == sample), "{}", scrape());
    };
    get_failing(&cache).await.unwrap_err();
    assert!(!scrape().contains("azwib_sign_in_age_seconds"));
    advance(Duration::from_millis(1)).await;
    get(&cache, "first", HOUR).await;
    advance(Duration::from_secs(56 * 60)).await;
    // It cannot be renewed, and is still good.
    assert_eq!(get_failing(&cache).await.unwrap(), "first");
    counted("success", 1);
    counted("error", 2);
    assert!(
        scrape().contains("\nazwib_sign_in_age_seconds 3360.0\n"),
        "{}",
        scrape()
    );
    advance(RENEW_AGAIN_AFTER).await;
    get(&cache, "second", HOUR).await;
    counted("success", 2);
    assert!(
        scrape().contains("\nazwib_sign_in_age_seconds 0.0\n"),
        "{}",
        scrape()
    );
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_afresh_replaces_a_good_token_and_keeps_it_where_it_fails() {
    let cache = TokenCache::default();
    let fresh = |token: &str| FreshToken {
        token: BearerToken::new(token).unwrap(),
        lifetime: Duration::from_secs(86_400),
    };
    let held = async || cache.get(async || panic!("it is good")).await.unwrap();
    cache.get(async || Ok(fresh("one"))).await.unwrap();
    cache.renew(async || Ok(fresh("two"))).await.unwrap();
    assert_eq!(held().await, BearerToken::new("two").unwrap());
    let failure = AzureError::local(crate::azure::AzureErrorKind::SignInFailed, "no");
    let failed = cache.renew(async || Err(failure.clone())).await;
    assert_eq!(failed, Err(failure));
    assert_eq!(held().await, BearerToken::new("two").unwrap());
}
