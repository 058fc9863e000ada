//! The crash bench: a mount is killed by `kill -9` at each step of what it is asked to do, mounted
//! again, and held to what was acknowledged.
//!
//! The law: what was acknowledged is so. What was under way is wholly done or wholly not. Whatever
//! nobody touched has the ID it had. Nothing is there twice, nothing is left in a scratch folder, and
//! the second time nothing is left to repair.
//!
//! A [`Scenario`] is one program. It runs on the bed of [`laid_out`] in the mount and on a plain
//! folder with the same content, which tells what should be there after each of its commands.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bedfs_emulator::{Answers, Emulator, Fault, FaultKind, Options};

use crate::bench::refusal;
use crate::command::{kill, pid};
use crate::compare::{Content, content};
use crate::crash_points::Turn;
use crate::crash_verdict::Verdict;
use crate::harness::{Mount, attempt, fast, noise, run, text};

/// A slice of the bed, small so that `three.jpg` has three.
const SLICE: usize = 16 << 10;

/// How long a program goes on after the service has stopped, so that what needs no service is done.
const GOES_ON: Duration = Duration::from_millis(150);

/// When a close returns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Upload {
    Close,
    Background,
}

/// A program that is cut off, and the bed that it runs on.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) upload: Upload,
    /// Commands, in the mount's folder; `$S` has pictures to copy in.
    pub(crate) commands: &'static [&'static str],
    /// Whether the mount is unmounted after the commands, as a part of what is cut off.
    pub(crate) ends: bool,
    /// Whether a command is made of many changes, each done or not.
    pub(crate) is_piecewise: bool,
    /// Whether the program itself removes what it wrote when it cannot go on.
    pub(crate) clears_up: bool,
    /// Paths whose objects outlive whatever becomes of the program.
    pub(crate) lives: &'static [&'static str],
    /// What the service answers where the documents leave it open.
    pub(crate) answers: Answers,
    /// An endpoint that is refused, before the crash and after.
    pub(crate) refused: Option<&'static str>,
    /// How often a completed upload is asked after.
    pub(crate) polls: u32,
    /// The least requests that the program makes: at each it is cut off twice.
    pub(crate) requests: usize,
}

impl Scenario {
    pub(crate) fn new(
        name: &'static str, requests: usize, commands: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            upload: Upload::Close,
            commands,
            ends: false,
            is_piecewise: false,
            clears_up: false,
            lives: &[],
            answers: Answers::default(),
            refused: None,
            polls: 0,
            requests,
        }
    }

    pub(crate) fn in_background(self) -> Self {
        Self { upload: Upload::Background, ..self }
    }

    pub(crate) fn and_unmounted(self) -> Self {
        Self { ends: true, ..self }
    }

    pub(crate) fn piecewise(self) -> Self {
        Self { is_piecewise: true, ..self }
    }

    pub(crate) fn clearing_up(self) -> Self {
        Self { clears_up: true, ..self }
    }

    pub(crate) fn keeping(self, lives: &'static [&'static str]) -> Self {
        Self { lives, ..self }
    }

    pub(crate) fn refusing(self, endpoint: &'static str) -> Self {
        Self { refused: Some(endpoint), ..self }
    }

    pub(crate) fn polled(self, polls: u32) -> Self {
        Self { polls, ..self }
    }

    pub(crate) fn answering(mut self, change: impl FnOnce(&mut Answers)) -> Self {
        change(&mut self.answers);
        self
    }

    /// A service that lags gets the patience that the program has by default.
    fn mount_options(&self) -> Vec<&'static str> {
        let upload = if self.upload == Upload::Close { "close" } else { "background" };
        let lags = self.answers.list_lag > Duration::ZERO;
        let lag = if lags { &["--service-lag", "30"][..] } else { &[] };
        [&["--upload", upload], lag].concat()
    }

    /// The kill points that it has at the least.
    pub(crate) fn points(&self) -> usize {
        2 * self.requests + 2 * self.commands.len() - 1
    }
}

/// When the mount is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stop {
    /// The service stopped just before it did the request of this number.
    Before(usize),
    /// The service stopped just after it did the request of this number.
    After(usize),
    /// So many commands are done and no more are begun; the service is at work.
    Done(usize),
    /// So many commands are done and no more are begun; the service stopped before all of them.
    Away(usize),
}

impl Stop {
    fn faults(self) -> Vec<Fault> {
        let silence = Fault::new("*", FaultKind::Hang).always();
        match self {
            Stop::Before(requests) => vec![silence.skip(requests)],
            Stop::After(requests) => {
                // A request that the first one hits is not counted by the second.
                let last = Fault::new("*", FaultKind::HangAfter).skip(requests);
                vec![last, silence.skip(requests)]
            }
            Stop::Done(_) => Vec::new(),
            Stop::Away(_) => vec![silence],
        }
    }

