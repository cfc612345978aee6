//! A TCP stream that gives up on a peer that does not read.
//!
//! D3.1 6.3.1. Invariant: while what we wrote is not taken, nothing more is read from that peer, and after
//! `stall` without progress every read and write fails, so that whoever holds the stream lets go of it. This bounds
//! what one slow client can make us keep, however it speaks (HTTP or WebSocket).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

/// The stream of one connection.
pub(crate) struct Socket {
    stream: TcpStream,
    stall: Duration,
    /// Set while a write waits for the peer.
    waiting: Option<Pin<Box<Sleep>>>,
    /// The reader's own clock for the same wait: the writer may be gone before its time is over.
    paused: Option<Pin<Box<Sleep>>>,
    dead: bool,
    reader: Option<Waker>,
    /// The connection's place in the server's count: held as long as the stream, whatever protocol it carries.
    _place: OwnedSemaphorePermit,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, stall: Duration, place: OwnedSemaphorePermit) -> Socket {
        Socket { stream, stall, waiting: None, paused: None, dead: false, reader: None, _place: place }
    }

    /// Turns what the stream said of a write into progress, waiting, or the end.
    fn written(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.waiting = None;
            self.wake_reader();
            return outcome;
        }
        let stall = self.stall;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        if waiting.as_mut().poll(context).is_ready() {
            self.dead = true;
            self.wake_reader();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    /// The reader's part in a wait: nothing is read, and when the wait is over the stream is dead.
    fn pause(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stall = self.stall;
        let paused = self.paused.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        if paused.as_mut().poll(context).is_ready() {
            self.dead = true;
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.reader = Some(context.waker().clone());
        Poll::Pending
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.alive()?;
        if self.waiting.is_some() {
            return self.pause(context);
        }
        self.paused = None;
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if outcome.is_pending() {
            // A write that dies later must wake this reader too.
            self.reader = Some(context.waker().clone());
        }
        outcome
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.alive()?;
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.alive()?;
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.written(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;

    fn place() -> OwnedSemaphorePermit {
        Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap()
    }

    #[tokio::test]
    async fn a_peer_that_never_reads_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let socket = Socket::new(stream, Duration::from_millis(100), place());
        let (mut reader, mut writer) = tokio::io::split(socket);
        let writing = tokio::spawn(async move {
            loop {
                if let Err(why) = writer.write_all(&[7; 65_536]).await {
                    return why.kind();
                }
            }
        });
        assert_eq!(writing.await.unwrap(), io::ErrorKind::TimedOut);
        let reading = reader.read_u8().await;
        assert_eq!(reading.unwrap_err().kind(), io::ErrorKind::TimedOut, "the reader lets go too");
        peer.write_all(b"still here").await.ok();
    }

    #[tokio::test]
    async fn a_peer_that_reads_is_served() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = Socket::new(stream, Duration::from_secs(60), place());
        let much = vec![1u8; 8 << 20];
        let taken = tokio::spawn(async move {
            let mut received = vec![0u8; 8 << 20];
            peer.read_exact(&mut received).await.unwrap();
            peer.write_u8(9).await.unwrap();
            peer
        });
        socket.write_all(&much).await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), 9);
        taken.await.unwrap();
    }
}
