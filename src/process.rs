//! Processes: who is behind the number that comes with a FUSE request.

use std::fs;

/// The thread group (what users call the process) of a thread. `None` where it cannot be told, as
/// for threads of another PID namespace, which FUSE numbers 0.
pub fn thread_group(thread: u32) -> Option<u32> {
    field(thread, "Tgid:")?.parse().ok()
}

/// Whether the process still runs. One that waits to be reaped does not.
pub fn is_alive(process: u32) -> bool {
    field(process, "State:").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

fn field(thread: u32, name: &str) -> Option<String> {
    if thread == 0 {
        return None;
    }
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_itself_and_its_dead() {
        let me = std::process::id();
        assert_eq!(thread_group(me), Some(me));
        assert!(is_alive(me));
        let mut child = std::process::Command::new("true").spawn().expect("true runs");
        let id = child.id();
        child.wait().expect("true ends");
        assert!(!is_alive(id));
        assert_eq!(thread_group(0), None);
    }
}
