use std::collections::VecDeque;
use std::convert::Infallible;

use futures::StreamExt;
use http_body_util::{BodyExt, Full};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::client::{Body as KubeBody, Client};
use kube_runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tower::service_fn;

use super::*;
use crate::kubeutil::pauses::Pauses;

/// Seconds: what a busy API server asks for.
const RETRY_AFTER: u32 = 300;

const LIST: &str = r#"{"kind":"ServiceAccountList","metadata":{"resourceVersion":"7"},"items":[]}"#;

/// What an API server does with each request that is made by a watcher; it answers lists and watches as it is told.
async fn requests_in_an_hour(
    answer: impl Fn(&Asks) -> (u16, String) + Clone + Send + 'static,
) -> (BTreeMap<&'static str, usize>, WatchCourse) {
    let course = WatchCourse::default();
    let counts: Arc<Mutex<BTreeMap<&'static str, usize>>> = Arc::default();
    let counted = Arc::clone(&counts);
    let server = service_fn(move |request: Request<KubeBody>| {
        let asks = Asks::of(&request);
        let kind = match asks {
            Asks::List => "list",
            Asks::Page(_) => "page",
            Asks::Watch => "watch",
        };
        let mut counts = counted.lock().unwrap();
        *counts.entry(kind).or_default() += 1;
        drop(counts);
        let (status, body) = answer(&asks);
        async move {
            // A request takes time: without it, nothing would ever go on but this.
            sleep(Duration::from_millis(1)).await;
            let mut response = Response::builder().status(status);
            if status == 429 {
                response = response.header("retry-after", RETRY_AFTER);
            }
            Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body))).unwrap())
        }
    });
    let client = Client::new(course.layer(server), "default");
    let accounts: Api<ServiceAccount> = Api::all(client);
    let mut events = watcher(accounts, watcher::Config::default())
        .backoff(Pauses::default())
        .boxed();
    let hour = tokio::time::timeout(Duration::from_secs(3600), async {
        while events.next().await.is_some() {}
    });
    assert!(hour.await.is_err(), "a watch never ends");
    let counts = counts.lock().unwrap().clone();
    (counts, course)
}

fn line(type_: &str, object: serde_json::Value) -> String {
    format!("{}\n", json!({ "type": type_, "object": object }))
}

fn bookmark() -> String {
    line(
        "BOOKMARK",
        json!({ "kind": "ServiceAccount", "apiVersion": "v1", "metadata": { "resourceVersion": "8" } }),
    )
}

fn gone() -> String {
    let gone = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old", "reason": "Expired", "code": 410 });
    line("ERROR", gone)
}

