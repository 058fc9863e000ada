//! A scenario: a program, a crash in it or none, and the mounts after that; and what is wrong with what
//! they come to.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bedfs::api::Error as ApiError;
use bedfs_emulator::{Emulator, Options};
use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::caller::Caller;
use crate::crash::Crash;
use crate::life::{Life, TWIN};
use crate::machine::{self, Disk};
use crate::model::{self, Model, Node, World, meet, tell};
use crate::net;
use crate::program::{CALLERS, Op, Program, Step};

/// Bytes of a slice at the service of a simulation.
const SLICE: u64 = 64 << 10;

/// Bytes of the stack of a thread that simulates all threads of a mount.
const STACK: usize = 64 << 20;

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Has the panics of simulations told with what they come to.
pub(crate) fn hear_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANIC.with_borrow_mut(|told| {
            told.get_or_insert_with(|| format!("{panic}"));
        });
    }));
}

/// What a simulation came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Moments in its first life at which it could have crashed.
    pub(crate) points: u64,
    /// What is wrong.
    pub(crate) wrong: Option<String>,
    /// All that was done, in words.
    pub(crate) log: Vec<String>,
}

/// Where the first two lives crash.
pub(crate) type Crashes = [Option<u64>; 2];

/// Simulates a program, on a thread of its own.
pub(crate) fn run(program: &Program, crashes: Crashes) -> Outcome {
    let program = program.clone();
    let simulate = move || {
        machine::simulate(program.seed);
        fastrand::seed(program.seed);
        let run = AssertUnwindSafe(|| Scenario::new(program).run(crashes));
        let mut outcome = catch_unwind(run).unwrap_or_default();
        // Whoever catches one: it is a fault.
        outcome.wrong = outcome.wrong.or(PANIC.take());
        outcome
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(simulate);
    thread.expect("a thread").join().expect("panics are caught")
}

/// Names that somebody uses.
#[derive(Default)]
struct Claims {
    taken: RefCell<Vec<String>>,
    freed: Notify,
}

impl Claims {
    async fn take(&self, names: &[&str]) {
        loop {
            let freed = self.freed.notified();
            let is_free = {
                let taken = self.taken.borrow();
                taken.iter().all(|one| names.iter().all(|name| !meet(one, name)))
            };
            if is_free {
                self.taken.borrow_mut().extend(names.iter().map(|&name| name.to_owned()));
                return;
            }
            freed.await;
        }
    }

    fn free(&self, names: &[&str]) {
        self.taken.borrow_mut().retain(|one| !names.contains(&&**one));
        self.freed.notify_waiters();
    }
}

/// A program that is simulated, and what is known of it so far.
pub(crate) struct Scenario {
    pub(crate) program: Program,
    pub(crate) emulator: Arc<Emulator>,
    pub(crate) model: RefCell<Model>,
    log: RefCell<Vec<String>>,
    wrong: RefCell<Option<String>>,
    /// IDs that the objects of a file had, by the step that made it.
    pub(crate) published: RefCell<BTreeMap<usize, BTreeSet<String>>>,
    /// Lives that came to an orderly end.
    pub(crate) orderly_ends: Cell<u32>,
}

/// How a life ended.
enum End {
    Orderly,
    Crash,
}

impl Scenario {
    fn new(program: Program) -> Rc<Self> {
        let options = Options {
            slice_size: SLICE,
            latency: program.latency,
            async_polls: program.async_polls,
            answers: program.answers.clone(),
            ..Options::default()
        };
        let emulator = Emulator::in_memory(options).expect("it is in memory");
        let mut world = World::new();
        for (number, (path, len)) in program.before.iter().enumerate() {
            let made = 100 + number;
            let bytes = model::bytes(made, *len);
            emulator.put(path, &bytes);
            let mut folder = path.as_str();
            while let Some((above, _)) = folder.rsplit_once('/') {
                world.insert(above.to_owned(), Node::Folder);
                folder = above;
            }
            world.insert(path.clone(), Node::File(bytes.into(), made));
        }
        let model = Model::new(world, !program.answers.tells_md5);
        Rc::new(Self {
            program,
            emulator: Arc::new(emulator),
            model: RefCell::new(model),
            log: RefCell::default(),
            wrong: RefCell::default(),
            published: RefCell::default(),
            orderly_ends: Cell::default(),
        })
    }

    fn say(&self, what: impl Into<String>) {
        let at = machine::now();
        self.log.borrow_mut().push(format!("{:9.3} {}", at.as_secs_f64(), what.into()));
    }

    /// Something is wrong; the first that is counts.
    pub(crate) fn is_wrong(&self, what: impl Into<String>) {
        let what = what.into();
        self.say(format!("WRONG: {what}"));
        self.wrong.borrow_mut().get_or_insert(what);
    }

    fn run(self: &Rc<Self>, crashes: Crashes) -> Outcome {
        let mut dir = folder();
        let mut points = 0;
        // After the crashes there is an orderly life, and one that finds what it left.
        for number in 0..4 {
            let crash = Arc::new(Crash::at(crashes.get(number).copied().flatten()));
            let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
            let runtime = runtime.expect("a runtime");
            let on_sync = {
                let crash = crash.clone();
                move |path: &std::path::Path| crash.point(&format!("sync {}", path.display()))
            };
            let disk = Disk::begin(dir.path(), self.program.is_power_lost, on_sync);
            let end = runtime.block_on(async {
                machine::adopt_clock().await;
                self.emulator.go_on();
                self.say(format!("life {number}"));
                let end = self.live(number, dir.path().to_owned(), &crash).await;
                machine::keep_clock();
                end
            });
            drop(runtime);
            Disk::end();
            if number == 0 {
                points = crash.seen();
            }
            match end {
                End::Crash => {
                    let image = disk.seized();
                    dir = folder();
                    machine::lay(dir.path(), &image);
                    self.say(format!("crash at: {}", crash.moment()));
                    self.model.borrow_mut().cut_off();
                    self.emulator.clear_faults();
                }
                End::Orderly => {
                    let ends = self.orderly_ends.get() + 1;
                    self.orderly_ends.set(ends);
                    if ends == 2 {
                        break;
                    }
                }
            }
            if self.wrong.borrow().is_some() {
                break;
            }
        }
        let breaches = self.emulator.violations();
        if !breaches.is_empty() {
            self.is_wrong(format!("what the documents forbid: {}", breaches.join("; ")));
        }
        let (wrong, log) = (self.wrong.take(), self.log.take());
        Outcome { points, wrong, log }
    }

    async fn live(self: &Rc<Self>, number: usize, dir: PathBuf, crash: &Arc<Crash>) -> End {
        let asked = net::asked();
        let life = async {
            let life = self.begin(&dir, crash).await?;
            if number == 0 {
                self.program.faults.iter().for_each(|fault| self.emulator.inject(fault.clone()));
                self.take_steps(&life, crash).await;
                self.emulator.clear_faults();
            }
            self.settle(&life, asked).await;
            if life.is_broken() {
                self.is_wrong("a loop ended by a panic");
            }
            life.end().await;
            Some(())
        };
        tokio::select! {
            biased;
            () = crash.comes() => End::Crash,
            _ = life => if crash.is_dead() { End::Crash } else { End::Orderly },
        }
    }

    async fn begin(&self, dir: &std::path::Path, crash: &Arc<Crash>) -> Option<Life> {
        let begun = Life::begin(dir, &self.emulator, crash, self.program.is_background).await;
        begun.map_err(|error| self.is_wrong(format!("it does not mount: {error}"))).ok()
    }

    /// All callers take their steps.
    async fn take_steps(self: &Rc<Self>, life: &Life, crash: &Arc<Crash>) {
        let claims = Claims::default();
        let callers = (0..CALLERS).map(|caller| {
            let steps = self.program.steps.iter().filter(move |step| step.caller == caller);
            let claims = &claims;
            async move {
                for step in steps {
                    let names = step.op.names();
                    claims.take(&names).await;
                    self.take(step, life, crash).await;
                    claims.free(&names);
                }
            }
        });
        join_all(callers).await;
    }

    async fn take(&self, step: &Step, life: &Life, crash: &Arc<Crash>) {
        let Step { number, op, .. } = step;
        if !self.model.borrow().allows(*number, op) {
            return self.say(format!("{number}. not: {op}"));
        }
        let caller = Caller { fs: life.fs.clone() };
        match op {
            Op::Wait { millis } => return sleep(Duration::from_millis(*millis)).await,
            Op::Fill { millis } => {
                machine::fill_disk(Duration::from_millis(*millis));
                return self.say(format!("{number}. {op}"));
            }
            Op::Elsewhere { path, len } => {
                self.emulator.put(path, &model::bytes(*number, *len));
                self.model.borrow_mut().acknowledge(*number, op);
                return self.say(format!("{number}. {op}"));
            }
            Op::Read { path } => return self.check_read(*number, path, &caller, crash).await,
            _ => {}
        }
        self.say(format!("{number}. {op}"));
        self.model.borrow_mut().begin(*number, op);
        let mut synced = || {
            if let (false, Op::Write { path, len, .. }) = (crash.is_dead(), op) {
                let half = Op::Write { path: path.clone(), len: len / 2, is_synced: false };
                self.model.borrow_mut().acknowledge(*number, &half);
            }
        };
        let taken = caller.take(*number, op, &mut synced).await;
        if crash.is_dead() {
            return;
        }
        match taken {
            Ok(()) => {
                self.model.borrow_mut().acknowledge(*number, op);
                self.model.borrow_mut().end(*number);
                self.say(format!("{number}. done"));
            }
            Err(error) => {
                self.model.borrow_mut().fail(*number);
                self.say(format!("{number}. failed: {error}"));
                if self.program.is_calm() && !self.may_be_refused(&error) {
                    self.is_wrong(format!("{number}. {op} fails without a fault: {error}"));
                }
            }
        }
        self.note_links();
    }

    /// Whether the service, as it is, leaves no other way.
    fn may_be_refused(&self, error: &bedfs::fs::Error) -> bool {
        let is_refused = error.api().is_some_and(ApiError::is_refused);
        let text = error.to_string();
        is_refused || text.contains(TWIN) || text.contains("it was removed elsewhere")
    }

    /// What a caller reads must be what it, or another, was told that it wrote.
    async fn check_read(&self, number: usize, path: &str, caller: &Caller, crash: &Arc<Crash>) {
        let read = caller.read(path).await;
        if crash.is_dead() {
            return;
        }
        let worlds = self.model.borrow().now();
        let is_meant = |bytes: &Vec<u8>| {
            worlds.iter().any(
                |world| matches!(world.get(path), Some(Node::File(meant, _)) if **meant == **bytes),
            )
        };
        match read {
            Ok(bytes) if is_meant(&bytes) => self.say(format!("{number}. read {path}")),
            Ok(bytes) => self.is_wrong(format!("{number}. {path} reads as {}", tell(&bytes))),
            Err(error) if self.program.is_calm() && worlds.len() == 1 => {
                self.is_wrong(format!("{number}. {path} cannot be read: {error}"));
            }
            Err(error) => self.say(format!("{number}. {path} cannot be read: {error}")),
        }
    }

    /// Notes which objects the service has of the files, whose links may be published from now on.
    pub(crate) fn note_links(&self) {
        let model = self.model.borrow();
        let Some(world) = model.worlds.first().filter(|_| model.worlds.len() == 1) else { return };
        let mut published = self.published.borrow_mut();
        for (path, node) in world {
            if let Node::File(bytes, made) = node
                && self.emulator.read(path).is_some_and(|there| *there == **bytes)
                && let Some(row) = self.emulator.row(path)
            {
                published.entry(*made).or_default().insert(row.id);
            }
        }
    }
}

fn folder() -> TempDir {
    // What need not outlive the machine is fastest in memory.
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}
