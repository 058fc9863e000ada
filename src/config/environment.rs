//! The environment's secrets: taken out of it at the start, and known from then on to this process alone.

use std::ffi::{CStr, c_char};

use super::layer::variable_of;
use super::variable;
use crate::types::Secret;

/// The keys whose variables hold secrets.
const SECRETS: [&str; 2] = ["client-secret", "serve-secret"];

unsafe extern "C" {
    /// The texts `NAME=value` of this process, up to a null pointer (`environ(7)`).
    static mut environ: *mut *mut c_char;
}

/// The secrets that stood in the environment, by their keys.
#[derive(Clone, Debug, Default)]
pub struct Taken(Vec<(&'static str, Secret)>);

impl Taken {
    /// What the variable of a key said.
    pub(super) fn value(&self, key: &str) -> Option<&Secret> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, secret)| secret)
    }
}

/// Takes the secrets out of the environment: programs that are started from here do not inherit them,
/// and `/proc/PID/environ` shows them to nobody.
///
/// # Safety
///
/// The process has one thread: another might read the environment while it changes.
pub unsafe fn take_secrets() -> Taken {
    let take = |key| {
        let name = variable_of(key);
        let value = variable(&name);
        // SAFETY: as the caller says.
        unsafe {
            wipe(&name);
            std::env::remove_var(&name);
        }
        Some((key, Secret::new(value?)))
    };
    Taken(SECRETS.into_iter().filter_map(take).collect())
}

/// Overwrites the value of a variable where it stands, however often that is: what the system shows is
/// the memory in which the process was handed its environment.
///
/// # Safety
///
/// The process has one thread.
unsafe fn wipe(name: &str) {
    // SAFETY: nobody changes the pointer meanwhile.
    let mut place = unsafe { environ };
    while !place.is_null() {
        // SAFETY: the null pointer that ends the texts has not come yet.
        let text = unsafe { *place };
        if text.is_null() {
            return;
        }
        // SAFETY: each text ends with NUL, and nobody changes it meanwhile.
        let whole = unsafe { CStr::from_ptr(text) }.to_bytes();
        let value = whole.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        if let Some(len) = value.map(<[u8]>::len) {
            // SAFETY: these are the bytes of the value, which the process may write to: the kernel put
            // them on its stack, or the C library on its heap. No reference to them is used any more.
            unsafe { text.add(name.len() + 1).write_bytes(0, len) };
        }
        // SAFETY: a text or the null pointer follows.
        place = unsafe { place.add(1) };
    }
}