    fn commands(self, all: usize) -> usize {
        match self {
            Stop::Before(_) | Stop::After(_) => all,
            Stop::Done(commands) | Stop::Away(commands) => commands,
        }
    }
}

/// What the program said before the mount was killed.
pub(crate) struct Cut {
    /// Commands that succeeded.
    pub(crate) done: usize,
    /// Whether another was begun.
    pub(crate) is_under_way: bool,
    /// Whether it was told of a failure, and had the time to clear up behind itself.
    pub(crate) is_told: bool,
}

/// One mount of a scenario.
pub(crate) struct Case<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) mount: Mount,
    /// What is there before the first command, and after each.
    pub(crate) states: Vec<Content>,
    /// The ID of each object before the first command.
    pub(crate) ids: BTreeMap<String, String>,
    _turn: Turn,
}

/// Lays out the bed that every scenario begins with.
pub(crate) fn laid_out(options: Options) -> Emulator {
    let emulator = Emulator::start(options).expect("the emulator starts");
    let pictures = ["top.jpg", "d/a.jpg", "d/b.jpg", "d/u.jpg", "e/b.jpg", "e/u.jpg"];
    let folder = ["full/1.jpg", "full/2.jpg", "full/sub/3.jpg"];
    let five = ["five/1.jpg", "five/2.jpg", "five/3.jpg", "five/4.jpg", "five/sub/5.jpg"];
    let all = pictures.iter().chain(&folder).chain(&five);
    for (number, path) in all.enumerate() {
        emulator.put(path, &noise(100 + number as u64, 3000 + 100 * number));
    }
    emulator.put("known/known.jpg", &noise(3, 9000));
    emulator.mkdir("empty");
    emulator
}

/// The pictures of `$S`: one of one slice, another, one of three, and one that the service knows.
pub(crate) fn pictures(folder: &Path) {
    let sizes = [("one", 8000), ("two", 7000), ("known", 9000), ("three", 2 * SLICE + 1000)];
    for (number, (name, size)) in sizes.into_iter().enumerate() {
        let bytes = noise(1 + number as u64, size);
        fs::write(folder.join(format!("{name}.jpg")), bytes).expect("a local file");
    }
}

/// Writes out what `emulator` holds.
fn copied_out(emulator: &Emulator, folder: &Path) {
    fs::create_dir(folder).expect("a folder");
    for (path, row) in emulator.tree() {
        let made = match emulator.read(&path) {
            Some(bytes) if !row.is_folder => fs::write(folder.join(path), bytes),
            _ => fs::create_dir(folder.join(path)),
        };
        made.expect("copied out");
    }
}

