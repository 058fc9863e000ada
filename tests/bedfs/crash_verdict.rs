//! The verdict on a mount that was killed and mounted again: whether what is there now may be.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use bedfs_emulator::Row;

use crate::compare::{Content, assert_same, bed, content, try_content, whole_bed};
use crate::crash::{Case, Cut, settle, wait};
use crate::harness::{attempt, run, text};

/// Endpoints that change the bed.
const CHANGES: [&str; 6] = ["create", "put", "upload_complete", "mkdir", "move", "delete"];

pub(crate) struct Verdict<'a> {
    pub(crate) case: &'a Case<'a>,
    pub(crate) cut: Cut,
}

impl Verdict<'_> {
    /// Mounted a moment ago: what was acknowledged shows already.
    pub(crate) fn at_once(&self) {
        if self.lag() > Duration::ZERO {
            return;
        }
        let (before, after) = (self.before(), self.after());
        let seen = self.seen();
        for (path, bytes) in before.iter().filter(|(path, bytes)| after.get(*path) == Some(bytes)) {
            let found = seen.get(path);
            let sizes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(Vec::len);
            assert!(
                found == Some(bytes),
                "at once: {path} is not what was acknowledged: of {:?}, not {:?}, in {:?}",
                found.map(sizes),
                sizes(bytes),
                seen.keys()
            );
        }
        for path in seen.keys() {
            let known = before.contains_key(path) || after.contains_key(path);
            assert!(known, "at once: {path} is there");
        }
    }

    /// Everything, once nothing is under way any more.
    pub(crate) fn in_the_end(&self) {
        self.look_anew();
        let mount = &self.case.mount;
        let seen = self.seen();
        let is_done = self.allows(&seen);
        self.bed_holds(&seen);
        self.objects_are_those_that_were(&seen);
        let is_cleared_up = self.cut.is_told && self.case.scenario.clears_up;
        if !is_done && !is_cleared_up {
            self.what_was_written_is_kept();
        }
        let rows = self.unmounted(&seen);
        self.changes_nothing_more(&seen, &rows);
        assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
    }

    /// What the mount shows, without what a program that was killed left under local names.
    fn seen(&self) -> Content {
        let root = &self.case.mount.path;
        let mut seen = try_content(root);
        // What is under way may change between a look at a folder and one into it.
        wait(Duration::from_secs(5), || {
            let is_torn = seen.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
            if is_torn {
                seen = try_content(root);
            }
            !is_torn
        });
        let mut seen = seen.expect("readable");
        let is_known =
            |path: &str| self.before().contains_key(path) || self.after().contains_key(path);
        seen.retain(|path, _| is_known(path) || !is_local(path));
        seen
    }

    /// What is acknowledged for certain.
    fn before(&self) -> &Content {
        &self.case.states[self.cut.done]
    }

    /// The same with what was under way.
    fn after(&self) -> &Content {
        &self.case.states[self.cut.done + usize::from(self.cut.is_under_way)]
    }

    fn lag(&self) -> Duration {
        self.case.scenario.answers.list_lag
    }

    /// Where listings lag behind, what they told of the time before the crash is forgotten first.
    fn look_anew(&self) {
        if self.lag() == Duration::ZERO {
            return;
        }
        // What was quiet for a moment may just have been slow.
        thread::sleep(2 * self.lag());
        for (path, bytes) in content(&self.case.mount.path) {
            if bytes.is_none() {
                let folder = self.case.mount.at(path);
                attempt(
                    "setfattr",
                    ["-n", "user.bedfs.refresh", "-v", "1", &folder.to_string_lossy()],
                );
            }
        }
        run(
            "setfattr",
            ["-n", "user.bedfs.refresh", "-v", "1", &self.case.mount.path.to_string_lossy()],
        );
    }

    /// Whether what was under way is done; neither or both in part is wrong.
    fn allows(&self, seen: &Content) -> bool {
        let (before, after) = (self.before(), self.after());
        if self.case.scenario.is_piecewise {
            let paths: BTreeSet<_> =
                [before, after, seen].iter().flat_map(|all| all.keys()).collect();
            for path in paths {
                let found = seen.get(path);
                let right = found == before.get(path) || found == after.get(path);
                assert!(
                    right,
                    "{path} is of neither version: {:?}",
                    found.map(|b| b.as_ref().map(Vec::len))
                );
            }
            return seen == after;
        }
        if seen != before {
            assert_same(seen, after, "the mount, neither before the command nor after it");
        }
        seen == after
    }

    /// The bed has what the mount shows, each once. Names that are local need not be there, and
    /// their bytes may be there under the name they had.
    fn bed_holds(&self, seen: &Content) {
        let emulator = &self.case.mount.emulator;
        let rows = emulator.tree().into_iter().map(|(path, _)| path);
        let mut paths: Vec<_> = rows.filter(|path| !is_scratch(path)).collect();
        let mut found = bed(emulator);
        assert_eq!(paths.len(), found.len(), "something is there twice: {:?}", {
            paths.sort();
            paths
        });
        let (local, mut wanted): (Content, Content) =
            seen.clone().into_iter().partition(|(path, _)| is_local(path));
        found.retain(|path, bytes| {
            wanted.contains_key(path) || !local.values().any(|local| local == bytes)
        });
        wanted.retain(|path, _| !is_local(path));
        assert_same(&found, &wanted, "the bed beside the mount");
    }

    /// What nobody touched has the ID it had, and what must live on is there by its ID.
    fn objects_are_those_that_were(&self, seen: &Content) {
        let rows = self.case.mount.emulator.tree();
        let acknowledged = &self.case.states[..=self.cut.done];
        for (path, row) in &rows {
            let Some(bytes) = seen.get(path) else { continue };
            let untouched = acknowledged.iter().all(|state| state.get(path) == Some(bytes));
            if untouched {
                let is_same = self.case.ids.get(path) == Some(&row.id);
                assert!(is_same, "{path} is another object of the same bytes");
            }
        }
        for path in self.case.scenario.lives {
            let id = &self.case.ids[*path];
            assert!(rows.iter().any(|(_, row)| row.id == *id), "the object of {path} is gone");
        }
    }

    /// Bytes that a command wrote and that are in no file are kept on the local disk.
    fn what_was_written_is_kept(&self) {
        let (before, after) = (self.before(), self.after());
        let known = |bytes: &[u8]| before.values().flatten().any(|old| old.starts_with(bytes));
        for (path, bytes) in after {
            let Some(bytes) = bytes.as_ref().filter(|bytes| !known(bytes)) else { continue };
            let continued = before.values().flatten().any(|old| bytes.starts_with(old));
            let is_it = |staged: &[u8]| {
                let end = |bytes: &[u8]| bytes[bytes.len().saturating_sub(4)..].to_vec();
                staged == bytes || (continued && end(staged) == end(bytes))
            };
            let is_kept = self.staged().iter().any(|staged| is_it(staged));
            assert!(is_kept, "what was written to {path} is neither in place nor kept");
        }
    }

    /// The content of every file in the state folder.
    fn staged(&self) -> Vec<Vec<u8>> {
        let mut folders = vec![self.case.mount.dir.path().join("state")];
        let mut files: Vec<PathBuf> = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files.iter().filter_map(|file| fs::read(file).ok()).collect()
    }

    /// Unmounts in order, which leaves nothing in scratch folders but what a local name stands for;
    /// gives the bed.
    fn unmounted(&self, seen: &Content) -> Vec<(String, Row)> {
        let mount = &self.case.mount;
        let mut told = String::new();
        // A child that another test is just starting has a copy of what was open here until it runs.
        wait(Duration::from_secs(10), || {
            let output = mount.bedfs("umount").arg(&mount.path).output().expect("bedfs runs");
            told = text(&output.stderr).to_string();
            !told.contains("is in use")
        });
        assert!(!mount.is_mounted(), "bedfs umount: {told}");
        let local: Vec<_> = seen.iter().filter(|(path, _)| is_local(path)).collect();
        let left = whole_bed(&mount.emulator).into_iter().filter(|(path, bytes)| {
            let is_wanted = local.iter().any(|(_, wanted)| *wanted == bytes);
            is_scratch(path) && bytes.is_some() && !is_wanted
        });
        let left: Vec<_> = left.map(|(path, _)| path).collect();
        assert!(left.is_empty(), "left in a scratch folder: {left:?}");
        mount.emulator.tree()
    }

    /// Mounted once more, nothing is left to repair but for a scratch folder that is empty.
    fn changes_nothing_more(&self, seen: &Content, rows: &[(String, Row)]) {
        let mount = &self.case.mount;
        mount.emulator.forget_requests();
        self.case.revive();
        settle(mount);
        assert_same(&self.seen(), seen, "mounted once more");
        let ids = |rows: &[(String, Row)]| -> BTreeSet<(String, String)> {
            let rows = rows.iter().filter(|(path, _)| !is_scratch(path));
            rows.map(|(path, row)| (path.clone(), row.id.clone())).collect()
        };
        let (found, before) = (ids(&mount.emulator.tree()), ids(rows));
        let differing: Vec<_> = found.symmetric_difference(&before).collect();
        assert!(differing.is_empty(), "mounted once more, the bed changes: {differing:?}");
        let is_tidied = rows.iter().any(|(path, _)| is_scratch(path));
        for endpoint in CHANGES.into_iter().filter(|endpoint| !(is_tidied && *endpoint == "delete"))
        {
            assert_eq!(mount.emulator.count(endpoint), 0, "{endpoint}, mounted once more");
        }
    }
}

fn is_scratch(path: &str) -> bool {
    path.starts_with(".bedfs-scratch-")
}

/// Whether a path has one of the names that are never uploaded.
fn is_local(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.ends_with('~') || name.starts_with('.')
}
