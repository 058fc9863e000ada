//! The adapter: decodes what FUSE asks, picks the lane, and answers.
//!
//! What the file system answers with a plain `fn` is answered on the session thread. What is an
//! `async fn` goes to a task that owns the reply; a task that dies drops it, and the caller gets
//! EIO. A look-up goes there only when it waits.

mod convert;
mod names;
mod waiting;

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileHandle, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow,
    WriteFlags,
};
use tokio::runtime::Handle;

use crate::fs::{Attr, Change, Fs, Opened};
use crate::names::NAME_MAX;
use convert::{BLOCK, file_attr, ino, maker, open_flags, reply_xattr, time};
use names::Names;
pub use waiting::Patience;
use waiting::{Call, Held, Waiting, answer};

/// How many files and folders there could be, as `df -i` shows it. The service tells no bound.
const INODES: u64 = 1 << 32;

/// Inode numbers are never used twice, so there is one generation.
const GENERATION: Generation = Generation(0);

/// Bytes of one write; the session's buffer is touched up to here.
const MAX_WRITE: u32 = 1 << 20;

/// Requests that the kernel may have in flight for read-ahead.
const MAX_BACKGROUND: u16 = 64;

/// The file system as FUSE drives it.
pub struct Adapter {
    fs: Arc<Fs>,
    waiting: Waiting,
    /// How long the kernel may answer for itself.
    ttl: Duration,
}

impl Adapter {
    /// An adapter whose requests wait in `runtime`.
    pub fn new(fs: Arc<Fs>, runtime: Handle, patience: Patience, ttl: Duration) -> Self {
        let waiting = Waiting { fs: fs.clone(), runtime, patience };
        Self { fs, waiting, ttl }
    }
}

