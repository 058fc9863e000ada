//! The bench for faults: copies of pictures under a fault, and what must be so after each.
//!
//! The law: the old bytes stay at the service until the new ones are there, an acknowledged byte is
//! there, nothing is there twice, and what failed succeeds when tried again.

use std::fs;
use std::process::Output;
use std::thread;
use std::time::Duration;

use bedfs_emulator::{Emulator, Fault, FaultKind, Options};

use crate::harness::{Mount, attempt, fast, noise, text, wait_until, xattr};

/// What is copied over what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Copy {
    /// Bytes of two slices under a new name.
    New,
    /// The same over an old version.
    Over,
    /// Bytes that the service has, under a new name.
    Known,
}

/// A slice of the bed, small so that pictures have several.
const SLICE: usize = 16 << 10;
const PICTURE: usize = SLICE + 1000;
/// More than any test here has cases.
const MOST: u64 = 24;

/// The endpoints that a copy needs.
pub(crate) fn endpoints(copy: Copy) -> &'static [&'static str] {
    match copy {
        Copy::New => &["create", "get_upload_url", "put", "upload_complete", "upload_async_result"],
        Copy::Over => &["create", "put", "upload_complete", "detail", "delete", "move"],
        Copy::Known => &["create"],
    }
}

pub(crate) fn refusal(code: i64, message: &str) -> FaultKind {
    let message = message.to_owned();
    FaultKind::Refuse { code, message }
}

/// What is worth another try, where it happens once.
pub(crate) fn passing(endpoint: &str) -> Vec<FaultKind> {
    use FaultKind::{
        EmptyObject, Expired, Garbage, GarbageAfter, LostAnswer, MissingData, Reset, ResetAfter,
        Slow, Status, Truncate,
    };
    let always = [Status(500), Status(503), Reset, ResetAfter, LostAnswer, GarbageAfter];
    let mut kinds = always.to_vec();
    kinds.push(Slow(Duration::from_millis(200)));
    if endpoint == "put" {
        kinds.push(Expired);
        return kinds;
    }
    kinds.extend([Garbage, EmptyObject, Truncate(9), refusal(401, "token"), refusal(429, "busy")]);
    kinds.push(refusal(20103, "checking"));
    // These answer a success with nothing else: there it is no fault that could be seen.
    if !matches!(endpoint, "delete" | "move") {
        kinds.push(MissingData);
    }
    kinds
}

/// A mount for the cases of one endpoint.
pub(crate) struct Bench {
    pub(crate) mount: Mount,
    copy: Copy,
    pub(crate) cases: u64,
}

/// One copy that was made.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    old: Option<Vec<u8>>,
    pub(crate) output: Output,
}

impl Bench {
    pub(crate) fn new(copy: Copy) -> Self {
        let options = Options {
            slice_size: SLICE as u64,
            async_polls: u32::from(copy == Copy::New),
            ..fast()
        };
        let emulator = Emulator::start(options).expect("the emulator starts");
        emulator.mkdir("d");
        for case in 0..MOST {
            match copy {
                Copy::New => {}
                Copy::Over => drop(emulator.put(&format!("d/{case}.jpg"), &old(case))),
                Copy::Known => drop(emulator.put(&format!("known/{case}.jpg"), &fresh(case))),
            }
        }
        let mount = Mount::over(emulator, &[]);
        fs::read_dir(mount.at("d")).expect("listed");
        let cases = 0;
        Self { mount, copy, cases }
    }

    /// Copies in under the fault, which is gone afterwards.
    pub(crate) fn copy_under(&mut self, fault: Fault) -> Case {
        let number = self.cases;
        self.cases += 1;
        assert!(number < MOST, "too many cases");
        let emulator = &self.mount.emulator;
        emulator.forget_requests();
        let endpoint = fault.endpoint.clone();
        emulator.inject(fault);
        let name = format!("{number}.jpg");
        let output = self.copy(&name, &fresh(number));
        emulator.clear_faults();
        assert!(emulator.count(&endpoint) > 0, "no call of {endpoint} was hit");
        let old = (self.copy == Copy::Over).then(|| old(number));
        let bytes = fresh(number);
        Case { name, bytes, old, output }
    }

    fn copy(&self, name: &str, bytes: &[u8]) -> Output {
        let local = self.mount.local(name, bytes);
        attempt("cp", [&local, &self.mount.at("d").join(name)])
    }

    fn at_service(&self, case: &Case) -> Option<Vec<u8>> {
        self.mount.emulator.read(&format!("d/{}", case.name))
    }

