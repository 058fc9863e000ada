//! Extended attributes told: what the service tells of a picture, by name, and what the user set.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::{Error, Fs, Result, control};
use crate::account;
use crate::link;
use crate::tree::{Info, What};
use crate::types::{Entry, Ino, Link, Picture, SERVICE_ZONE};

const PREFIX: &str = "user.bedfs.";

/// On files that the service has. `error` is only there when there is one, and `self_url` only
/// where the service tells one.
const OF_FILES: &[&str] = &[
    "url",
    "download_url",
    "self_url",
    "markdown",
    "html",
    "id",
    "md5",
    "status",
    "traffic",
    TRAFFIC_3D,
    "created",
    "state",
    CACHED,
];
const OF_FOLDERS: &[&str] = &["id", "traffic", "files"];
const OF_ACCOUNT: &[&str] = &["account.space_used", "account.space_total", "account.traffic_left"];

/// These want the link, which is not known right after an upload.
const OF_LINKS: &[&str] = &["url", "download_url", "self_url", "markdown", "html"];

/// On a file: the bytes of it that are on this machine. What it is set to pins or evicts these.
pub(super) const CACHED: &str = "cached";

/// On a file: bytes by the traffic log of the last three days.
const TRAFFIC_3D: &str = "traffic_3d";

/// Whose an attribute is, by its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// What bedfs tells, by what comes after the prefix.
    Ours(&'a str),
    /// The user's: it is kept here.
    Kept(&'a [u8]),
    /// Labels, ACLs and the like. `ls` asks for them of every file: told that there are none on this
    /// mount rather than of this file, it asks once a mount.
    Unsupported,
}

impl Fs {
    /// The value, if it can be told without the network; `None` if not.
    ///
    /// Names that are not ours, which programs ask for at every turn, are answered here.
    pub fn getxattr_here(&self, ino: Ino, name: &OsStr) -> Option<Result<Vec<u8>>> {
        let kind = Kind::of(name);
        if kind == Kind::Unsupported {
            return Some(Err(Error::NotSupported));
        }
        if control::is_control(ino) {
            return Some(Err(Error::NoAttribute));
        }
        let info = match self.tree.info(ino) {
            Ok(info) => info,
            Err(error) => return Some(Err(error.into())),
        };
        let name = match kind {
            Kind::Ours(name) => name,
            Kind::Kept(name) => {
                let value = info.attributes.xattrs.get(name).map(<[u8]>::to_vec);
                return Some(value.ok_or(Error::NoAttribute));
            }
            Kind::Unsupported => return Some(Err(Error::NotSupported)),
        };
        match &info.what {
            What::Folder { .. } if ino == Ino::ROOT && OF_ACCOUNT.contains(&name) => None,
            What::Folder { .. } if matches!(name, "traffic" | "files") => None,
            What::Folder { id, .. } => Some(match (name, id.is_root()) {
                ("id", false) => Ok(text(id)),
                ("id", true) => self.tree.real_root().map(text).ok_or(Error::NoAttribute),
                _ => Err(Error::NoAttribute),
            }),
            What::File(entry) => self.file_attribute(&info, entry.as_deref(), name),
        }
    }

    /// The value, asked for where need be.
    pub async fn getxattr(&self, ino: Ino, name: &OsStr) -> Result<Vec<u8>> {
        let Kind::Ours(name) = Kind::of(name) else { return Err(Error::NoAttribute) };
        let info = self.tree.info(ino)?;
        if info.is_folder() {
            return match name {
                "traffic" | "files" => self.folder_total(ino, name).await,
                _ => self.account_attribute(name).await,
            };
        }
        if name == TRAFFIC_3D {
            return self.traffic_of_days(&info).await;
        }
        let entry = self.with_link(ino, info.entry().cloned()).await?;
        self.file_attribute(&info, entry.as_deref(), name).unwrap_or(Err(Error::NoAttribute))
    }

    /// `None` where the link is wanted and not known.
    fn file_attribute(
        &self, info: &Info, entry: Option<&Entry>, name: &str,
    ) -> Option<Result<Vec<u8>>> {
        if matches!(name, "state" | "error") {
            return Some(self.local_attribute(info, name));
        }
        let (Some(entry), Some(picture)) = (entry, entry.and_then(Entry::picture)) else {
            return Some(Err(Error::NoAttribute));
        };
        if name == CACHED {
            return Some(Ok(text(self.reader.cached(entry))));
        }
        if name == TRAFFIC_3D {
            return self.ledger.traffic.is_refused().then_some(Err(Error::NoAttribute));
        }
        if OF_LINKS.contains(&name) {
            let link = picture.link.as_ref()?;
            return Some(link_attribute(&info.name, link, name));
        }
        Some(picture_attribute(entry, picture, name))
    }

    /// By the traffic log as it was at most ten minutes ago.
    async fn traffic_of_days(&self, info: &Info) -> Result<Vec<u8>> {
        let entry = info.entry().ok_or(Error::NoAttribute)?;
        let from = self.ledger.traffic.reach().next().ok_or(Error::NoAttribute)?;
        let is_known = self.state.day_asked(from)?.is_some();
        let asked = self.ask(is_known, |_, ledger| async move { Ok(ledger.traffic.look().await?) });
        match asked.await {
            Err(Error::Account(account::Error::NotEntitled(_))) => return Err(Error::NoAttribute),
            asked => asked?,
        }
        if self.ledger.traffic.is_refused() {
            return Err(Error::NoAttribute);
        }
        let path = self.bed_path(info.ino);
        Ok(text(self.state.traffic_of(entry.id.as_str(), &path, from)?))
    }

    /// The value of `user.bedfs.state`.
    fn state_name(&self, info: &Info) -> Option<&'static str> {
        let local = self.locals.get(info.ino);
        let Some(local) = local else {
            return info.entry().map(|_| "remote");
        };
        let state = local.state();
        Some(if state.uploading {
            "uploading"
        } else if state.error.is_some() {
            "failed"
        } else if state.dirty().is_some() || state.is_aside {
            match (self.stays_here(&state), state.has_unpromised()) {
                (true, _) => "local",
                (false, true) => "dirty",
                (false, false) => "pending",
            }
        } else {
            "remote"
        })
    }

    fn local_attribute(&self, info: &Info, name: &str) -> Result<Vec<u8>> {
        if name == "state" {
            return self.state_name(info).map(text).ok_or(Error::NoAttribute);
        }
        let local = self.locals.get(info.ino);
        let unsent = local.and_then(|local| local.state().obstacle().map(text));
        let unread = || info.entry().and_then(|entry| self.reader.failure(&entry.id)).map(text);
        unsent.or_else(unread).ok_or(Error::NoAttribute)
    }

    /// Over the files directly in the folder.
    async fn folder_total(&self, ino: Ino, name: &str) -> Result<Vec<u8>> {
        self.tree.ensure_known(ino).await?;
        self.restore(ino)?;
        let children = self.tree.children(ino)?;
        let files = children.iter().filter(|child| !child.is_folder);
        if name == "files" {
            return Ok(text(files.count()));
        }
        let entries = files.filter_map(|child| self.tree.info(child.ino).ok()?.entry().cloned());
        let traffic: u64 = entries.filter_map(|e: Arc<Entry>| Some(e.picture()?.traffic)).sum();
        Ok(text(traffic))
    }

    async fn account_attribute(&self, name: &str) -> Result<Vec<u8>> {
        self.ask_for_account().await?;
        let account = self.account.known().ok_or(Error::NoAttribute)?;
        match name {
            "account.space_used" => Ok(text(account.space_used)),
            "account.space_total" => Ok(text(account.space_total)),
            "account.traffic_left" => Ok(text(account.traffic_left)),
            _ => Err(Error::NoAttribute),
        }
    }

    /// The names that have a value, each ended by NUL.
    pub fn listxattr(&self, ino: Ino) -> Result<Vec<u8>> {
        if control::is_control(ino) {
            return Ok(Vec::new());
        }
        let info = self.tree.info(ino)?;
        let mut names: Vec<&str> = match &info.what {
            What::Folder { .. } => OF_FOLDERS.to_vec(),
            What::File(Some(_)) => OF_FILES.to_vec(),
            What::File(None) => vec!["state"],
        };
        if ino == Ino::ROOT {
            names.extend(OF_ACCOUNT);
        }
        if !info.is_folder() {
            names.push("error");
        }
        // What can be told at once and has no value is left out.
        names.retain(|name| {
            let full = format!("{PREFIX}{name}");
            !matches!(self.getxattr_here(ino, OsStr::new(&full)), Some(Err(_)))
        });
        let ours = names.iter().flat_map(|name| format!("{PREFIX}{name}\0").into_bytes());
        let kept = info.attributes.xattrs.names().flat_map(|name| [name, b"\0"].concat());
        Ok(ours.chain(kept).collect())
    }
}

