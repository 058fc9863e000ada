//! The loops: what goes on behind the callers' backs for as long as the mount lives.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Fs;

/// A loop that ends with the mount and never before. It can be begun again after a panic: what it has
/// to do is in the file system, not in the loop.
pub struct Loop {
    /// What it does, for messages.
    pub name: &'static str,
    begin: Box<dyn Fn() -> BoxFuture<'static, Infallible> + Send>,
}

impl Loop {
    /// A loop that begins as the future that `begin` gives.
    pub fn new<F: Future<Output = Infallible> + Send + 'static>(
        name: &'static str, begin: impl Fn() -> F + Send + 'static,
    ) -> Self {
        Self { name, begin: Box::new(move || begin().boxed()) }
    }

    /// Begins it, at first or again.
    pub fn begin(&self) -> BoxFuture<'static, Infallible> {
        (self.begin)()
    }
}

impl Fs {
    /// All loops of the mount. Whoever runs them watches them.
    pub fn loops(self: &Arc<Self>) -> Vec<Loop> {
        let mut loops = vec![
            self.a_loop("uploads", |fs| async move { fs.run_uploads().await }),
            self.a_loop("deletes", |fs| async move { fs.bed.run_deletes().await }),
            self.a_loop("replay", |fs| async move { fs.run_replay().await }),
            self.a_loop("taking back", |fs| async move { fs.run_taking_back().await }),
            self.a_loop(
                "keeping listings",
                |fs| async move { fs.tree.clone().run_keeping().await },
            ),
            self.a_loop("keeping times", |fs| async move { fs.run_times().await }),
            self.a_loop(
                "listing again",
                |fs| async move { fs.tree.clone().run_refreshing().await },
            ),
        ];
        if self.options.archive_traffic {
            loops.push(
                self.a_loop("traffic archive", |fs| async move { fs.ledger.traffic.run().await }),
            );
        }
        loops
    }

    fn a_loop<F: Future<Output = Infallible> + Send + 'static>(
        self: &Arc<Self>, name: &'static str, begin: impl Fn(Arc<Self>) -> F + Send + 'static,
    ) -> Loop {
        let fs = self.clone();
        Loop::new(name, move || begin(fs.clone()))
    }
}
