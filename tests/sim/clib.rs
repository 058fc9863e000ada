//! The C library as a simulation has it: these take the place of its functions in this process. On a
//! thread that does not simulate they are what they were.

use std::cell::Cell;

use crate::machine::{CHANCE, DISK, has_no_room, mix, now};

/// When a simulation begins, in seconds since the epoch: 2026-01-01.
const BEGIN: i64 = 1_767_225_600;

/// What a monotonic clock shows to who does not ask the runtime, whose clock is the one that moves.
const STILL: i64 = 1_000_000;

/// The C library's, for all of this process.
///
/// # Safety
/// `buffer` has room for `length` bytes, as for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut libc::c_void, length: usize, flags: u32) -> isize {
    let Some(mut seed) = CHANCE.try_with(Cell::get).ok().flatten() else {
        // SAFETY: the arguments are the caller's.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as isize };
    };
    // SAFETY: the caller has that much room there.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    bytes.fill_with(|| mix(&mut seed) as u8);
    CHANCE.set(Some(seed));
    isize::try_from(length).unwrap_or(isize::MAX)
}

/// The C library's, for all of this process.
///
/// # Safety
/// `time` may be written to, as for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> i32 {
    if CHANCE.try_with(Cell::get).ok().flatten().is_none() {
        // SAFETY: the arguments are the caller's.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as i32 };
    }
    let (seconds, nanos) = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => {
            let now = now();
            (BEGIN + now.as_secs() as i64, i64::from(now.subsec_nanos()))
        }
        _ => (STILL, 0),
    };
    // SAFETY: the caller lets it be written to.
    unsafe { *time = libc::timespec { tv_sec: seconds, tv_nsec: nanos } };
    0
}

/// The C library's, for all of this process.
#[unsafe(no_mangle)]
extern "C" fn fsync(file: i32) -> i32 {
    sync(file, libc::SYS_fsync)
}

/// The C library's, for all of this process.
#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: i32) -> i32 {
    sync(file, libc::SYS_fdatasync)
}

fn sync(file: i32, call: libc::c_long) -> i32 {
    let disk = DISK.try_with(|disk| disk.borrow().clone()).ok().flatten();
    match disk {
        Some(disk) => {
            disk.sync(file);
            0
        }
        // SAFETY: a number is all it takes; the kernel refuses one that is no file's.
        None => unsafe { libc::syscall(call, file) as i32 },
    }
}

/// The C library's, for all of this process.
///
/// # Safety
/// `bytes` has `length` bytes, as for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn write(file: i32, bytes: *const libc::c_void, length: usize) -> isize {
    if has_no_room(file) {
        return no_room();
    }
    // SAFETY: the arguments are the caller's.
    unsafe { libc::syscall(libc::SYS_write, file, bytes, length) as isize }
}

/// The C library's, for all of this process.
///
/// # Safety
/// `bytes` has `length` bytes, as for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(
    file: i32, bytes: *const libc::c_void, length: usize, offset: i64,
) -> isize {
    if has_no_room(file) {
        return no_room();
    }
    // SAFETY: the arguments are the caller's.
    unsafe { libc::syscall(libc::SYS_pwrite64, file, bytes, length, offset) as isize }
}

/// The C library's, for all of this process.
///
/// # Safety
/// `bytes` has `length` bytes, as for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(
    file: i32, bytes: *const libc::c_void, length: usize, offset: i64,
) -> isize {
    // SAFETY: the arguments are the caller's.
    unsafe { pwrite64(file, bytes, length, offset) }
}

fn no_room() -> isize {
    // SAFETY: each thread has a number of its last error, and may set it.
    unsafe { *libc::__errno_location() = libc::ENOSPC };
    -1
}
