//! The adapter: decodes what FUSE asks, picks the lane, and answers.
//!
//! What the file system answers with a plain `fn` is answered on the session thread. What is an
//! `async fn` goes to a task that owns the reply; a task that dies drops it, and the caller gets
//! EIO. A look-up goes there only when it waits.

mod convert;
mod device;
mod gate;
mod lending;
mod names;
mod offer;
mod reins;
mod waiting;

use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileHandle, FopenFlags, Generation, INodeNo, KernelConfig, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use tokio::runtime::Handle;

use crate::fs::{Attr, Change, Fs, Opened};
use crate::names::NAME_MAX;
use convert::{BLOCK, file_attr, ino, maker, open_flags, reply_xattr, time};
pub use device::Device;
pub use gate::{Gate, Shut};
use lending::Lending;
use names::Names;
pub use offer::Offer;
pub use reins::Reins;
pub use waiting::Patience;
use waiting::{Call, Held, Waiting, answer};

/// Inode numbers are never used twice, so there is one generation.
const GENERATION: Generation = Generation(0);

/// The file system as FUSE drives it.
pub struct Adapter {
    fs: Arc<Fs>,
    waiting: Waiting,
    lending: Lending,
    /// How long the kernel may answer for itself.
    ttl: Duration,
    gate: Arc<Gate>,
    offer: Arc<OnceLock<Offer>>,
}

impl Adapter {
    /// An adapter whose requests wait in `runtime`.
    pub fn new(fs: Arc<Fs>, runtime: Handle, patience: Patience, ttl: Duration) -> Self {
        let lending = Lending::new(fs.clone(), runtime.clone());
        let waiting = Waiting { fs: fs.clone(), runtime, patience };
        Self { fs, waiting, ttl, lending, gate: Arc::default(), offer: Arc::default() }
    }

    /// What is to be had of it when the session has it.
    pub fn reins(&self) -> Reins {
        let (gate, offer) = (self.gate.clone(), self.offer.clone());
        Reins { gate, offer, device: self.lending.device() }
    }
}

