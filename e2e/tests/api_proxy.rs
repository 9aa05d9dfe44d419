//! The proxy in front of the API server: what tests that end the operator between two of its writes rely on.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::pin::pin;
use std::time::Duration;

use azure_simulator::control::api::When;
use azwib_e2e::api_proxy::{CallMatcher, CallRecord, Cut, Slow};
use azwib_e2e::environment::PATIENCE;
use azwib_e2e::{ApiProxy, ControlPlane, ControlPlaneOptions, OperatorAccess, wait};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::Kubeconfig;
use kube::{Api, Client, Config, ResourceExt};
use serde_json::json;
use tokio::sync::OnceCell;
use tokio::time::timeout;

const NAMESPACE: &str = "default";
const CALLER: &str = "system:serviceaccount:default:default";

static CONTROL_PLANE: OnceCell<ControlPlane> = OnceCell::const_new();

/// A control plane whose default account may do everything with ConfigMaps.
async fn control_plane() -> anyhow::Result<&'static ControlPlane> {
    CONTROL_PLANE
        .get_or_try_init(|| async {
            let control_plane = ControlPlane::start(ControlPlaneOptions::unpublished()?).await?;
            let account = format!("--serviceaccount={NAMESPACE}:default");
            for args in [
                &[
                    "create",
                    "clusterrole",
                    "maps",
                    "--verb=*",
                    "--resource=configmaps",
                ][..],
                &[
                    "create",
                    "clusterrolebinding",
                    "maps",
                    "--clusterrole=maps",
                    &account,
                ],
            ] {
                control_plane.kubectl(args).await?;
            }
            Ok(control_plane)
        })
        .await
}

/// Its ConfigMaps as the default account sees them through a proxy, and as the administrator does without.
async fn through_proxy(
    control_plane: &ControlPlane,
) -> anyhow::Result<(ApiProxy, Api<ConfigMap>, Api<ConfigMap>)> {
    let proxy = ApiProxy::start(control_plane)?;
    let access = OperatorAccess::request(control_plane, NAMESPACE, "default").await?;
    let access = access.through(&proxy)?;
    let kubeconfig = Kubeconfig::read_from(access.kubeconfig())?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
    config.default_retry = false;
    let client = Client::try_from(config)?;
    let direct = control_plane.client().await?;
    Ok((
        proxy,
        Api::namespaced(client, NAMESPACE),
        Api::namespaced(direct, NAMESPACE),
    ))
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap()
}

fn creation() -> CallMatcher {
    CallMatcher {
        method: "POST".to_owned(),
        path: "/api/*/namespaces/*/configmaps".to_owned(),
    }
}