impl fuser::Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // One by one: a single missing bit refuses the whole set.
        for wanted in [
            InitFlags::FUSE_PARALLEL_DIROPS,
            // `.` and `..` are looked up by number, so that file handles outlive the kernel's inodes.
            InitFlags::FUSE_EXPORT_SUPPORT,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            // Writes then do not ask for `security.capability`. What is owed for it is kept by files
            // never having a set-ID bit.
            InitFlags::FUSE_HANDLE_KILLPRIV_V2,
        ] {
            if let Err(missing) = config.add_capabilities(wanted) {
                tracing::info!("the kernel lacks {missing:?}");
            }
        }
        let write = config.set_max_write(MAX_WRITE);
        let background = config.set_max_background(MAX_BACKGROUND);
        match (write, background) {
            (Ok(_), Ok(_)) => Ok(()),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn lookup(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (fs, name) = (self.fs.clone(), name.to_owned());
        let work = async move { fs.lookup(ino(parent), &name).await };
        let (ttl, held) = (self.ttl, |attr: &Attr| Held::Inode(attr.ino));
        self.waiting.begin(Call::of("lookup", req), reply, work, held, move |reply, attr| {
            reply.entry(&ttl, &file_attr(&attr), GENERATION);
        });
    }

    fn forget(&self, _req: &Request, number: INodeNo, nlookup: u64) {
        self.fs.forget(ino(number), nlookup);
    }

    fn getattr(&self, _req: &Request, number: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
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
        let (fs, ttl) = (self.fs.clone(), self.ttl);
        let (atime, mtime) = (atime.map(time), mtime.map(time));
        let handle = fh.map(|fh| fh.0);
        let change = Change { mode, uid, gid, size, atime, mtime, handle };
        let work = async move { fs.setattr(ino(number), change).await };
        self.spawn("setattr", req, reply, work, move |reply, attr| {
            reply.attr(&ttl, &file_attr(&attr));
        });
    }

    fn mknod(
        &self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _rdev: u32,
        reply: ReplyEntry,
    ) {
        if mode & libc::S_IFMT != libc::S_IFREG {
            return reply.error(Errno::EPERM);
        }
        let (fs, name, maker) = (self.fs.clone(), name.to_owned(), maker(req, mode & !umask));
        let work = async move { fs.mknod(ino(parent), &name, maker).await };
        self.spawn_entry("mknod", req, reply, work);
    }

    fn mkdir(
        &self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32,
        reply: ReplyEntry,
    ) {
        let (fs, name, maker) = (self.fs.clone(), name.to_owned(), maker(req, mode & !umask));
        let work = async move { fs.mkdir(ino(parent), &name, maker).await };
        self.spawn_entry("mkdir", req, reply, work);
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (fs, name) = (self.fs.clone(), name.to_owned());
        let work = async move { fs.unlink(ino(parent), &name).await };
        self.spawn("unlink", req, reply, work, |reply, ()| reply.ok());
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (fs, name) = (self.fs.clone(), name.to_owned());
        let work = async move { fs.rmdir(ino(parent), &name).await };
        self.spawn("rmdir", req, reply, work, |reply, ()| reply.ok());
    }

    fn rename(
        &self, req: &Request, parent: INodeNo, name: &OsStr, newparent: INodeNo, newname: &OsStr,
        flags: RenameFlags, reply: ReplyEmpty,
    ) {
        let exclusive = flags.contains(RenameFlags::RENAME_NOREPLACE);
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let (fs, name, newname) = (self.fs.clone(), name.to_owned(), newname.to_owned());
        let work =
            async move { fs.rename(ino(parent), &name, ino(newparent), &newname, exclusive).await };
        self.spawn("rename", req, reply, work, |reply, ()| reply.ok());
    }

    fn open(&self, req: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let read_only = flags.0 & libc::O_ACCMODE == libc::O_RDONLY;
        if read_only && self.fs.is_control(ino(number)) {
            let fs = self.fs.clone();
            let work = async move { fs.open_control(ino(number)).await };
            let held = |opened: &Opened| Held::Folder(opened.handle);
            return self.waiting.spawn(
                Call::of("open", req),
                reply,
                work,
                held,
                |reply, opened| {
                    reply.opened(FileHandle(opened.handle), open_flags(opened, true));
                },
            );
        }
        let opened = self.fs.open(ino(number), flags.0, req.pid());
        answer("open", reply, opened, |reply, opened| {
            reply.opened(FileHandle(opened.handle), open_flags(opened, read_only));
        });
    }

    fn create(
        &self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, flags: i32,
        reply: ReplyCreate,
    ) {
        let (fs, name, ttl, pid) = (self.fs.clone(), name.to_owned(), self.ttl, req.pid());
        let maker = maker(req, mode & !umask);
        let work = async move { fs.create(ino(parent), &name, maker, flags, pid).await };
        let held = |(attr, opened): &(Attr, Opened)| Held::File(attr.ino, opened.handle);
        self.waiting.spawn(
            Call::of("create", req),
            reply,
            work,
            held,
            move |reply, (attr, opened)| {
                let (handle, flags) = (FileHandle(opened.handle), open_flags(opened, false));
                reply.created(&ttl, &file_attr(&attr), GENERATION, handle, flags);
            },
        );
    }

    fn read(
        &self, req: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, size: u32,
        _flags: OpenFlags, _lock_owner: Option<LockOwner>, reply: ReplyData,
    ) {
        let asked = match self.fs.read_here(fh.0, offset, size as usize) {
            Ok(result) => {
                return answer("read", reply, result, |reply, bytes| reply.data(&bytes));
            }
            Err(asked) => asked,
        };
        let fs = self.fs.clone();
        let work = async move { fs.read(fh.0, offset, size as usize, asked).await };
        self.spawn("read", req, reply, work, |reply, bytes| reply.data(&bytes));
    }

    fn write(
        &self, _req: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, data: &[u8],
        _write_flags: WriteFlags, _flags: OpenFlags, _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        answer("write", reply, self.fs.write(fh.0, offset, data), |reply, ()| {
            reply.written(data.len() as u32);
        });
    }

    fn flush(
        &self, req: &Request, _ino: INodeNo, fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty,
    ) {
        match self.fs.wants_flush(fh.0, req.pid()) {
            Ok(true) => {
                let fs = self.fs.clone();
                let work = async move { fs.flush(fh.0).await };
                self.spawn("close", req, reply, work, |reply, ()| reply.ok());
            }
            wanted => answer("close", reply, wanted, |reply, _| reply.ok()),
        }
    }

    fn release(
        &self, _req: &Request, _ino: INodeNo, fh: FileHandle, _flags: OpenFlags,
        _lock_owner: Option<LockOwner>, _flush: bool, reply: ReplyEmpty,
    ) {
        // Nobody waits for the answer.
        reply.ok();
        let fs = self.fs.clone();
        self.waiting.runtime.spawn(async move { fs.release(fh.0).await });
    }

    fn fsync(
        &self, req: &Request, _ino: INodeNo, fh: FileHandle, _datasync: bool, reply: ReplyEmpty,
    ) {
        let fs = self.fs.clone();
        let work = async move { fs.fsync(fh.0).await };
        self.spawn("fsync", req, reply, work, |reply, ()| reply.ok());
    }

    fn fallocate(
        &self, _req: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, length: u64, mode: i32,
        reply: ReplyEmpty,
    ) {
        let range = offset..offset.saturating_add(length);
        answer("fallocate", reply, self.fs.fallocate(fh.0, range, mode), |reply, ()| reply.ok());
    }

    fn opendir(&self, req: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let fs = self.fs.clone();
        let work = async move { fs.opendir(ino(number)).await };
        let held = |handle: &u64| Held::Folder(*handle);
        self.waiting.spawn(Call::of("opendir", req), reply, work, held, |reply, handle| {
            reply.opened(FileHandle(handle), FopenFlags::empty());
        });
    }

    fn readdir(
        &self, req: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectory,
    ) {
        let fill = move |reply, names: Names| names::fill(reply, offset, &names);
        if let Some(names) = self.fs.readdir_here(fh.0, offset as usize) {
            return answer("readdir", reply, names, fill);
        }
        let fs = self.fs.clone();
        let work = async move { fs.readdir(fh.0, offset as usize).await };
        self.spawn("readdir", req, reply, work, fill);
    }

    fn readdirplus(
        &self, req: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectoryPlus,
    ) {
        let (fs, ttl) = (self.fs.clone(), self.ttl);
        let fill = move |reply, names: Names| names::fill_plus(&fs, ttl, reply, offset, &names);
        if let Some(names) = self.fs.readdir_here(fh.0, offset as usize) {
            return answer("readdir", reply, names, fill);
        }
        let fs = self.fs.clone();
        let work = async move { fs.readdir(fh.0, offset as usize).await };
        self.spawn("readdir", req, reply, work, fill);
    }

    fn releasedir(
        &self, _req: &Request, _ino: INodeNo, fh: FileHandle, _flags: OpenFlags, reply: ReplyEmpty,
    ) {
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
        let fs = self.fs.clone();
        self.waiting.runtime.spawn(async move { fs.refresh_space().await });
        let space = self.fs.statfs();
        let (total, free) = (space.total / u64::from(BLOCK), space.free / u64::from(BLOCK));
        let unused = INODES.saturating_sub(space.inodes);
        reply.statfs(total, free, free, INODES, unused, BLOCK, NAME_MAX as u32, BLOCK);
    }

    fn setxattr(
        &self, req: &Request, number: INodeNo, name: &OsStr, value: &[u8], flags: i32,
        _position: u32, reply: ReplyEmpty,
    ) {
        let (fs, name, value) = (self.fs.clone(), name.to_owned(), value.to_owned());
        let work = async move { fs.setxattr(ino(number), &name, &value, flags).await };
        self.spawn("setxattr", req, reply, work, |reply, ()| reply.ok());
    }

    fn getxattr(&self, req: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if let Some(result) = self.fs.getxattr_here(ino(number), name) {
            return answer("getxattr", reply, result, |reply, value| {
                reply_xattr(reply, &value, size)
            });
        }
        let (fs, name) = (self.fs.clone(), name.to_owned());
        let work = async move { fs.getxattr(ino(number), &name).await };
        self.spawn("getxattr", req, reply, work, move |reply, value| {
            reply_xattr(reply, &value, size)
        });
    }

    fn listxattr(&self, _req: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        answer("listxattr", reply, self.fs.listxattr(ino(number)), |reply, names| {
            reply_xattr(reply, &names, size);
        });
    }

    fn removexattr(&self, req: &Request, number: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (fs, name) = (self.fs.clone(), name.to_owned());
        let work = async move { fs.removexattr(ino(number), &name).await };
        self.spawn("removexattr", req, reply, work, |reply, ()| reply.ok());
    }
}