impl<'a> Kind<'a> {
    pub(super) fn of(name: &'a OsStr) -> Self {
        let ours = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        match ours {
            Some(name) => Self::Ours(name),
            None if name.as_bytes().starts_with(b"user.") => Self::Kept(name.as_bytes()),
            None => Self::Unsupported,
        }
    }
}

fn text(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn link_attribute(name: &str, link: &Link, attribute: &str) -> Result<Vec<u8>> {
    match attribute {
        "download_url" => Ok(text(&link.download)),
        "self_url" => link.own().map(text).ok_or(Error::NoAttribute),
        "markdown" => Ok(text(link::markdown(name, link.publish()))),
        "html" => Ok(text(link::html(name, link.publish()))),
        _ => Ok(text(link.publish())),
    }
}

fn picture_attribute(entry: &Entry, picture: &Picture, attribute: &str) -> Result<Vec<u8>> {
    match attribute {
        "id" => Ok(text(&entry.id)),
        "md5" => picture.md5.map(text).ok_or(Error::NoAttribute),
        "status" => Ok(text(picture.status)),
        "traffic" => Ok(text(picture.traffic)),
        "created" => created(entry).ok_or(Error::NoAttribute),
        _ => Err(Error::NoAttribute),
    }
}

/// RFC 3339 with the service's own offset.
fn created(entry: &Entry) -> Option<Vec<u8>> {
    let at = jiff::Timestamp::from_second(entry.created).ok().filter(|_| entry.created > 0)?;
    Some(text(at.display_with_offset(SERVICE_ZONE)))
}