#[tokio::test]
async fn a_call_held_before_its_effect_is_passed_on_when_it_is_released() -> anyhow::Result<()> {
    let (proxy, maps, direct) = through_proxy(control_plane().await?).await?;
    let held = proxy.hold(&creation(), 1, When::BeforeEffect)?;
    let (parameters, wanted) = (PostParams::default(), map("before"));
    let create = maps.create(&parameters, &wanted);
    let (created, ()) = tokio::try_join!(async { Ok(create.await?) }, async {
        held.reached().await?;
        assert!(direct.get_opt("before").await?.is_none());
        held.release()
    })?;
    assert_eq!(created.name_any(), "before");
    assert!(direct.get_opt("before").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_call_held_before_its_effect_has_none_when_its_caller_goes_away() -> anyhow::Result<()> {
    let (proxy, maps, direct) = through_proxy(control_plane().await?).await?;
    let held = proxy.hold(&creation(), 1, When::BeforeEffect)?;
    let (parameters, wanted) = (PostParams::default(), map("gone"));
    tokio::select! {
        created = maps.create(&parameters, &wanted) => panic!("{created:?}"),
        reached = held.reached() => reached?,
    }
    wait::until(
        "the proxy to see that the caller has gone",
        PATIENCE,
        async || Ok(held.is_abandoned().then_some(())),
    )
    .await?;
    assert!(direct.get_opt("gone").await?.is_none());
    // The next call of this kind is none of the hold's business.
    maps.create(&parameters, &map("next")).await?;
    let [first, next] = &proxy.calls()[..] else {
        panic!("{:?}", proxy.calls());
    };
    assert_eq!((first.status, next.status), (None, Some(201)));
    Ok(())
}

#[tokio::test]
async fn the_answer_of_a_call_held_after_its_effect_comes_when_it_is_released() -> anyhow::Result<()>
{
    let (proxy, maps, direct) = through_proxy(control_plane().await?).await?;
    let held = proxy.hold(&creation(), 2, When::AfterEffect)?;
    let parameters = PostParams::default();
    maps.create(&parameters, &map("first")).await?;
    let wanted = map("after");
    let mut create = pin!(maps.create(&parameters, &wanted));
    tokio::select! {
        created = &mut create => panic!("{created:?}"),
        reached = held.reached() => reached?,
    }
    assert!(direct.get_opt("after").await?.is_some());
    held.release()?;
    assert_eq!(create.await?.name_any(), "after");
    Ok(())
}

/// How much later a slow call is. A caller of it waits for a third of that.
const LATE: Duration = Duration::from_millis(600);

#[tokio::test]
async fn a_slow_call_comes_late_with_or_without_its_caller() -> anyhow::Result<()> {
    let (proxy, maps, direct) = through_proxy(control_plane().await?).await?;
    let parameters = PostParams::default();
    for (name, lands) in [("lands", true), ("dropped", false)] {
        proxy.speed_up();
        proxy.slow_down(&creation(), Slow { by: LATE, lands })?;
        let wanted = map(name);
        let given_up = timeout(LATE / 3, maps.create(&parameters, &wanted)).await;
        assert!(given_up.is_err(), "{given_up:?}");
        // One that came later and was waited for: the first had its time as well.
        maps.create(&parameters, &map(&format!("after-{name}")))
            .await?;
        assert_eq!(direct.get_opt(name).await?.is_some(), lands, "{name}");
    }
    proxy.speed_up();
    let quick = timeout(PATIENCE, maps.create(&parameters, &map("quick"))).await?;
    assert_eq!(quick?.name_any(), "quick");
    Ok(())
}

#[tokio::test]
async fn a_network_that_refuses_ends_calls_until_it_is_mended() -> anyhow::Result<()> {
    let (proxy, maps, _) = through_proxy(control_plane().await?).await?;
    // A connection that is open.
    maps.get_opt("absent").await?;
    proxy.cut(Cut::Refused);
    for _ in 0..2 {
        let failed = timeout(PATIENCE, maps.get_opt("absent")).await?;
        assert!(failed.is_err(), "{failed:?}");
    }
    proxy.mend();
    assert!(maps.get_opt("absent").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn what_a_silent_network_has_taken_arrives_once_it_is_mended() -> anyhow::Result<()> {
    let (proxy, maps, direct) = through_proxy(control_plane().await?).await?;
    maps.get_opt("absent").await?;
    let calls = proxy.calls().len();
    proxy.cut(Cut::Silent);
    let (parameters, wanted) = (PostParams::default(), map("silent"));
    let mut create = pin!(maps.create(&parameters, &wanted));
    // Nothing can be waited for where nothing may come.
    let silent = timeout(LATE, &mut create).await;
    assert!(silent.is_err(), "{silent:?}");
    assert_eq!(proxy.calls().len(), calls);
    assert!(direct.get_opt("silent").await?.is_none());
    proxy.mend();
    assert_eq!(create.await?.name_any(), "silent");
    Ok(())
}

#[tokio::test]
async fn a_watch_is_told_what_happens_while_it_lasts() -> anyhow::Result<()> {
    let (_proxy, maps, direct) = through_proxy(control_plane().await?).await?;
    let first = direct
        .create(&PostParams::default(), &map("watched"))
        .await?;
    let only = WatchParams::default().fields("metadata.name=watched");
    let version = first.resource_version().unwrap();
    let mut seen = pin!(maps.watch(&only, &version).await?);
    for value in ["one", "two"] {
        let patch = Patch::Merge(json!({ "data": { "key": value } }));
        direct
            .patch("watched", &PatchParams::default(), &patch)
            .await?;
        // Before the next change: nothing is kept back.
        let event = tokio::time::timeout(PATIENCE, seen.try_next()).await??;
        let Some(WatchEvent::Modified(map)) = event else {
            panic!("{event:?}");
        };
        assert_eq!(map.data.unwrap()["key"], value);
    }
    Ok(())
}

#[tokio::test]
async fn callers_are_seen_as_themselves_and_their_calls_are_noted() -> anyhow::Result<()> {
    let control_plane = control_plane().await?;
    let (proxy, maps, _) = through_proxy(control_plane).await?;
    maps.create(&PostParams::default(), &map("noted")).await?;
    assert!(maps.get_opt("absent").await?.is_none());
    let path = |rest: &str| format!("/api/v1/namespaces/{NAMESPACE}/configmaps{rest}");
    let call = |method: &str, rest: &str, status| CallRecord {
        method: method.to_owned(),
        path: path(rest),
        status: Some(status),
    };
    let calls = proxy.calls();
    assert_eq!(calls, [call("POST", "", 201), call("GET", "/absent", 404)]);
    assert_eq!(
        calls.iter().map(CallRecord::is_write).collect::<Vec<_>>(),
        [true, false]
    );
    wait::until("the API server to have logged it", PATIENCE, async || {
        let log = control_plane.audit_log()?;
        let read = log
            .into_iter()
            .find(|event| event.request_uri.starts_with(&path("/absent")));
        Ok(read.map(|event| assert_eq!(event.user.username, CALLER)))
    })
    .await
}
