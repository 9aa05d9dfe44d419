//! How the lists and watches of the API server go, and how they are kept from going in circles.
//!
//! kube-runtime's watcher pauses after a failure only. An answer that succeeds and is of no use, a watch that ends at once or
//! a list whose pages never end, it asks for again in the same moment. This stands below it, where each request is seen.

use std::collections::{BTreeMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{Request, Response};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};
use tower::{BoxError, Layer, Service};

use super::answers::LONGEST_RETRY_AFTER;
use super::pauses::pause;
use super::retry_after::seconds_of_error;
use crate::runtime::deliberate::Bug;
use crate::runtime::lock::lock;

/// A watch that ends sooner has brought nothing that a list would not, unless it has brought [much](MUCH).
const LASTING: Duration = Duration::from_secs(5);

/// So many bytes are dozens of events. The API server ends the watch of a client that is behind, and a long pause would leave that
/// one further behind.
const MUCH: usize = 64 << 10;

/// What has gone wrong for this long, and was tried again meanwhile, keeps failing.
const KEEPS_FAILING: Duration = Duration::from_secs(15);

/// A list takes no longer: the API server forgets where it stands after five minutes or a few more.
const LONGEST_LIST: Duration = Duration::from_secs(10 * 60);

/// Pages of one list: a million objects of which each is as large as can be.
const MOST_PAGES: usize = 20_000;

/// How long a watch may be silent: longer than it lasts (295 s).
pub const WATCH_TIMEOUT: Duration = Duration::from_secs(310);

/// In one time-out each watch has an event, a bookmark, an end or an error, whatever the API server does.
const STANDS_STILL: Duration = WATCH_TIMEOUT.saturating_mul(2);

/// A list that does not come to its end.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum Endless {
    #[error("the list names a page that it has named before")]
    Repeats,
    #[error("the list has more than {MOST_PAGES} pages")]
    Pages,
}

/// The lists and watches of a client, by resource. Clones are of the same client.
#[derive(Debug, Clone, Default)]
pub struct WatchCourse(Arc<Mutex<BTreeMap<String, Course>>>);

/// The lists and watches of one resource.
#[derive(Debug, Default)]
struct Course {
    /// Lists that were begun since the last watch, and when the first of them was.
    lists: Option<(u32, Instant)>,
    /// The pages that the list under way has asked for.
    pages: HashSet<String>,
    /// Watches in a row that ended at once, and when the first of them did.
    ended: Option<(u32, Instant)>,
    /// Since when a watch is open.
    open: Option<Instant>,
    /// How much that one has brought, in bytes.
    brought: usize,
    /// What the last refusal was.
    refusal: Option<String>,
    /// When anything was last asked for or received.
    stirred: Option<Instant>,
}

/// What a request asks for.
enum Asks {
    List,
    Page(String),
    Watch,
}

impl Asks {
    fn of<A>(request: &Request<A>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let parameter = |name: &str| {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            let found = pairs.find(|(key, _)| key == name)?;
            Some(found.1.into_owned())
        };
        match (parameter("watch"), parameter("continue")) {
            (Some(_), _) => Self::Watch,
            (None, Some(page)) => Self::Page(page),
            (None, None) => Self::List,
        }
    }
}

impl Course {
    /// Notes a request; one that would lead in a circle is none.
    fn begin(&mut self, asks: Asks, now: Instant) -> Result<(), Endless> {
        self.stirred = Some(now);
        match asks {
            Asks::List => {
                let (lists, since) = self.lists.unwrap_or((0, now));
                self.lists = Some((lists.saturating_add(1), since));
                self.pages.clear();
            }
            Asks::Page(_) if self.pages.len() >= MOST_PAGES => return Err(Endless::Pages),
            Asks::Page(page) => {
                if !self.pages.insert(page) {
                    return Err(Endless::Repeats);
                }
            }
            Asks::Watch => {
                self.lists = None;
                self.pages = HashSet::new();
            }
        }
        Ok(())
    }

    /// Before the next watch: one that came to nothing is backed off from like a failure.
    fn pause(&self) -> Duration {
        match self.ended {
            Some((failures, _)) if !Bug::EmptyWatchAtOnce.is_on() => pause(failures),
            _ => Duration::ZERO,
        }
    }

    fn closed(&mut self, now: Instant) {
        let lasted = self
            .open
            .take()
            .is_some_and(|since| now.duration_since(since) >= LASTING);
        let is_behind = std::mem::take(&mut self.brought) >= MUCH;
        self.ended = if lasted {
            None
        } else if is_behind {
            Some((1, now))
        } else {
            let (ended, since) = self.ended.unwrap_or((0, now));
            Some((ended.saturating_add(1), since))
        };
    }

    /// What keeps failing, if anything does.
    fn trouble(&self, resource: &str, now: Instant) -> Option<String> {
        let why = self.refusal.as_deref();
        let why = why.map_or_else(String::new, |refusal| format!(" ({refusal})"));
        if let Some((lists, since)) = self.lists {
            let stood = now.duration_since(since);
            if lists > 1 && stood >= KEEPS_FAILING || stood >= LONGEST_LIST {
                let seconds = stood.as_secs();
                return Some(format!(
                    "the list of {resource}, which has failed for {seconds} s{why}"
                ));
            }
        }
        let (_, since) = self.ended.filter(|(ended, _)| *ended > 1)?;
        let lasts = self
            .open
            .is_some_and(|since| now.duration_since(since) >= LASTING);
        let stood = now.duration_since(since);
        (!lasts && stood >= KEEPS_FAILING).then(|| {
            let seconds = stood.as_secs();
            format!("the watch of {resource}, which has ended at once for {seconds} s{why}")
        })
    }
}

