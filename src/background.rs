//! The background: a process that goes on after the command that started it has returned.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// What a fork leaves us as.
pub enum Side {
    /// The process in the background. It says when it is ready.
    Child(Ready),
    /// The command: the child is ready, or has ended with an error that it told itself.
    Parent {
        /// The exit status of a child that ended.
        ended: Option<u8>,
    },
}

/// The child's word that it is ready.
#[derive(Debug)]
pub struct Ready(File);

/// Forks; in the parent returns only when the child is ready or has ended.
///
/// To be called while the process has one thread: a thread's locks would stay locked in the child
/// for ever.
pub fn fork() -> io::Result<Side> {
    let (mut heard, said) = pipe()?;
    // SAFETY: there is one thread, so the child is a whole process with all locks free.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(heard);
            // SAFETY: the call has no arguments. It cannot fail in a fresh child, which leads no
            // process group.
            unsafe { libc::setsid() };
            Ok(Side::Child(Ready(said)))
        }
        child => {
            drop(said);
            let mut word = [0];
            // The pipe ends without a word when the child does.
            let ready = heard.read_exact(&mut word).is_ok();
            Ok(Side::Parent { ended: (!ready).then(|| status_of(child)) })
        }
    }
}

/// The exit status of a child that ends; that of a failure for one that was killed.
fn status_of(child: libc::pid_t) -> u8 {
    let mut status = 0;
    // SAFETY: the status is written to, and lives as long as the call.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    match waited == child && libc::WIFEXITED(status) {
        true => u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(1),
        false => 1,
    }
}

fn pipe() -> io::Result<(File, File)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors that are written.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both are open, and nobody else owns them.
    let [read, write] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    Ok((read.into(), write.into()))
}

impl Ready {
    /// Lets the terminal go, and the parent return.
    pub fn tell(mut self) -> io::Result<()> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        std::env::set_current_dir("/")?;
        for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
            // SAFETY: both descriptors are open for the whole call.
            if unsafe { libc::dup2(null.as_raw_fd(), standard) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        self.0.write_all(b"1")
    }
}