impl fuser::Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // A second one is not sent.
        let _first = self.offer.set(Offer::of(config));
        self.lending.negotiate(config);
        offer::take(config)
    }

    fn lookup(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let pass = self.gate.pass();
        let (fs, name) = (self.fs.clone(), name.to_owned());
        let work = async move { fs.lookup(ino(parent), &name).await };
        let (ttl, held) = (self.ttl, |attr: &Attr| Held::Inode(attr.ino));
        self.waiting.begin(Call::of("lookup", pass, req), reply, work, held, move |reply, attr| {
            reply.entry(&ttl, &file_attr(&attr), GENERATION);
        });
    }

    fn forget(&self, _req: &Request, number: INodeNo, nlookup: u64) {
        self.fs.forget(ino(number), nlookup);
    }

    fn getattr(&self, _req: &Request, number: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let _pass = self.gate.pass();
        answer("getattr", reply, self.fs.getattr(ino(number)), |reply, attr| {
            reply.attr(&self.ttl, &file_attr(&attr));
        });
    }

    fn setattr(
        &self, req: &Request, number: INodeNo, mode: Option<u32>, uid: Option<u32>,
        gid: Option<u32>, size: Option<u64>, atime: Option<TimeOrNow>, mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>, fh: Option<FileHandle>, _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>, _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>, reply: ReplyAttr,
    ) {
        let pass = self.gate.pass();
        let (fs, ttl) = (self.fs.clone(), self.ttl);
        let (atime, mtime) = (atime.map(time), mtime.map(time));
        let handle = fh.map(|fh| fh.0);
        let change = Change { mode, uid, gid, size, atime, mtime, handle };
        let work = async move { fs.setattr(ino(number), change).await };
        self.spawn(pass, "setattr", req, reply, work, move |reply, attr| {
            reply.attr(&ttl, &file_attr(&attr));
        });
    }

    fn mknod(
        &self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _rdev: u32,
        reply: ReplyEntry,
    ) {
        let pass = self.gate.pass();
        if mode & libc::S_IFMT != libc::S_IFREG {
            return reply.error(Errno::EPERM);
        }
        let (fs, name, maker) = (self.fs.clone(), name.to_owned(), maker(req, mode & !umask));
        let work = async move { fs.mknod(ino(parent), &name, maker).await };
        self.spawn_entry(pass, "mknod", req, reply, work);
    }

    fn mkdir(
        &self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32,
        reply: ReplyEntry,
    ) {
        let pass = self.gate.pass();
        let (fs, name, maker) = (self.fs.clone(), name.to_owned(), maker(req, mode & !umask));
        let work = async move { fs.mkdir(ino(parent), &name, maker).await };
        self.spawn_entry(pass, "mkdir", req, reply, work);
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let pass = self.gate.pass();
        let (fs, name) = (self.fs.clone(), name.to_owned());
        let work = async move { fs.unlink(ino(parent), &name).await };
        self.spawn(pass, "unlink", req, reply, work, |reply, ()| reply.ok());
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let pass = self.gate.pass();
        let (fs, name) = (self.fs.clone(), name.to_owned());
        let work = async move { fs.rmdir(ino(parent), &name).await };
        self.spawn(pass, "rmdir", req, reply, work, |reply, ()| reply.ok());
    }

    fn rename(
        &self, req: &Request, parent: INodeNo, name: &OsStr, newparent: INodeNo, newname: &OsStr,
        flags: RenameFlags, reply: ReplyEmpty,
    ) {
        let pass = self.gate.pass();
        let exclusive = flags.contains(RenameFlags::RENAME_NOREPLACE);
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let (fs, name, newname) = (self.fs.clone(), name.to_owned(), newname.to_owned());
        let work =
            async move { fs.rename(ino(parent), &name, ino(newparent), &newname, exclusive).await };
        self.spawn(pass, "rename", req, reply, work, |reply, ()| reply.ok());
    }

    fn open(&self, req: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let pass = self.gate.pass();
        let read_only = flags.0 & libc::O_ACCMODE == libc::O_RDONLY;
        if read_only && self.fs.is_control(ino(number)) {
            let fs = self.fs.clone();
            let work = async move { fs.open_control(ino(number)).await };
            let held = |opened: &Opened| Held::Folder(opened.handle);
            return self.waiting.spawn(
                Call::of("open", pass, req),
                reply,
                work,
                held,
                |reply, opened| {
                    reply.opened(FileHandle(opened.handle), open_flags(opened, true));
                },
            );
        }
        let (fs, lending, ino, pid) =
            (self.fs.clone(), self.lending.clone(), ino(number), req.pid());
        let open = move |reply| {
            answer("open", reply, fs.open(ino, flags.0, pid), |reply, opened| {
                lending.open(reply, opened, read_only);
            });
        };
        if !self.fs.is_lent_otherwise(ino, !read_only) {
            return open(reply);
        }
        let fs = self.fs.clone();
        self.waiting.runtime.spawn(async move {
            let _pass = pass;
            fs.closes_are_told(ino, !read_only).await;
            open(reply);
        });
    }

    fn create(
        &self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, flags: i32,
        reply: ReplyCreate,
    ) {
        let pass = self.gate.pass();
        let (fs, name, ttl, pid) = (self.fs.clone(), name.to_owned(), self.ttl, req.pid());
        let (lending, maker) = (self.lending.clone(), maker(req, mode & !umask));
        let work = async move { fs.create(ino(parent), &name, maker, flags, pid).await };
        let held = |(attr, opened): &(Attr, Opened)| Held::File(attr.ino, opened.handle);
        self.waiting.spawn(
            Call::of("create", pass, req),
            reply,
            work,
            held,
            move |reply, (attr, opened)| {
                lending.create(reply, &ttl, &file_attr(&attr), opened);
            },
        );
    }

    fn read(
        &self, req: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, size: u32,
        _flags: OpenFlags, _lock_owner: Option<LockOwner>, reply: ReplyData,
    ) {
        let _pass = self.gate.pass();
        let asked = match self.fs.read_here(fh.0, offset, size as usize) {
            Ok(result) => {
                return answer("read", reply, result, |reply, bytes| reply.data(&bytes));
            }
            Err(asked) => asked,
        };
        let fs = self.fs.clone();
        let work = async move { fs.read(fh.0, offset, size as usize, asked).await };
        self.spawn(None, "read", req, reply, work, |reply, bytes| reply.data(&bytes));
    }

    fn write(
        &self, _req: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, data: &[u8],
        _write_flags: WriteFlags, _flags: OpenFlags, _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let _pass = self.gate.pass();
        answer("write", reply, self.fs.write(fh.0, offset, data), |reply, ()| {
            reply.written(data.len() as u32);
        });
    }

    fn flush(
        &self, req: &Request, _ino: INodeNo, fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty,
    ) {
        let pass = self.gate.pass();
        match self.fs.wants_flush(fh.0, req.pid()) {
            Ok(true) => {
                let fs = self.fs.clone();
                let work = async move { fs.flush(fh.0).await };
                self.spawn(pass, "close", req, reply, work, |reply, ()| reply.ok());
            }
            wanted => answer("close", reply, wanted, |reply, _| reply.ok()),
        }
    }

    fn release(
        &self, _req: &Request, _ino: INodeNo, fh: FileHandle, flags: OpenFlags,
        _lock_owner: Option<LockOwner>, _flush: bool, reply: ReplyEmpty,
    ) {
        let _pass = self.gate.pass();
        if flags.0 & libc::O_DIRECT != 0 {
            self.fs.doubt(fh.0);
        }
        self.fs.let_go(fh.0);
        // Nobody waits for the answer, and few of these may be under way at a time: a file that stays
        // mapped is waited for.
        reply.ok();
        let fs = self.fs.clone();
        self.waiting.runtime.spawn(async move { fs.release(fh.0).await });
    }

    fn fsync(
        &self, req: &Request, _ino: INodeNo, fh: FileHandle, _datasync: bool, reply: ReplyEmpty,
    ) {
        let pass = self.gate.pass();
        let fs = self.fs.clone();
        let work = async move { fs.fsync(fh.0).await };
        self.spawn(pass, "fsync", req, reply, work, |reply, ()| reply.ok());
    }

    fn fallocate(
        &self, _req: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, length: u64, mode: i32,
        reply: ReplyEmpty,
    ) {
        let _pass = self.gate.pass();
        let range = offset..offset.saturating_add(length);
        answer("fallocate", reply, self.fs.fallocate(fh.0, range, mode), |reply, ()| reply.ok());
    }

    fn opendir(&self, req: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let pass = self.gate.pass();
        let fs = self.fs.clone();
        let work = async move { fs.opendir(ino(number)).await };
        let held = |handle: &u64| Held::Folder(*handle);
        self.waiting.spawn(Call::of("opendir", pass, req), reply, work, held, |reply, handle| {
            reply.opened(FileHandle(handle), FopenFlags::empty());
        });
    }

    fn readdir(
        &self, req: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectory,
    ) {
        let pass = self.gate.pass();
        let fill = move |reply, names: Names| names::fill(reply, offset, &names);
        if let Some(names) = self.fs.readdir_here(fh.0, offset as usize) {
            return answer("readdir", reply, names, fill);
        }
        let fs = self.fs.clone();
        let work = async move { fs.readdir(fh.0, offset as usize).await };
        self.spawn(pass, "readdir", req, reply, work, fill);
    }

    fn readdirplus(
        &self, req: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectoryPlus,
    ) {
        let pass = self.gate.pass();
        let (fs, ttl) = (self.fs.clone(), self.ttl);
        let fill = move |reply, names: Names| names::fill_plus(&fs, ttl, reply, offset, &names);
        if let Some(names) = self.fs.readdir_here(fh.0, offset as usize) {
            return answer("readdir", reply, names, fill);
        }
        let fs = self.fs.clone();
        let work = async move { fs.readdir(fh.0, offset as usize).await };
        self.spawn(pass, "readdir", req, reply, work, fill);
    }

    fn releasedir(
        &self, _req: &Request, _ino: INodeNo, fh: FileHandle, _flags: OpenFlags, reply: ReplyEmpty,
    ) {
        let _pass = self.gate.pass();
        self.fs.releasedir(fh.0);
        reply.ok();
    }

    fn fsyncdir(
        &self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty,
    ) {
        // Names are changed at the service before the call that changes them returns.
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let _pass = self.gate.pass();
        let fs = self.fs.clone();
        self.waiting.runtime.spawn(async move { fs.refresh_space().await });
        let space = self.fs.statfs();
        let (total, free) = (space.total / u64::from(BLOCK), space.free / u64::from(BLOCK));
        reply.statfs(total, free, free, space.inodes, u64::MAX >> 1, BLOCK, NAME_MAX as u32, BLOCK);
    }

    fn setxattr(
        &self, req: &Request, number: INodeNo, name: &OsStr, value: &[u8], _flags: i32,
        _position: u32, reply: ReplyEmpty,
    ) {
        let pass = self.gate.pass();
        let (fs, name, value) = (self.fs.clone(), name.to_owned(), value.to_owned());
        let work = async move { fs.setxattr(ino(number), &name, &value).await };
        self.spawn(pass, "setxattr", req, reply, work, |reply, ()| reply.ok());
    }

    fn getxattr(&self, req: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let pass = self.gate.pass();
        if let Some(result) = self.fs.getxattr_here(ino(number), name) {
            return answer("getxattr", reply, result, |reply, value| {
                reply_xattr(reply, &value, size)
            });
        }
        let (fs, name) = (self.fs.clone(), name.to_owned());
        let work = async move { fs.getxattr(ino(number), &name).await };
        self.spawn(pass, "getxattr", req, reply, work, move |reply, value| {
            reply_xattr(reply, &value, size)
        });
    }

    fn listxattr(&self, _req: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let _pass = self.gate.pass();
        answer("listxattr", reply, self.fs.listxattr(ino(number)), |reply, names| {
            reply_xattr(reply, &names, size);
        });
    }

    fn removexattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::ENOTSUP);
    }
}
