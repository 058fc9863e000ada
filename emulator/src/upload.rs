//! [`Upload`]: a file that was created and is not there yet.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::content::Content;
use crate::digest;
use crate::node::Id;
use crate::refusal::Refusal;
use crate::store::Stored;

/// How soon after a poll that said "not yet" the next one may come. A little short of the
/// documented second, for a poll that travelled faster than the one before.
const POLL: Duration = Duration::from_millis(950);

/// A file that was created and is not there yet.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) parent: Id,
    pub(crate) name: String,
    pub(crate) md5: String,
    pub(crate) size: u64,
    pub(crate) slice_size: u64,
    /// What storage knows the upload by.
    pub(crate) key: String,
    slices: BTreeMap<u64, Stored>,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Slices may come.
    Open,
    /// `upload_complete` is at work.
    Completing,
    /// The service checks it.
    Checking { polls_left: u32, polled: Option<Instant>, unpolled: Instant, content: Content },
    /// It is there, under that ID.
    Done(Id),
    /// It will never be there.
    Failed(Refusal),
}

/// What a poll of an upload finds.
pub(crate) enum Poll {
    /// Not yet.
    Pending,
    /// Nothing is left but to make the file.
    Ripe,
    /// The file is there.
    Done(Id),
}

impl Upload {
    pub(crate) fn new(parent: Id, name: &str, md5: &str, size: u64, slice_size: u64) -> Upload {
        Upload {
            parent,
            name: name.to_owned(),
            md5: md5.to_owned(),
            size,
            slice_size,
            key: digest::key(),
            slices: BTreeMap::new(),
            state: State::Open,
        }
    }

    /// How many slices make the file.
    pub(crate) fn slice_count(&self) -> u64 {
        self.size.div_ceil(self.slice_size)
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// How many bytes slice `number` has; None when there is no such slice. An empty file may have
    /// one empty slice.
    pub(crate) fn slice_len(&self, number: u64) -> Option<u64> {
        let count = self.slice_count().max(1);
        if !(1..=count).contains(&number) {
            return None;
        }
        Some(if number < count {
            self.slice_size
        } else {
            self.size - (count - 1) * self.slice_size
        })
    }

    /// Takes a slice that has come in; one that came again replaces itself.
    pub(crate) fn put(&mut self, number: u64, slice: Stored) {
        self.slices.insert(number, slice);
    }

    /// The slices that have come in, by number.
    pub(crate) fn slices(&self) -> impl Iterator<Item = (u64, &Stored)> {
        self.slices.iter().map(|(number, slice)| (*number, slice))
    }

    /// Ends the coming in of slices and gives what they make. One that was ended already, or lacks
    /// a slice, is refused.
    pub(crate) fn seal(&mut self) -> Result<Content, Refusal> {
        match &self.state {
            State::Open => {}
            State::Failed(refusal) => return Err(refusal.clone()),
            _ => return Err(Refusal::generic("upload already completed")),
        }
        if let Some(missing) =
            (1..=self.slice_count()).find(|number| !self.slices.contains_key(number))
        {
            return Err(Refusal::generic(format!(
                "slice {missing} of {} is missing",
                self.slice_count()
            )));
        }
        self.state = State::Completing;
        let slices = std::mem::take(&mut self.slices);
        Ok(Content::new(slices.into_values().map(|stored| stored.slice).collect()))
    }

    /// The md5 of all slices, where that is known without reading them again.
    pub(crate) fn md5_of_single_slice(&self) -> Option<&str> {
        let mut slices = self.slices.values();
        match (slices.next(), slices.next()) {
            (Some(slice), None) => Some(&slice.md5),
            _ => None,
        }
    }

    /// Begins the checking that polls wait for, which ends at `unpolled` if there are none.
    pub(crate) fn check(&mut self, polls: u32, unpolled: Instant, content: Content) {
        self.state = State::Checking { polls_left: polls, polled: None, unpolled, content };
    }

    /// Counts a poll.
    pub(crate) fn poll(&mut self) -> Result<Poll, Refusal> {
        match &mut self.state {
            State::Open => Err(Refusal::generic("upload is not completed")),
            State::Completing => Ok(Poll::Pending),
            State::Checking { polls_left, polled, .. } => {
                if polled.is_some_and(|last| last.elapsed() < POLL) {
                    return Err(Refusal::breach("polled again within a second"));
                }
                if *polls_left == 0 {
                    return Ok(Poll::Ripe);
                }
                *polls_left -= 1;
                *polled = Some(Instant::now());
                Ok(Poll::Pending)
            }
            State::Done(id) => Ok(Poll::Done(Id::clone(id))),
            State::Failed(refusal) => Err(refusal.clone()),
        }
    }

    /// The content of an upload that is being checked.
    pub(crate) fn checked(&self) -> Option<&Content> {
        match &self.state {
            State::Checking { content, .. } => Some(content),
            _ => None,
        }
    }

    /// Ends the upload, one way or the other.
    pub(crate) fn end(&mut self, outcome: &Result<Id, Refusal>) {
        self.state = match outcome {
            Ok(id) => State::Done(Id::clone(id)),
            Err(refusal) => State::Failed(refusal.clone()),
        };
    }
}

/// Every upload since the start, by preupload ID.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    uploads: HashMap<String, Upload>,
    keys: HashMap<String, String>,
}

impl Uploads {
    /// Takes an upload and gives its preupload ID.
    pub(crate) fn add(&mut self, upload: Upload) -> String {
        let id = digest::preupload_id();
        self.keys.insert(upload.key.clone(), id.clone());
        self.uploads.insert(id.clone(), upload);
        id
    }

    pub(crate) fn get(&mut self, preupload_id: &str) -> Result<&mut Upload, Refusal> {
        let upload = self.uploads.get_mut(preupload_id);
        upload.ok_or_else(|| Refusal::generic("preuploadID does not exist"))
    }

    /// The uploads that are being checked, and when that ends by itself.
    pub(crate) fn checking(&self) -> Vec<(String, Instant)> {
        let checking = self.uploads.iter().filter_map(|(id, upload)| match upload.state {
            State::Checking { unpolled, .. } => Some((id.clone(), unpolled)),
            _ => None,
        });
        let mut checking: Vec<_> = checking.collect();
        checking.sort();
        checking
    }

    /// The upload that storage knows by `key`.
    pub(crate) fn by_key(&mut self, key: &str) -> Option<&mut Upload> {
        self.uploads.get_mut(self.keys.get(key)?)
    }
}