    pub(crate) fn succeeded(&self, case: &Case, what: &str) {
        let said = text(&case.output.stderr);
        assert!(case.output.status.success(), "{:?} under {what}: {said}", self.copy);
        assert!(self.at_service(case).as_ref() == Some(&case.bytes), "{what}: not at the service");
        let path = self.mount.at("d").join(&case.name);
        assert!(fs::read(&path).expect("readable") == case.bytes, "{what}: other bytes are read");
        assert_eq!(xattr(&path, "state").as_deref(), Some("remote"), "{what}");
        assert_eq!(xattr(&path, "error"), None, "{what}");
    }

    /// What a copy that failed must look like, and that it succeeds afterwards.
    pub(crate) fn failed(&self, case: &Case, what: &str, words: &str) {
        let said = text(&case.output.stderr);
        let label = format!("{:?} under {what}", self.copy);
        assert!(!case.output.status.success(), "{label}: cp succeeded");
        assert!(said.contains(words), "{label}: {words:?} was wanted: {said}");
        self.stands(case, &label);
        let path = self.mount.at("d").join(&case.name);
        assert_eq!(xattr(&path, "state").as_deref(), Some("failed"), "{label}");
        let error = xattr(&path, "error").unwrap_or_else(|| panic!("{label}: no error is told"));
        assert!(!error.contains("emulator-secret"), "{error}");
        assert!(
            fs::read(&path).expect("readable") == case.bytes,
            "{label}: the bytes are lost here"
        );
        self.mends(case, &label);
    }

    /// One of the two versions has the name at the service.
    pub(crate) fn stands(&self, case: &Case, label: &str) {
        let found = self.at_service(case);
        let right = found == case.old || found.as_ref() == Some(&case.bytes);
        let len = found.map(|bytes| bytes.len());
        assert!(right, "{label}: neither version is at the service ({len:?} bytes)");
    }

    /// After the fault the next copy, or every second time the next close, publishes.
    fn mends(&self, case: &Case, label: &str) {
        let path = self.mount.at("d").join(&case.name);
        let again = match case.bytes[0].is_multiple_of(2) {
            true => self.copy(&case.name, &case.bytes),
            false => attempt("sh", ["-c".as_ref(), ": >> \"$0\"".as_ref(), path.as_os_str()]),
        };
        assert!(again.status.success(), "{label}, tried again: {}", text(&again.stderr));
        assert!(self.at_service(case).as_ref() == Some(&case.bytes), "{label}: not mended");
        assert_eq!(xattr(&path, "state").as_deref(), Some("remote"), "{label}");
        assert_eq!(xattr(&path, "error"), None, "{label}");
    }

    /// Unmounts, and holds the bed to what it must hold.
    pub(crate) fn finish(self) {
        end(&self.mount);
        let mut expected: Vec<_> = (0..self.cases).map(|case| format!("d/{case}.jpg")).collect();
        expected.push("d".to_owned());
        match self.copy {
            Copy::New => {}
            Copy::Over => expected.extend((self.cases..MOST).map(|case| format!("d/{case}.jpg"))),
            Copy::Known => {
                expected.extend((0..MOST).map(|case| format!("known/{case}.jpg")));
                expected.push("known".to_owned());
            }
        }
        expected.sort();
        let emulator = &self.mount.emulator;
        let mut found: Vec<_> = emulator.tree().into_iter().map(|(path, _)| path).collect();
        found.sort();
        assert_eq!(found, expected, "something is there twice, left behind, or gone");
        assert!(emulator.violations().is_empty(), "{:?}", emulator.violations());
    }
}

/// Unmounts. While threads of other tests start programs, these hold our open files for a moment.
pub(crate) fn end(mount: &Mount) {
    wait_until("unmounted", || {
        let output = mount.bedfs("umount").arg(&mount.path).output().expect("bedfs runs");
        let said = text(&output.stderr);
        assert!(output.status.success() || said.contains("in use"), "{said}");
        output.status.success()
    });
}

fn fresh(case: u64) -> Vec<u8> {
    noise(1000 + case, PICTURE)
}

fn old(case: u64) -> Vec<u8> {
    noise(2000 + case, 5000)
}

/// Runs the work for each item on a thread of its own: most of the time is waiting.
pub(crate) fn all_at_once<T: Send>(items: impl IntoIterator<Item = T>, work: impl Fn(T) + Sync) {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> =
            items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
        // Every thread is joined, so that each failure is shown, before one is passed on.
        let failures: Vec<_> =
            threads.into_iter().filter_map(|thread| thread.join().err()).collect();
        if let Some(first) = failures.into_iter().next() {
            std::panic::resume_unwind(first);
        }
    });
}
