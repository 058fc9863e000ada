//! Processes: who is behind the number that comes with a FUSE request, and what this one may have open.

use std::{fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Has this process have as many files open as it may at most, and not as few as is usual for
/// programs that ask `select` for them.
pub fn raise_open_files() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// One in `part` of the files that this process may have open, within these bounds.
pub fn share_of_open_files(part: u64, fewest: usize, most: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit / part).unwrap_or(most).clamp(fewest, most)
}

/// Whether the process, or the machine, had too many files open.
pub fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The thread group (what users call the process) of a thread. `None` where it cannot be told, as
/// for threads of another PID namespace, which FUSE numbers 0.
pub fn thread_group(thread: u32) -> Option<u32> {
    field(thread, "Tgid:")?.parse().ok()
}

/// Whether the process still runs. One that waits to be reaped does not.
pub fn is_alive(process: u32) -> bool {
    field(process, "State:").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// Whether the thread is being killed: a signal that ends its process waits for it, or has ended the
/// process while the thread still closes its files. `false` where it cannot be told.
pub fn is_dying(thread: u32) -> bool {
    let is_so = |file: &str, tells: fn(&str) -> bool| read(thread, file).is_some_and(|t| tells(&t));
    is_so("status", awaits_its_end) || is_so("stat", is_ended_by_a_signal)
}

/// The signals that by default do not end a process, the bit of signal n being n - 1.
const SPARING: u64 = bit(libc::SIGCHLD)
    | bit(libc::SIGCONT)
    | bit(libc::SIGSTOP)
    | bit(libc::SIGTSTP)
    | bit(libc::SIGTTIN)
    | bit(libc::SIGTTOU)
    | bit(libc::SIGURG)
    | bit(libc::SIGWINCH);

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Whether a signal is pending that is not blocked, ignored or caught, and that ends the process.
/// The kernel turns most of these into a SIGKILL for each of its threads.
fn awaits_its_end(status: &str) -> bool {
    let set = |name| line(status, name).and_then(|set| u64::from_str_radix(set, 16).ok());
    let sets = ["SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:", "SigCgt:"].map(set);
    let [Some(own), Some(shared), Some(blocked), Some(ignored), Some(caught)] = sets else {
        return false;
    };
    (own | shared) & !(blocked | ignored | caught | SPARING) != 0
}

/// Whether `stat` shows a thread at its end (the kernel's `PF_EXITING`) and a signal as the cause.
/// A process that leaves by itself may well want to wait until its files are closed.
fn is_ended_by_a_signal(stat: &str) -> bool {
    const EXITING: u64 = 0x4;
    const SIGNAL: u64 = 0x7f;
    // What stands before the last bracket is the program's name, and may be anything.
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return false;
    };
    // proc(5): the state is field 3, the flags 9, the exit code 52.
    let field = |number: usize| fields.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
    let (flags, code) = (field(9).unwrap_or(0), field(52).unwrap_or(0));
    flags & EXITING != 0 && code & SIGNAL != 0
}

fn field(thread: u32, name: &str) -> Option<String> {
    line(&read(thread, "status")?, name).map(str::to_owned)
}

fn line<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn read(thread: u32, file: &str) -> Option<String> {
    if thread == 0 {
        return None;
    }
    // A program's name need not be UTF-8.
    let bytes = fs::read(format!("/proc/{thread}/{file}")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_itself_and_its_dead() {
        let me = std::process::id();
        assert_eq!(thread_group(me), Some(me));
        assert!(is_alive(me) && !is_dying(me));
        let mut child = std::process::Command::new("true").spawn().expect("true runs");
        let id = child.id();
        child.wait().expect("true ends");
        assert!(!is_alive(id) && !is_dying(id));
        assert_eq!(thread_group(0), None);
        assert!(!is_dying(0));
    }

    #[test]
    fn a_thread_dies_of_a_signal_that_it_does_not_block_ignore_or_catch() {
        let pending = |own: u64, shared: u64, blocked: u64, ignored: u64, caught: u64| {
            awaits_its_end(&format!(
                "Name:\tcat\nSigPnd:\t{own:016x}\nShdPnd:\t{shared:016x}\nSigBlk:\t{blocked:016x}\n\
                 SigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
            ))
        };
        let (kill, quit, child) = (bit(libc::SIGKILL), bit(libc::SIGQUIT), bit(libc::SIGCHLD));
        assert!(pending(kill, 0, 0, 0, 0) && pending(0, kill, !kill, !kill, !kill));
        assert!(pending(0, quit, 0, 0, 0));
        assert!(!pending(0, 0, 0, 0, 0) && !pending(child, child, 0, 0, 0));
        assert!(!pending(quit, 0, quit, 0, 0));
        assert!(!pending(quit, 0, 0, quit, 0) && !pending(0, quit, 0, 0, quit));
        assert!(!awaits_its_end("SigPnd:\tffffffffffffffff\n"), "what is not told is not so");
    }

    #[test]
    fn an_end_by_a_signal_is_told_from_one_by_itself() {
        let stat = |flags: u64, code: u64| {
            let between = "0 ".repeat(52 - 9 - 1);
            is_ended_by_a_signal(&format!("7 (a) 9 (b)) D 1 7 7 0 -1 {flags} {between}{code}\n"))
        };
        assert!(stat(0x40_0004, 9) && stat(0x4, 2 | 0x80));
        assert!(!stat(0x40_0004, 0) && !stat(0x40_0004, 1 << 8) && !stat(0x40_0000, 9));
        assert!(!is_ended_by_a_signal("") && !is_ended_by_a_signal("7 (cat) D 1 7"));
    }
}
