//! Aside: work that takes the disk or the processor for a while, where it holds up no task.
//!
//! A runtime of one thread has nobody else to keep from work, and does it in place: there one thing
//! follows the other in the same order each time.

use std::panic::resume_unwind;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{block_in_place, spawn_blocking};

/// Does work on a thread that may wait. A panic of it is the caller's.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    if !has_others(&Handle::current()) {
        return work();
    }
    match spawn_blocking(work).await.map_err(|error| error.try_into_panic()) {
        Ok(done) => done,
        Err(Ok(panic)) => resume_unwind(panic),
        // The runtime ends, and the caller with it.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// Has work done that nobody waits for here.
pub fn detach(runtime: &Handle, work: impl FnOnce() + Send + 'static) {
    if has_others(runtime) {
        drop(runtime.spawn_blocking(work));
    } else {
        drop(runtime.spawn(async move { work() }));
    }
}

/// Does work at once that may wait: the tasks of this thread, if it has any, go on elsewhere.
pub fn in_place<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(runtime) if has_others(&runtime) => block_in_place(work),
        _ => work(),
    }
}

fn has_others(runtime: &Handle) -> bool {
    runtime.runtime_flavor() != RuntimeFlavor::CurrentThread
}