impl<'a> Case<'a> {
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        let turn = Turn::take();
        let answers = Answers { list_lag: Duration::ZERO, ..scenario.answers.clone() };
        let options = Options { slice_size: SLICE as u64, answers, ..fast() };
        let emulator = laid_out(Options { async_polls: scenario.polls, ..options });
        let ids = emulator.tree().into_iter().map(|(path, row)| (path, row.id)).collect();
        let mount = Mount::over(emulator, &scenario.mount_options());
        pictures(mount.dir.path());
        attempt("find", [&mount.path]);
        let lag = scenario.answers.list_lag;
        mount.emulator.change(|options| options.answers.list_lag = lag);
        let mut case = Self { scenario, mount, states: Vec::new(), ids, _turn: turn };
        case.states = (0..=scenario.commands.len()).map(|done| case.state_after(done)).collect();
        case
    }

    /// What is there after so many commands, by a plain folder.
    fn state_after(&self, done: usize) -> Content {
        let plain = self.mount.dir.path().join(format!("plain-{done}"));
        copied_out(&self.mount.emulator, &plain);
        let mut line = format!("{}cd {}", self.variables(), plain.display());
        for command in &self.scenario.commands[..done] {
            line.push_str(&format!(" && {{ {command}\n}}"));
        }
        run("bash", ["-c", &line]);
        content(&plain)
    }

    fn variables(&self) -> String {
        let dir = self.mount.dir.path().display();
        format!("S={dir}; cd {dir}; ")
    }

    /// Runs so many commands, and gives how many succeeded.
    pub(crate) fn run(&self, commands: usize) -> usize {
        let mut line = format!("{}cd mnt", self.variables());
        for command in &self.scenario.commands[..commands] {
            line.push_str(&format!(" && {{ {command}\n}} && echo done"));
        }
        let done = text(&attempt("bash", ["-c", &line]).stdout).matches("done").count();
        if self.scenario.ends && done == self.scenario.commands.len() {
            let umount = self.mount.bedfs("umount").arg(&self.mount.path).output();
            umount.expect("bedfs runs");
        }
        done
    }

    /// Runs the program until it is cut off; `None` when it ends without that.
    fn cut(&self, stop: Stop) -> Option<Cut> {
        let process = pid(&self.mount);
        let emulator = &self.mount.emulator;
        stop.faults().into_iter().for_each(|fault| emulator.inject(fault));
        self.refuse();
        let commands = stop.commands(self.scenario.commands.len());
        let (done, is_cut) = thread::scope(|scope| {
            let program = scope.spawn(|| self.run(commands));
            let is_cut = match stop {
                Stop::Before(_) | Stop::After(_) => self.is_hit(|| program.is_finished()),
                Stop::Done(_) => wait(Duration::from_secs(60), || program.is_finished()),
                Stop::Away(_) => {
                    wait(Duration::from_secs(1), || program.is_finished());
                    true
                }
            };
            if is_cut {
                kill_at_once(process);
            }
            (program.join().expect("the program ends"), is_cut)
        });
        is_cut.then_some(Cut { done, is_under_way: done < commands, is_told: false })
    }

    /// Waits until a request hangs, and lets the program go on for a while: `true`. Or until the
    /// program has ended and nothing is under way any more: `false`.
    fn is_hit(&self, has_ended: impl Fn() -> bool) -> bool {
        let emulator = &self.mount.emulator;
        let hit = wait(Duration::from_secs(60), || {
            emulator.hanging() > 0 || (has_ended() && is_quiet(&self.mount))
        });
        assert!(hit, "neither an end nor a request that hangs");
        if emulator.hanging() == 0 {
            return false;
        }
        wait(GOES_ON, has_ended);
        true
    }

    /// Refuses what the scenario has refused.
    pub(crate) fn refuse(&self) {
        if let Some(endpoint) = self.scenario.refused {
            self.mount.emulator.inject(Fault::new(endpoint, refusal(1, "not today")).always());
        }
    }

    /// Takes the dead mount away and mounts again.
    pub(crate) fn revive(&self) {
        let mount = &self.mount;
        attempt("umount", ["-l".as_ref(), mount.path.as_os_str()]);
        let output = mount.mount(&self.scenario.mount_options());
        assert!(output.status.success(), "mounted again: {}", text(&output.stderr));
    }

    /// Cuts the program off, tells whether it came so far, and holds the mount to the law.
    pub(crate) fn judge(&self, stop: Stop, is_reached: &mut bool) {
        let cut = self.cut(stop);
        let is_cut = cut.is_some();
        *is_reached = is_cut;
        let done = self.scenario.commands.len();
        let all = Cut { done, is_under_way: false, is_told: false };
        self.mount.emulator.clear_faults();
        self.refuse();
        if is_cut || self.scenario.ends {
            self.revive();
        }
        let verdict = Verdict { case: self, cut: cut.unwrap_or(all) };
        verdict.at_once();
        settle(&self.mount);
        verdict.in_the_end();
    }

    /// Ends the mount without waiting for anything.
    pub(crate) fn abandon(&self) {
        if self.mount.is_mounted() {
            kill_at_once(pid(&self.mount));
            attempt("umount", ["-l".as_ref(), self.mount.path.as_os_str()]);
        }
    }
}

/// `kill -9`, and waits for the end.
pub(crate) fn kill_at_once(process: u32) {
    let stat = || fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    if !stat().is_empty() {
        kill(process, libc::SIGKILL);
    }
    let is_gone = || stat().is_empty() || stat().contains(") Z ");
    assert!(wait(Duration::from_secs(10), is_gone), "the mount's process outlives SIGKILL");
}

/// Waits until it is so or the time is over; tells which.
pub(crate) fn wait(most: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + most;
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// What `.bedfs/pending.json` tells of changes that are still going on; `None` without a mount.
fn going_on(mount: &Mount) -> Option<Vec<serde_json::Value>> {
    let told = fs::read_to_string(mount.at(".bedfs/pending.json")).ok()?;
    let rows: Vec<serde_json::Value> = serde_json::from_str(&told).expect("JSON");
    let rests = ["failed", "interrupted", "local"];
    Some(
        rows.into_iter().filter(|row| !rests.iter().any(|state| row["state"] == **state)).collect(),
    )
}

/// Whether nothing is pending and nothing is asked of the service.
pub(crate) fn is_quiet(mount: &Mount) -> bool {
    let requests = mount.emulator.requests().len();
    if !going_on(mount).unwrap_or_default().is_empty() {
        return false;
    }
    thread::sleep(Duration::from_millis(100));
    let is_idle = mount.emulator.requests().len() == requests && mount.emulator.hanging() == 0;
    is_idle && going_on(mount).unwrap_or_default().is_empty()
}

/// Waits until a mount is quiet.
pub(crate) fn settle(mount: &Mount) {
    let is_settled = wait(Duration::from_secs(30), || is_quiet(mount));
    assert!(is_settled, "not quiet within 30 s: {:?}", going_on(mount));
}
