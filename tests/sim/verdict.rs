//! The verdict: what the mounts of a scenario come to is held against its model, when nothing is under
//! way any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::sleep;

use crate::caller::Caller;
use crate::life::Life;
use crate::model::{Found, Node, is_local, tell};
use crate::net;
use crate::program::Op;
use crate::scenario::Scenario;

/// How long listings may be believed, and what the service shows may be old.
const STALE: Duration = Duration::from_secs(120);

/// How long it is looked whether nothing goes on any more, and requests that are allowed then.
const IDLE: Duration = Duration::from_secs(600);
const IDLE_CALLS: u64 = 40;

/// Requests that a program may cost: so many, and for each step, of each life.
const CALLS: u64 = 150;
const CALLS_A_STEP: u64 = 60;

impl Scenario {
    /// Waits until nothing is under way, and says what is wrong then. `asked` is how many requests there
    /// were before this life.
    pub(crate) async fn settle(&self, life: &Life, asked: u64) {
        let removed = |path: &str| {
            let remove = Op::Remove { path: path.to_owned() };
            self.model.borrow_mut().acknowledge(0, &remove);
        };
        if let Err(left) = life.settle(removed).await {
            return self.is_wrong(left);
        }
        let budget = CALLS + CALLS_A_STEP * self.program.steps.len() as u64;
        let cost = net::asked() - asked;
        if cost > budget {
            self.is_wrong(format!("{cost} requests, where {budget} are enough"));
        }
        sleep(STALE).await;
        // Who looks is shown what is known, and has it asked for anew.
        let _known = Caller { fs: life.fs.clone() }.walk().await;
        sleep(STALE / 4).await;
        if self.check_mount(life).await.is_some() {
            self.check_bed();
            self.check_links(life);
        }
        let asked = net::asked();
        sleep(IDLE).await;
        let idle = net::asked() - asked;
        if idle > IDLE_CALLS {
            self.is_wrong(format!("{idle} requests in {} idle seconds", IDLE.as_secs()));
        }
    }

    /// What the mount shows must be a world.
    async fn check_mount(&self, life: &Life) -> Option<()> {
        let found = match (Caller { fs: life.fs.clone() }).walk().await {
            Ok(found) => found,
            Err((path, error)) => {
                self.is_wrong(format!("{path:?} cannot be read in the end: {error}"));
                return None;
            }
        };
        let mut model = self.model.borrow_mut();
        if model.find(&found, |_, _| true).is_none() {
            let worlds = model.worlds.iter().map(|world| format!("{world:?}"));
            let worlds = worlds.collect::<Vec<_>>().join("\n            or ");
            drop(model);
            let shown = shown(&found);
            self.is_wrong(format!("the mount shows {shown:?}\n    instead of {worlds}"));
            return None;
        }
        Some(())
    }

    /// The bed must have what the mount shows, and nothing else.
    fn check_bed(&self) {
        let tree = self.emulator.tree();
        let is_scratch = |path: &str| path.starts_with(".bedfs-");
        let mut there = Found::new();
        for (path, row) in tree.iter().filter(|(path, _)| !is_scratch(path)) {
            let bytes = (!row.is_folder).then(|| self.emulator.read(path).unwrap_or_default());
            if there.insert(path.clone(), bytes).is_some() {
                return self.is_wrong(format!("the bed has {path} twice"));
            }
        }
        let is_sent = |path: &str, node: &Node| {
            let is_empty = matches!(node, Node::File(bytes, _) if bytes.is_empty());
            !is_local(path) && !is_empty
        };
        let mut model = self.model.borrow_mut();
        let fits = model.find(&there, is_sent).is_some();
        let locals = model.worlds.iter().map(|world| world.keys().filter(|p| is_local(p)).count());
        let most = locals.max().unwrap_or(0);
        drop(model);
        if !fits {
            self.is_wrong(format!("the bed has {:?}", shown(&there)));
        }
        if self.orderly_ends.get() == 0 {
            // What nobody wants goes with an orderly end at the latest.
            return;
        }
        let scratch = tree.iter().filter(|(path, row)| is_scratch(path) && !row.is_folder).count();
        // What was taken aside keeps its scratch folder from being tidied.
        if scratch > 0 && most == 0 {
            self.is_wrong(format!("{scratch} objects are left in scratch folders"));
        }
    }

    /// Each link that a file had must be its link, or be written down.
    fn check_links(&self, life: &Life) {
        self.note_links();
        let moved = life.state.moved().expect("the state file");
        let written_down: BTreeSet<&str> =
            moved.iter().map(|moved| moved.old_object.as_str()).collect();
        let model = self.model.borrow();
        let Some(world) = model.worlds.first() else { return };
        let mut dead = Vec::new();
        for (path, node) in world.iter().filter(|(path, _)| !is_local(path)) {
            let Node::File(_, made) = node else { continue };
            let now = self.emulator.row(path).map(|row| row.id);
            let published = self.published.borrow();
            for id in published.get(made).into_iter().flatten() {
                if now.as_deref() != Some(id) && !written_down.contains(&**id) {
                    dead.push(format!("{path} had {id}"));
                }
            }
        }
        drop(model);
        if !dead.is_empty() {
            self.is_wrong(format!("links are dead and not written down: {}", dead.join("; ")));
        }
    }
}

/// What was found, in words.
fn shown(found: &Found) -> BTreeMap<&str, String> {
    let told = |node: &Option<Vec<u8>>| node.as_deref().map_or("folder".into(), tell);
    found.iter().map(|(path, node)| (&**path, told(node))).collect()
}
