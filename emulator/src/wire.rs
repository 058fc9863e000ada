//! [`Wire`]: one connection, to read requests from and to write answers to.

use std::fmt::Debug;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;

use crate::head::Head;
use crate::meter::Meter;
use crate::pace::Pace;
use crate::reply::{Body, End, Reply};

/// The most bytes a head may have.
const HEAD: usize = 64 * 1024;

/// How many bytes of stored content are written at a time.
const CHUNK: usize = 256 * 1024;

/// What a connection runs over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {
    /// Has the end of it be a reset, where there is such a thing.
    fn will_reset(&self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn will_reset(&self) -> io::Result<()> {
        self.set_zero_linger()
    }
}

impl Stream for DuplexStream {
    fn will_reset(&self) -> io::Result<()> {
        Ok(())
    }
}

/// One connection. It is a plain socket rather than an HTTP library's, because faults reset it,
/// starve it and cut it off, and because traffic is what the socket took, not what was buffered.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    /// Bytes that were read and belong to nobody yet.
    read: BytesMut,
    /// Bytes of the request's body that are still to come.
    body_left: u64,
    /// Whether the client waits to be asked for the body.
    owes_continue: bool,
    pace: Pace,
}

impl Wire {
    pub(crate) fn new(stream: impl Stream + 'static) -> Wire {
        Wire {
            stream: Box::new(stream),
            read: BytesMut::new(),
            body_left: 0,
            owes_continue: false,
            pace: Pace::new(),
        }
    }

    /// Bounds the bytes a second, until it is set again.
    pub(crate) fn set_rate(&mut self, rate: Option<u64>) {
        self.pace.set(rate);
    }

    /// The head of the next request; None when the client has gone.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(head) = Head::take(&mut self.read)? {
                self.body_left = head.content_length().unwrap_or(0);
                self.owes_continue = head.expects_continue();
                return Ok(Some(head));
            }
            if self.read.len() > HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next bytes of the request's body; None at its end.
    pub(crate) async fn body_chunk(&mut self) -> io::Result<Option<Bytes>> {
        if self.body_left == 0 {
            return Ok(None);
        }
        if std::mem::take(&mut self.owes_continue) {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if self.read.is_empty() && self.fill().await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = self.body_left.min(self.read.len() as u64);
        self.body_left -= count;
        let chunk = self.read.split_to(count as usize).freeze();
        self.pace.spend(chunk.len()).await;
        Ok(Some(chunk))
    }

    /// Reads what is left of the request's body and forgets it; gives how many bytes that was.
    pub(crate) async fn drain(&mut self) -> io::Result<u64> {
        let mut bytes = 0;
        while let Some(chunk) = self.body_chunk().await? {
            bytes += chunk.len() as u64;
        }
        Ok(bytes)
    }

    /// Writes an answer, of which `with_body` is false for HEAD.
    pub(crate) async fn send(
        &mut self, reply: &Reply, with_body: bool, keeps_alive: bool,
    ) -> io::Result<()> {
        self.stream.write_all(reply.head(keeps_alive).as_bytes()).await?;
        let whole = if with_body { reply.body.len() } else { 0 };
        let (length, stalls) = match reply.end {
            End::Whole => (whole, false),
            End::Cut(length) => (whole.min(length), false),
            End::Stall(length) => (whole.min(length), true),
        };
        self.send_body(reply, length).await?;
        if stalls {
            self.wait_for_end().await;
        }
        Ok(())
    }

    async fn send_body(&mut self, reply: &Reply, length: u64) -> io::Result<()> {
        let mut sent = 0;
        while sent < length {
            let limit = (length - sent).min(CHUNK as u64) as usize;
            let chunk = match &reply.body {
                Body::Bytes(bytes) => bytes.slice(sent as usize..sent as usize + limit),
                Body::Content(content, range) => content.chunk(range.start + sent, limit)?,
            };
            if chunk.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let chunk =
                if reply.is_corrupt { chunk.iter().map(|byte| !byte).collect() } else { chunk };
            self.write(&chunk, &reply.meter).await?;
            sent += chunk.len() as u64;
        }
        Ok(())
    }

    async fn write(&mut self, mut bytes: &[u8], meter: &Meter) -> io::Result<()> {
        while !bytes.is_empty() {
            let offered = &bytes[..bytes.len().min(self.pace.step())];
            let stream = &mut self.stream;
            let taken = poll_fn(|context| {
                // Counted before the client can have them.
                meter.offer(offered.len());
                let polled = Pin::new(&mut *stream).poll_write(context, offered);
                let taken = match &polled {
                    Poll::Ready(Ok(taken)) => *taken,
                    Poll::Ready(Err(_)) | Poll::Pending => 0,
                };
                meter.take_back(offered.len() - taken);
                polled
            });
            let taken = taken.await?;
            bytes = &bytes[taken..];
            self.pace.spend(taken).await;
        }
        Ok(())
    }

    /// Waits until the client has gone; whatever it still says is ignored.
    pub(crate) async fn wait_for_end(&mut self) {
        let mut ignored = [0; 4096];
        while matches!(self.stream.read(&mut ignored).await, Ok(1..)) {}
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        if let Err(error) = self.stream.will_reset() {
            tracing::warn!("no reset, the connection is closed instead: {error}");
        }
    }

    /// Reads more; gives how many bytes.
    async fn fill(&mut self) -> io::Result<usize> {
        let room = self.pace.step();
        self.read.reserve(room);
        (&mut self.stream).take(room as u64).read_buf(&mut self.read).await
    }
}
