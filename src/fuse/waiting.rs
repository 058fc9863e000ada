//! A waiting request: one whose answer takes work that may wait for the service.
//!
//! The work runs in a task that owns the reply. The reply goes early if the caller is being killed
//! (EINTR), or if the service gave no sign of life for as long as the mount may wait (ETIMEDOUT).
//! The work then goes on to its end: half of an upload or of a rename, dropped, would leave objects
//! that nobody knows of. What it gives is then given back, since the kernel never heard of it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fuser::{Errno, ReplyEntry, Request};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::convert::{Refuse, file_attr, log};
use super::{Adapter, GENERATION};
use crate::api::Pulse;
use crate::fs::{Attr, Fs, Result};
use crate::process;
use crate::types::Ino;

/// How often a request that waits is looked at, and how long it is left alone at first.
const LOOK: Duration = Duration::from_millis(200);

/// How long a request may wait.
#[derive(Clone, Debug)]
pub struct Patience {
    /// The longest time in which the service gives no sign of life.
    pub timeout: Duration,
    /// Its signs of life.
    pub pulse: Pulse,
}

impl Patience {
    /// Ends when `caller`, a thread, need not or shall not wait any longer, with what to tell it.
    async fn ends(&self, what: &str, caller: u32) -> Errno {
        let (mut beats, mut since) = (self.pulse.beats(), Instant::now());
        loop {
            sleep(LOOK).await;
            if process::is_dying(caller) {
                tracing::debug!("{what}: its caller is being killed, and gets no other answer");
                return Errno::EINTR;
            }
            let now = self.pulse.beats();
            if now != beats {
                (beats, since) = (now, Instant::now());
            } else if since.elapsed() >= self.timeout {
                let seconds = self.timeout.as_secs();
                tracing::warn!("{what}: nothing came from the service for {seconds} s");
                return Errno::ETIMEDOUT;
            }
        }
    }
}

/// What the kernel holds by an answer, and gives back with a request of its own.
pub(super) enum Held {
    Nothing,
    /// A count of the inode.
    Inode(Ino),
    /// A count of the inode, and an open file.
    File(Ino, u64),
    /// An open folder, or file of the control folder.
    Folder(u64),
}

impl Held {
    /// Does what the kernel would ask for if it had got the answer.
    async fn give_back(self, fs: &Fs) {
        match self {
            Self::Nothing => {}
            Self::Inode(ino) => fs.forget(ino, 1),
            Self::File(ino, handle) => {
                fs.release(handle).await;
                fs.forget(ino, 1);
            }
            Self::Folder(handle) => fs.releasedir(handle),
        }
    }
}

/// What is asked, and by which thread.
pub(super) struct Call {
    what: &'static str,
    caller: u32,
}

impl Call {
    pub(super) fn of(what: &'static str, req: &Request) -> Self {
        Self { what, caller: req.pid() }
    }
}

/// The tasks in which requests wait.
pub(super) struct Waiting {
    pub(super) fs: Arc<Fs>,
    pub(super) runtime: Handle,
    pub(super) patience: Patience,
}

impl Waiting {
    /// As `spawn`, for work that is mostly done at once and never takes long between its waits: it
    /// is begun on this thread, and goes to a task when it first waits.
    pub(super) fn begin<R: Refuse, T: Send + 'static>(
        &self, call: Call, reply: R, work: impl Future<Output = Result<T>> + Send + 'static,
        held: fn(&T) -> Held, done: impl FnOnce(R, T) + Send + 'static,
    ) {
        let mut work = Box::pin(work);
        let inside = self.runtime.enter();
        // The task polls again, and so has what wakes it.
        let begun = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(inside);
        match begun {
            Poll::Ready(result) => answer(call.what, reply, result, done),
            Poll::Pending => self.spawn(call, reply, work, held, done),
        }
    }

    /// Answers when the work is done, or early; `held` says what its answer would have given.
    pub(super) fn spawn<R: Refuse, T: Send + 'static>(
        &self, call: Call, reply: R, work: impl Future<Output = Result<T>> + Send + 'static,
        held: fn(&T) -> Held, done: impl FnOnce(R, T) + Send + 'static,
    ) {
        let (fs, patience) = (self.fs.clone(), self.patience.clone());
        let Call { what, caller } = call;
        self.runtime.spawn(async move {
            let mut work = pin!(work);
            let errno = tokio::select! {
                biased;
                result = &mut work => return answer(what, reply, result, done),
                errno = patience.ends(what, caller) => errno,
            };
            reply.refuse(errno);
            match work.await {
                Ok(value) => held(&value).give_back(&fs).await,
                Err(error) => log(what, &error),
            }
        });
    }
}

impl Adapter {
    /// Answers when the work is done, with what the kernel need not give back.
    pub(super) fn spawn<R: Refuse, T: Send + 'static>(
        &self, what: &'static str, req: &Request, reply: R,
        work: impl Future<Output = Result<T>> + Send + 'static,
        done: impl FnOnce(R, T) + Send + 'static,
    ) {
        self.waiting.spawn(Call::of(what, req), reply, work, |_| Held::Nothing, done);
    }

    /// Answers when the work is done, with an inode that the kernel counts.
    pub(super) fn spawn_entry(
        &self, what: &'static str, req: &Request, reply: ReplyEntry,
        work: impl Future<Output = Result<Attr>> + Send + 'static,
    ) {
        let (ttl, held) = (self.ttl, |attr: &Attr| Held::Inode(attr.ino));
        self.waiting.spawn(Call::of(what, req), reply, work, held, move |reply, attr| {
            reply.entry(&ttl, &file_attr(&attr), GENERATION);
        });
    }
}

/// Answers now.
pub(super) fn answer<R: Refuse, T>(
    what: &str, reply: R, result: Result<T>, done: impl FnOnce(R, T),
) {
    match result {
        Ok(value) => done(reply, value),
        Err(error) => {
            log(what, &error);
            reply.refuse(Errno::from_i32(error.errno()));
        }
    }
}
