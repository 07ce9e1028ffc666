//! Buffers between a socket and the session.
//!
//! Input is read in large pieces and decoded in place; output gathers in one buffer that goes out
//! in one write when the input is drained, or when it exceeds a bound. While a statement runs or
//! the socket takes no more, the other direction keeps moving: answers that are due go out, and
//! input is read ahead (boundedly), which is also how a closed connection is noticed.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::control::Control;
use super::frontend;

/// Bytes of output that make it go out before the input is drained.
pub const OUTPUT_BOUND: usize = 64 * 1024;
/// Buffers that grew beyond this are given back once they are empty.
const KEEP_BUFFER: usize = 256 * 1024;
/// Bytes of input that are read ahead while a statement runs.
const READ_AHEAD: usize = 256 * 1024;
/// Bytes asked for in one read: grows up to the second while reads come back full.
const MIN_READ: usize = 8 * 1024;
const MAX_READ: usize = 256 * 1024;

/// How long a statement may go on once its client has closed the connection.
const CLOSED_GRACE: Duration = Duration::from_millis(500);

/// The connection is gone: nothing can be said to the client any more.
#[derive(Debug)]
pub struct Gone;

/// What the first bytes of the input are.
pub enum Frame {
    /// A whole message of this type; its body is [`Wire::body`].
    Message(u8),
    /// Not yet a whole message.
    Incomplete,
    UnknownType(u8),
    InvalidLength,
}

/// Why waiting for input ended.
pub enum Wake {
    Input,
    Closed,
    Terminated,
}

pub struct Wire<T> {
    io: T,
    input: BytesMut,
    /// Length of the message at the front of `input` that is being handled.
    frame: usize,
    pub output: Vec<u8>,
    sent: usize,
    /// What is in `output` is due: the client may be waiting for it.
    due: bool,
    closed: bool,
    read_size: usize,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    pub fn new(io: T) -> Self {
        Wire {
            io,
            input: BytesMut::new(),
            frame: 0,
            output: Vec::new(),
            sent: 0,
            due: false,
            closed: false,
            read_size: MIN_READ,
        }
    }

    /// The socket, and whether input was read that belongs to what follows.
    pub fn into_io(self) -> (T, bool) {
        (self.io, !self.input.is_empty())
    }

    /// All input that is there.
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// Takes `count` bytes from the front of the input.
    pub fn consume(&mut self, count: usize) {
        self.input.advance(count.min(self.input.len()));
    }

    /// The message at the front of the input.
    pub fn frame(&mut self) -> Frame {
        let Some((&[tag, a, b, c, d], _)) = self.input.split_first_chunk::<5>() else {
            // A type that is none is refused without waiting for its length.
            return match self.input.first() {
                Some(&tag) if frontend::length_limit(tag).is_none() => Frame::UnknownType(tag),
                _ => Frame::Incomplete,
            };
        };
        let Some(limit) = frontend::length_limit(tag) else {
            return Frame::UnknownType(tag);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length < 4 || length > limit {
            return Frame::InvalidLength;
        }
        if self.input.len() <= length {
            return Frame::Incomplete;
        }
        self.frame = length + 1;
        Frame::Message(tag)
    }

    /// The body of the message at hand.
    pub fn body(&self) -> &[u8] {
        self.input.get(5..self.frame).unwrap_or_default()
    }

    /// The message at hand is done.
    pub fn consume_frame(&mut self) {
        self.consume(self.frame);
        self.frame = 0;
        if self.input.is_empty() && self.input.capacity() > KEEP_BUFFER {
            self.input = BytesMut::new();
        }
    }

    /// Marks the output as something that the client may be waiting for.
    pub fn set_due(&mut self) {
        self.due = true;
    }

    /// Whether the output should go out now, the input being drained or not.
    pub fn wants_flush(&self, drained: bool) -> bool {
        self.output.len() > OUTPUT_BOUND || (drained && self.due && !self.output.is_empty())
    }

    /// Waits for input, for the end of the connection, or for its termination.
    pub async fn wait(&mut self, control: &Control) -> Wake {
        poll_fn(|cx| {
            control.register(cx.waker());
            if control.is_terminated() {
                return Poll::Ready(Wake::Terminated);
            }
            match self.poll_fill(cx) {
                Poll::Ready(()) if self.closed => Poll::Ready(Wake::Closed),
                Poll::Ready(()) => Poll::Ready(Wake::Input),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Reads once.
    pub async fn fill(&mut self) -> Result<(), Gone> {
        poll_fn(|cx| self.poll_fill(cx)).await;
        if self.closed { Err(Gone) } else { Ok(()) }
    }

    /// Sends all output, reading ahead while the socket takes no more.
    pub async fn flush(&mut self) -> Result<(), Gone> {
        poll_fn(|cx| {
            if self.poll_send(cx).is_ready() {
                return Poll::Ready(());
            }
            self.read_ahead(cx);
            Poll::Pending
        })
        .await;
        if self.closed && !self.output.is_empty() {
            return Err(Gone);
        }
        Ok(())
    }

    /// Runs `work`. While it waits, due output goes out and input is read ahead; if the client has
    /// closed the connection with nothing more asked, and `work` still runs after a while,
    /// `on_closed` is called once.
    pub async fn drive<F: Future>(&mut self, work: F, on_closed: impl Fn()) -> F::Output {
        let mut work = pin!(work);
        let mut told = self.closed;
        let mut grace = None;
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            if self.due && !self.output.is_empty() {
                let _ = self.poll_send(cx);
            }
            self.read_ahead(cx);
            if self.closed && !told && self.input.len() <= self.frame {
                // The client may have closed only its own direction, and wait for the answer.
                let grace = grace.get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSED_GRACE)));
                if grace.as_mut().poll(cx).is_ready() {
                    told = true;
                    on_closed();
                    // What `on_closed` stopped may have been polled before it could be told.
                    cx.waker().wake_by_ref();
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Ends the connection: sends what is left and closes the socket.
    pub async fn shutdown(&mut self) {
        if self.flush().await.is_ok() {
            let _ = poll_fn(|cx| std::pin::Pin::new(&mut self.io).poll_shutdown(cx)).await;
        }
    }

    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        while !self.closed && self.input.len() < READ_AHEAD + self.frame {
            if self.poll_fill(cx).is_pending() {
                break;
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.closed {
            return Poll::Ready(());
        }
        if self.input.capacity() - self.input.len() < self.read_size / 2 {
            self.input.reserve(self.read_size);
        }
        let room = self.input.capacity() - self.input.len();
        match pin!(self.io.read_buf(&mut self.input)).poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => self.closed = true,
            Poll::Ready(Ok(count)) if count == room => {
                self.read_size = (self.read_size * 2).min(MAX_READ);
            }
            Poll::Ready(Ok(count)) if count < MIN_READ => self.read_size = MIN_READ,
            Poll::Ready(Ok(_)) => {}
        }
        Poll::Ready(())
    }

    /// Ready when everything is sent, or never can be.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        use std::pin::Pin;
        while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.io).poll_write(cx, rest) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(count)) if count > 0 => self.sent += count,
                Poll::Ready(_) => {
                    self.closed = true;
                    return Poll::Ready(());
                }
            }
        }
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => {
                self.closed = true;
                return Poll::Ready(());
            }
        }
        self.output.clear();
        if self.output.capacity() > KEEP_BUFFER {
            self.output = Vec::new();
        }
        self.sent = 0;
        self.due = false;
        Poll::Ready(())
    }
}