fn changed() -> String {
    line(
        "MODIFIED",
        json!({ "kind": "ServiceAccount", "apiVersion": "v1",
            "metadata": { "name": "a", "namespace": "n", "resourceVersion": "9" } }),
    )
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_at_once_is_opened_again_after_a_pause_and_told_of() {
    for body in [String::new(), bookmark(), changed(), gone()] {
        let answer = body.clone();
        let (counts, course) = requests_in_an_hour(move |asks| match asks {
            Asks::Watch => (200, answer.clone()),
            _ => (200, LIST.to_owned()),
        })
        .await;
        let watches = counts["watch"];
        assert!((100..400).contains(&watches), "{watches} for {body}");
        let trouble = course.trouble().unwrap();
        assert!(
            trouble.starts_with("the watch of serviceaccounts, which has ended at once for 35"),
            "{trouble}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_because_its_client_is_behind_is_opened_again_soon() {
    let answer = changed().repeat(1 + MUCH / changed().len());
    let (counts, course) = requests_in_an_hour(move |asks| match asks {
        Asks::Watch => (200, answer.clone()),
        _ => (200, LIST.to_owned()),
    })
    .await;
    let watches = counts["watch"];
    assert!((2_000..10_000).contains(&watches), "{watches}");
    assert_eq!(course.trouble(), None);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_keeps_failing_is_told_of_by_its_name() {
    let refusal = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
        "message":"no","reason":"Forbidden","code":403}"#;
    for (status, body, told) in [
        (403, refusal, "(403 Forbidden)"),
        (200, "no JSON", ""),
        (200, r#"{"metadata":{},"items":[]}"#, ""),
    ] {
        let (counts, course) = requests_in_an_hour(move |_| (status, body.to_owned())).await;
        assert!((100..400).contains(&counts["list"]), "{counts:?}");
        let trouble = course.trouble().unwrap();
        assert!(
            trouble.starts_with("the list of serviceaccounts, which has failed for 3"),
            "{trouble}"
        );
        assert!(trouble.contains(told), "{trouble}");
    }
}

#[tokio::test(start_paused = true)]
async fn pages_that_lead_in_a_circle_are_a_list_that_failed() {
    let pages = Arc::new(Mutex::new(VecDeque::from([1, 2, 3])));
    let (counts, course) = requests_in_an_hour(move |_| {
        let mut pages = pages.lock().unwrap();
        pages.rotate_left(1);
        let next = pages[0];
        let page = json!({ "metadata": { "continue": format!("page-{next}") }, "items": [] });
        (200, page.to_string())
    })
    .await;
    assert!((100..400).contains(&counts["list"]), "{counts:?}");
    assert!(counts["page"] <= 3 * counts["list"], "{counts:?}");
    let trouble = course.trouble().unwrap();
    assert!(trouble.contains("the list of serviceaccounts"), "{trouble}");
}

#[test]
fn a_list_has_a_last_page() {
    let mut course = Course::default();
    let now = Instant::now();
    assert_eq!(course.begin(Asks::List, now), Ok(()));
    for page in 0..MOST_PAGES {
        assert_eq!(course.begin(Asks::Page(page.to_string()), now), Ok(()));
    }
    assert_eq!(
        course.begin(Asks::Page("one more".to_owned()), now),
        Err(Endless::Pages)
    );
    assert_eq!(course.begin(Asks::List, now), Ok(()));
    assert_eq!(course.begin(Asks::Page("0".to_owned()), now), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_lasts_has_no_trouble_and_no_pause() {
    let course = WatchCourse::default();
    let lasts = Duration::from_secs(290);
    let body = move || {
        let end = Box::pin(async move {
            sleep(lasts).await;
            None::<(Result<Frame<Bytes>, Infallible>, ())>
        });
        http_body_util::StreamBody::new(
            futures::stream::once(end)
                .filter_map(|it| async { it.map(|it| it.0) })
                .boxed(),
        )
    };
    let server = service_fn(move |_: Request<()>| {
        let body = body();
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    let mut client = course.layer(server);
    for _ in 0..4 {
        let began = Instant::now();
        let request = Request::get("/api/v1/serviceaccounts?watch=true");
        let answer = client.call(request.body(()).unwrap()).await.unwrap();
        let _ = answer.into_body().collect().await.unwrap();
        assert_eq!(began.elapsed(), lasts);
        assert_eq!(course.trouble(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn lists_and_watches_leave_a_busy_api_server_alone_for_as_long_as_it_asks() {
    let (counts, course) = requests_in_an_hour(|_| (429, "busy".to_owned())).await;
    assert!((11..=13).contains(&counts["list"]), "{counts:?}");
    assert!(course.trouble().is_some());
    let (counts, _) = requests_in_an_hour(|asks| match asks {
        Asks::List => (200, LIST.to_owned()),
        _ => (429, "busy".to_owned()),
    })
    .await;
    assert!((11..=13).contains(&counts["watch"]), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_nobody_asks_for_any_more_stands_still_and_one_that_fails_does_not() {
    let course = WatchCourse::default();
    assert_eq!(course.stands_still(), None);
    let begin = |course: &WatchCourse| {
        let mut courses = course.courses();
        let one = courses.entry("serviceaccounts".to_owned()).or_default();
        one.begin(Asks::Watch, Instant::now()).unwrap();
    };
    for _ in 0..5 {
        begin(&course);
        tokio::time::advance(WATCH_TIMEOUT).await;
        assert_eq!(course.stands_still(), None);
    }
    tokio::time::advance(WATCH_TIMEOUT).await;
    assert_eq!(
        course.stands_still().unwrap(),
        "the watch of serviceaccounts has stood still for 620 s"
    );
}
