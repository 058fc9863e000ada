//! The watch: a loop that panics is begun again; one that goes on panicking ends the mount, since closes
//! would go on being acknowledged while nothing gets to the service.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep};

use crate::fs::Loop;

/// So many panics of one loop within this time, and it is not begun again.
const PANICS: usize = 3;
const WITHIN: Duration = Duration::from_secs(60);

/// How long a loop rests after a panic.
const REST: Duration = Duration::from_secs(1);

/// Why a mount must end: a part that it cannot do without has ended.
#[derive(Debug)]
pub struct Broken {
    part: String,
    why: String,
}

impl Broken {
    pub(super) fn new(part: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { part: part.into(), why: why.to_string() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a bug in bedfs ended {}: {}", self.part, self.why)
    }
}

/// Runs the loops, each in a task of its own, until one of them cannot be kept going.
pub(super) async fn watch(loops: Vec<Loop>) -> Broken {
    let mut running = JoinSet::new();
    let mut names: HashMap<Id, usize> = HashMap::new();
    let mut panics: Vec<VecDeque<Instant>> = vec![VecDeque::new(); loops.len()];
    for (number, each) in loops.iter().enumerate() {
        names.insert(running.spawn(each.begin()).id(), number);
    }
    loop {
        let Some(Err(ended)) = running.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let Some(number) = names.remove(&ended.id()) else { continue };
        let (name, recent) = (loops[number].name, &mut panics[number]);
        recent.retain(|at| at.elapsed() < WITHIN);
        recent.push_back(Instant::now());
        if recent.len() >= PANICS {
            let part = format!("its loop {name:?}, {PANICS} times within {} s", WITHIN.as_secs());
            return Broken::new(part, ended);
        }
        tracing::error!("a bug in bedfs ended its loop {name:?}, which is begun again: {ended}");
        let again = loops[number].begin();
        let again = running.spawn(async move {
            sleep(REST).await;
            again.await
        });
        names.insert(again.id(), number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    /// A loop that panics the first so many times, and how often it was begun.
    fn panicking(times: u32, goes_on: Arc<Notify>) -> (Loop, Arc<AtomicU32>) {
        let begun = Arc::new(AtomicU32::new(0));
        let count = begun.clone();
        let begin = move || {
            let (number, goes_on) = (count.fetch_add(1, Ordering::SeqCst), goes_on.clone());
            async move {
                assert!(number >= times, "a fault of the test");
                goes_on.notify_one();
                std::future::pending().await
            }
        };
        (Loop::new("the panicking one", begin), begun)
    }

    #[tokio::test]
    async fn a_loop_that_panics_is_begun_again_and_the_others_go_on() {
        let (again, well) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (bad, begun) = panicking(PANICS as u32 - 1, again.clone());
        let (good, begun_well) = panicking(0, well);
        let watched = tokio::spawn(watch(vec![bad, good]));
        again.notified().await;
        assert_eq!(begun.load(Ordering::SeqCst), PANICS as u32);
        assert_eq!(begun_well.load(Ordering::SeqCst), 1);
        assert!(!watched.is_finished());
    }

    #[tokio::test]
    async fn a_loop_that_goes_on_panicking_is_given_up_with_its_name_and_its_words() {
        let (bad, begun) = panicking(u32::MAX, Arc::new(Notify::new()));
        let told = watch(vec![bad]).await.to_string();
        assert_eq!(begun.load(Ordering::SeqCst), PANICS as u32);
        assert!(
            told.contains("the panicking one") && told.contains("a fault of the test"),
            "{told}"
        );
    }
}