impl WatchCourse {
    /// What keeps failing, and since when; None where all goes well.
    pub fn trouble(&self) -> Option<String> {
        let now = Instant::now();
        let courses = self.courses();
        let mut troubles = courses.iter();
        troubles.find_map(|(resource, course)| course.trouble(resource, now))
    }

    /// What nobody asks for or listens to any more, although this process lives by it; None where all goes on.
    pub fn stands_still(&self) -> Option<String> {
        let courses = self.courses();
        let mut still = courses.iter().filter_map(|(resource, course)| {
            let since = course.stirred?.elapsed();
            (since >= STANDS_STILL).then_some((resource, since.as_secs()))
        });
        let (resource, seconds) = still.next()?;
        Some(format!(
            "the watch of {resource} has stood still for {seconds} s"
        ))
    }

    /// How the last list or watch of this resource was refused, if it was.
    pub fn refusal(&self, resource: &str) -> Option<String> {
        self.courses().get(resource)?.refusal.clone()
    }

    fn of(&self, resource: &str, act: impl FnOnce(&mut Course)) {
        if let Some(course) = self.courses().get_mut(resource) {
            act(course);
        }
    }

    fn courses(&self) -> MutexGuard<'_, BTreeMap<String, Course>> {
        lock(&self.0)
    }
}

impl<S> Layer<S> for WatchCourse {
    type Service = Watching<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Watching {
            inner,
            course: self.clone(),
        }
    }
}

/// A client of lists and watches.
#[derive(Debug, Clone)]
pub struct Watching<S> {
    inner: S,
    course: WatchCourse,
}

impl<S, A, B> Service<Request<A>> for Watching<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    B: Send + 'static,
{
    type Response = Response<WatchedBody<B>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let path = request.uri().path();
        let resource = path.rsplit('/').next().unwrap_or_default().to_owned();
        let asks = Asks::of(&request);
        let is_watch = matches!(asks, Asks::Watch);
        let begun = {
            let mut courses = self.course.courses();
            let course = courses.entry(resource.clone()).or_default();
            course.begin(asks, Instant::now())
        };
        if let Err(endless) = begun {
            return std::future::ready(Err(endless.into())).boxed();
        }
        let course = self.course.clone();
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await;
            let refusal = match &answer {
                Ok(answer) if answer.status().is_success() => None,
                Ok(answer) => Some(answer.status().to_string()),
                Err(_) => Some("no answer".to_owned()),
            };
            let opened = is_watch && refusal.is_none();
            let asked = answer.as_ref().ok().and_then(asks_to_wait);
            course.of(&resource, |course| {
                course.refusal = refusal;
                if opened {
                    course.open = Some(Instant::now());
                    course.brought = 0;
                }
            });
            // Who learns of the refusal asks again.
            let asks_again = Instant::now() + asked.unwrap_or_default();
            course.of(&resource, |course| course.stirred = Some(asks_again));
            if let Some(pause) = asked {
                sleep(pause).await;
            }
            let open = opened.then_some(OpenWatch { resource, course });
            Ok(answer.map_err(Into::into)?.map(|body| WatchedBody {
                body,
                open,
                pause: None,
            }))
        }
        .boxed()
    }
}

/// How long an answer that is an error asks to be left alone, as far as that is believed.
fn asks_to_wait<B>(answer: &Response<B>) -> Option<Duration> {
    let seconds = seconds_of_error(answer)?;
    Some(Duration::from_secs(seconds.into()).min(LONGEST_RETRY_AFTER))
}

/// The body of an answer. That of a watch which ended at once ends after a pause.
#[derive(Debug)]
pub struct WatchedBody<B> {
    body: B,
    open: Option<OpenWatch>,
    pause: Option<Pin<Box<Sleep>>>,
}

/// A watch that is open; its end is noted.
#[derive(Debug)]
struct OpenWatch {
    resource: String,
    course: WatchCourse,
}

impl OpenWatch {
    fn brings(&self, bytes: usize) {
        self.course.of(&self.resource, |course| {
            course.brought = course.brought.saturating_add(bytes);
            course.stirred = Some(Instant::now());
        });
    }

    /// Ends it, and says how long the next has to wait.
    fn end(self) -> Duration {
        let (course, resource) = (self.course.clone(), self.resource.clone());
        drop(self);
        let mut pause = Duration::ZERO;
        course.of(&resource, |course| pause = course.pause());
        if !pause.is_zero() {
            tracing::warn!(
                resource,
                ?pause,
                "the watch ended at once; it is opened again after a pause"
            );
        }
        pause
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.course
            .of(&self.resource, |course| course.closed(Instant::now()));
    }
}

impl<B> Body for WatchedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let body = &mut *self;
        if body.pause.is_none() {
            let frame = ready!(Pin::new(&mut body.body).poll_frame(cx));
            if let Some(frame) = frame {
                if let (Some(open), Ok(frame)) = (&body.open, &frame) {
                    open.brings(frame.data_ref().map_or(0, Bytes::len));
                }
                return Poll::Ready(Some(frame));
            }
            let pause = body.open.take().map_or(Duration::ZERO, OpenWatch::end);
            body.pause = Some(Box::pin(sleep(pause)));
        }
        if let Some(pause) = &mut body.pause {
            ready!(pause.as_mut().poll(cx));
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests;
