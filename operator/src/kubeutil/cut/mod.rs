//! Cuts the API server's answers, as they come in, to what is read of them.
//!
//! Anybody who may make an object in the cluster decides how large it is, up to more than a megabyte, and labels, managed
//! fields, owner references and finalizers have no bound of their own. kube holds each answer whole before it decodes it, a
//! page of a list with all its objects; so the cut is made below it, object by object, for lists, watches and single objects
//! alike. What an object costs is then what is read of it, whatever its size.

mod json;
pub mod shape;
#[cfg(test)]
mod tests;
mod text;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body::{Body, Frame};
use tower::{Layer, Service};

use self::json::Cutter;
use self::shape::Shape;

/// Bytes of an answer that is no JSON: a proxy's page instead of the API server's answer.
const PLAIN: usize = 16 * 1024;

/// Cuts the answers of a client, each to the shape for the path that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct CutLayer {
    shapes: fn(&str) -> &'static Shape,
}

impl CutLayer {
    pub fn new(shapes: fn(&str) -> &'static Shape) -> Self {
        Self { shapes }
    }
}

impl<S> Layer<S> for CutLayer {
    type Service = CutAnswers<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CutAnswers {
            inner,
            shapes: self.shapes,
        }
    }
}

/// A client whose answers are cut.
#[derive(Debug, Clone)]
pub struct CutAnswers<S> {
    inner: S,
    shapes: fn(&str) -> &'static Shape,
}

impl<S, A, B> Service<Request<A>> for CutAnswers<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<CutBody<B>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let shape = (self.shapes)(request.uri().path());
        let answer = self.inner.call(request);
        async move {
            let (head, body) = answer.await?.into_parts();
            let cut = if is_json(&head.headers) {
                Cut::Json(Cutter::new(shape))
            } else {
                Cut::Plain(PLAIN)
            };
            Ok(Response::from_parts(head, CutBody { body, cut }))
        }
        .boxed()
    }
}

/// What does not say what it is, is JSON: all that is asked for is.
fn is_json(headers: &HeaderMap) -> bool {
    let type_ = headers.get(CONTENT_TYPE).map(|it| it.as_bytes());
    type_.is_none_or(|type_| type_.starts_with(b"application/json"))
}

/// The body of an answer, cut.
#[derive(Debug)]
pub struct CutBody<B> {
    body: B,
    cut: Cut,
}

#[derive(Debug)]
enum Cut {
    Json(Cutter),
    Plain(usize),
}

impl Cut {
    fn push(&mut self, bytes: &Bytes) -> Bytes {
        match self {
            Self::Json(cutter) => cutter.push(bytes).into(),
            Self::Plain(left) => {
                let kept = bytes.slice(..bytes.len().min(*left));
                *left -= kept.len();
                kept
            }
        }
    }
}

impl<B> Body for CutBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                return Poll::Ready(None);
            };
            // Anything else than data is trailers, which nobody reads.
            let Ok(bytes) = frame?.into_data() else {
                continue;
            };
            let kept = self.cut.push(&bytes);
            if !kept.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(kept))));
            }
        }
    }
}

/// A whole answer, cut.
#[cfg(test)]
pub(crate) fn cut(shape: &'static Shape, answer: &[u8]) -> Vec<u8> {
    let mut cutter = Cutter::new(shape);
    let pieces = answer.chunks(8 * 1024);
    pieces.flat_map(|piece| cutter.push(piece)).collect()
}
