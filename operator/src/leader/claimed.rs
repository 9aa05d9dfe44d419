//! The body of a write, which asks for the claim once more when the connection is ready.
//!
//! A request may wait for its connection: for a name to be resolved, for TLS, for a proxy. hyper asks a body whether it is
//! empty when it writes the head of the request into its buffer, and takes the body before that buffer goes to the socket. A
//! body that fails there ends the connection, and nothing of the request leaves the process.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tower::BoxError;

use super::claim::Claim;

/// The body of a write. One without bytes is told to be none as long as the claim is held, so that a DELETE looks as it should.
#[derive(Debug)]
pub struct ClaimedBody<B> {
    body: B,
    /// None: it needs no claim.
    claim: Option<Claim>,
}

impl<B> ClaimedBody<B> {
    /// A body that fails with [`super::NoClaim`] once the claim is void.
    pub fn new(body: B, claim: Claim) -> Self {
        let claim = Some(claim);
        Self { body, claim }
    }

    /// A body of a request that needs no claim.
    pub fn free(body: B) -> Self {
        Self { body, claim: None }
    }

    fn may_go(&self) -> bool {
        self.claim.as_ref().is_none_or(Claim::is_held)
    }
}

impl<B> Body for ClaimedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(Err(no_claim)) = self.claim.as_ref().map(Claim::check) {
            return Poll::Ready(Some(Err(no_claim.into())));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        frame.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.may_go()
    }

    fn size_hint(&self) -> SizeHint {
        match self.may_go() {
            true => self.body.size_hint(),
            // Not known: otherwise an empty body would not be taken, and could not fail.
            false => SizeHint::default(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use http_body_util::Full;
    use reqwest::dns::{Addrs, Name, Resolve, Resolving};
    use reqwest::{Client, Method};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::leader::NoClaim;
    use crate::runtime::clocks::{Clocks, Moves};

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    /// Where a name is resolved to, and what happens meanwhile.
    struct Slow {
        address: SocketAddr,
        meanwhile: Option<Arc<Moves>>,
    }

    impl Resolve for Slow {
        fn resolve(&self, _: Name) -> Resolving {
            if let Some(moves) = &self.meanwhile {
                moves.suspend(Duration::from_secs(60));
            }
            let addresses: Addrs = Box::new([self.address].into_iter());
            Box::pin(async { Ok(addresses) })
        }
    }

    /// Answers each request, and keeps what was received, and when the first of it was.
    pub(crate) async fn server() -> (SocketAddr, Arc<Mutex<Vec<(Instant, String)>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(vec![]));
        let seen = Arc::clone(&received);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let mut buffer = vec![0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                        seen.lock().unwrap().push((Instant::now(), text));
                        stream.write_all(ANSWER).await.unwrap();
                    }
                });
            }
        });
        (address, received)
    }

    pub(crate) fn claim() -> (Claim, Arc<Moves>) {
        let (clocks, moves) = Clocks::moved(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
        let claim = Claim::since(clocks.read(), clocks, Duration::from_secs(10));
        (claim, moves)
    }

    /// Whether a request has failed for want of a claim.
    pub(crate) fn is_of_claim(error: &(dyn std::error::Error + 'static)) -> bool {
        let causes = std::iter::successors(Some(error), |error| error.source());
        causes.into_iter().any(|cause| cause.is::<NoClaim>())
    }

    fn client(address: SocketAddr, meanwhile: Option<Arc<Moves>>) -> Client {
        let slow = Slow { address, meanwhile };
        let builder = Client::builder().no_proxy().dns_resolver(Arc::new(slow));
        builder.build().unwrap()
    }

    #[tokio::test]
    async fn a_write_with_a_claim_is_sent_as_any_other() {
        let (address, received) = server().await;
        for (method, content, expected) in [
            (Method::PUT, "{}", "content-length: 2\r\n"),
            (Method::DELETE, "", "DELETE / HTTP/1.1\r\n"),
        ] {
            let body = ClaimedBody::new(Full::new(Bytes::from(content)), claim().0);
            let url = format!("http://slow.example:{}/", address.port());
            let request = client(address, None).request(method, url);
            let request = request.body(reqwest::Body::wrap(body));
            request.send().await.unwrap();
            let (_, text) = received.lock().unwrap().pop().unwrap();
            assert!(text.contains(expected), "{text}");
            assert!(text.ends_with(&format!("\r\n\r\n{content}")), "{text}");
            assert!(!text.contains("transfer-encoding"), "{text}");
        }
    }

    #[tokio::test]
    async fn nothing_of_a_write_is_sent_whose_claim_ends_while_its_connection_comes_about() {
        let (address, received) = server().await;
        for (method, content) in [(Method::PUT, "{}"), (Method::DELETE, "")] {
            let (claim, moves) = claim();
            let body = ClaimedBody::new(Full::new(Bytes::from(content)), claim.clone());
            let url = format!("http://slow.example:{}/", address.port());
            let request = client(address, Some(moves)).request(method.clone(), url);
            assert!(claim.is_held(), "when it is asked for at first");
            let request = request.body(reqwest::Body::wrap(body));
            let error = request.send().await.unwrap_err();
            assert!(is_of_claim(&error), "{method}: {error:?}");
            let received = received.lock().unwrap();
            assert!(received.is_empty(), "{method}: {received:?}");
        }
    }

    /// Notes when a body was asked last.
    struct Timed(ClaimedBody<Full<Bytes>>, Arc<Mutex<Option<Instant>>>);

    impl Body for Timed {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            *self.1.lock().unwrap() = Some(Instant::now());
            Pin::new(&mut self.0).poll_frame(context)
        }

        fn is_end_stream(&self) -> bool {
            let is_end = self.0.is_end_stream();
            // A body with bytes is asked for its end once more after they were taken.
            self.1.lock().unwrap().get_or_insert_with(Instant::now);
            is_end
        }

        fn size_hint(&self) -> SizeHint {
            self.0.size_hint()
        }
    }

    /// What is left unguarded: docs/leader-election.md tells of it. `cargo test unguarded -- --nocapture` prints it.
    #[tokio::test]
    async fn what_is_left_unguarded_is_short() {
        let (address, received) = server().await;
        let client = client(address, None);
        for (method, content) in [(Method::PUT, "{}"), (Method::DELETE, "")] {
            let mut times = vec![];
            for _ in 0..1000 {
                let asked = Arc::new(Mutex::new(None));
                let body = ClaimedBody::new(Full::new(Bytes::from(content)), claim().0);
                let body = reqwest::Body::wrap(Timed(body, Arc::clone(&asked)));
                let url = format!("http://slow.example:{}/", address.port());
                let request = client.request(method.clone(), url).body(body);
                request.send().await.unwrap();
                let (arrived, _) = received.lock().unwrap().pop().unwrap();
                let asked = asked.lock().unwrap().expect("it is asked");
                times.push(arrived.saturating_duration_since(asked));
            }
            times.sort_unstable();
            let (median, most) = (times[500], times[999]);
            println!("{method}: from the claim to the other end in {median:?}, at most {most:?}");
            assert!(median < Duration::from_millis(50), "{median:?}");
        }
    }
}
