//! The network between the caller and the proxy, which a test can cut.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// How a network that does not work shows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Connections end, and new ones end at once.
    Refused,
    /// Connections stay and carry nothing; what was sent arrives once the network works again.
    Silent,
}

/// The state of the network, and who waits for it to work again.
#[derive(Debug, Default)]
pub(super) struct Network {
    state: Mutex<State>,
    refused: Notify,
}

#[derive(Debug, Default)]
struct State {
    cut: Option<Cut>,
    waiting: Vec<Waker>,
}

impl Network {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the network, or (None) has it work again.
    pub(super) fn set(&self, cut: Option<Cut>) {
        let waiting = {
            let mut state = self.lock();
            state.cut = cut;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
        if cut == Some(Cut::Refused) {
            self.refused.notify_waiters();
        }
    }

    /// Waits until connections end.
    pub(super) async fn refuses(&self) {
        let refused = self.refused.notified();
        if self.lock().cut != Some(Cut::Refused) {
            refused.await;
        }
    }

    fn poll_carries(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.cut != Some(Cut::Silent) {
            return Poll::Ready(());
        }
        let waker = context.waker();
        if !state.waiting.iter().any(|it| it.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
        Poll::Pending
    }
}

/// A connection over that network.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    network: Arc<Network>,
}

impl Line {
    pub(super) fn new(stream: TcpStream, network: Arc<Network>) -> Self {
        Self { stream, network }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.network.poll_carries(context));
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.network.poll_carries(context));
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
