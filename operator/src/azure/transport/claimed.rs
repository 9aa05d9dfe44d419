//! The body of a write, which asks for the claim once more when the connection is ready.
//!
//! A request may wait for its connection: for a name to be resolved, for TLS, for a proxy. hyper asks a body whether it is
//! empty when it writes the head of the request into its buffer, and takes the body before that buffer goes to the socket. A
//! body that fails there ends the connection, and nothing of the request leaves the process.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::leader::{Claim, NoClaim};

/// The body of a write. One without bytes is told to be none as long as the claim is held, so that a DELETE looks as it should.
#[derive(Debug)]
pub(super) struct ClaimedBody {
    claim: Claim,
    bytes: Option<Bytes>,
}

impl ClaimedBody {
    pub(super) fn new(bytes: Bytes, claim: Claim) -> Self {
        let bytes = Some(bytes).filter(|it| !it.is_empty());
        Self { claim, bytes }
    }
}

impl Body for ClaimedBody {
    type Data = Bytes;
    type Error = NoClaim;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NoClaim>>> {
        let frame = match (self.claim.check(), self.bytes.take()) {
            (Err(no_claim), _) => Some(Err(no_claim)),
            (Ok(()), Some(bytes)) => Some(Ok(Frame::data(bytes))),
            (Ok(()), None) => None,
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none() && self.claim.is_held()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.bytes {
            Some(bytes) => SizeHint::with_exact(bytes.len() as u64),
            None if self.claim.is_held() => SizeHint::with_exact(0),
            // Not known: otherwise the body would not be taken, and could not fail.
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use reqwest::dns::{Addrs, Name, Resolve, Resolving};
    use reqwest::{Client, Method};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::azure::Cause;
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
    async fn server() -> (SocketAddr, Arc<Mutex<Vec<(Instant, String)>>>) {
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

    fn claim() -> (Claim, Arc<Moves>) {
        let (clocks, moves) = Clocks::moved(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
        let claim = Claim::since(clocks.read(), clocks, Duration::from_secs(10));
        (claim, moves)
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
            let body = ClaimedBody::new(Bytes::from(content), claim().0);
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
            let body = ClaimedBody::new(Bytes::from(content), claim.clone());
            let url = format!("http://slow.example:{}/", address.port());
            let request = client(address, Some(moves)).request(method.clone(), url);
            assert!(claim.is_held(), "when it is asked for at first");
            let request = request.body(reqwest::Body::wrap(body));
            let error = request.send().await.unwrap_err();
            assert_eq!(Cause::of(&error), Cause::NoClaim, "{method}: {error:?}");
            let received = received.lock().unwrap();
            assert!(received.is_empty(), "{method}: {received:?}");
        }
    }

    /// Notes when a body was asked last.
    struct Timed(ClaimedBody, Arc<Mutex<Option<Instant>>>);

    impl Body for Timed {
        type Data = Bytes;
        type Error = NoClaim;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, NoClaim>>> {
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
                let body = ClaimedBody::new(Bytes::from(content), claim().0);
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
