//! The md5 of bytes, and opaque strings, as the service spells them.

use md5::{Digest, Md5};

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const MIXED: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The md5 of all that was taken in, in 32 lower-case hex digits.
#[derive(Default)]
pub(crate) struct Hasher(Md5);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The md5 of some bytes.
pub(crate) fn md5(bytes: &[u8]) -> String {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// True for 32 lower-case hex digits.
pub(crate) fn is_md5(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A file ID: 32 characters that differ and 20 that do not, as in the documents' samples, with what is
/// known of others: they may end in `=`, and hold whatever a path may.
pub(crate) fn file_id() -> String {
    format!("y{}+{}/{}DIYPAIDOBIY0DcxvDwF=", random(LOWER, 13), random(LOWER, 8), random(LOWER, 8))
}

/// A preupload ID: long, and with the characters that a careless client would mangle.
pub(crate) fn preupload_id() -> String {
    format!("h1Kiaaaaaaac/0+{}/V7+bzfUbEEaEt8N6RT2PI==", random(MIXED, 96))
}

/// A token that looks like a JWT.
pub(crate) fn token() -> String {
    format!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{}.{}", random(LOWER, 96), random(LOWER, 43))
}

/// A trace ID: a UUID and the name of a pod.
pub(crate) fn trace_id() -> String {
    let hex = format!("{:032x}", fastrand::u128(..));
    let (a, b, c) = (&hex[..8], &hex[8..12], &hex[12..16]);
    format!("{a}-{b}-{c}-{}-{}_kong-db-5898fdd8c6-wgsts", &hex[16..20], &hex[20..])
}

/// A key that nobody can guess, in lower-case letters and digits.
pub(crate) fn key() -> String {
    random(LOWER, 32)
}

fn random(alphabet: &[u8], length: usize) -> String {
    (0..length).map(|_| char::from(alphabet[fastrand::usize(..alphabet.len())])).collect()
}
