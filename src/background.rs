//! The background: a process that goes on after the command that started it has returned.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

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
    let (heard, said) = pipe_with(PipeFlags::CLOEXEC)?;
    let (mut heard, said) = (File::from(heard), File::from(said));
    // SAFETY: there is one thread, so the child is a whole process with all locks free.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(heard);
            // A fresh child leads no process group, so this does not fail.
            rustix::process::setsid()?;
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
    let ended = waitpid(Pid::from_raw(child), WaitOptions::empty()).ok().flatten();
    let status = ended.and_then(|(_, status)| status.exit_status());
    status.and_then(|status| u8::try_from(status).ok()).unwrap_or(1)
}

impl Ready {
    /// Lets the terminal go, and the parent return.
    pub fn tell(mut self) -> io::Result<()> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        std::env::set_current_dir("/")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        self.0.write_all(b"1")
    }
}
