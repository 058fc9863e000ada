//! The fuzzer's door to this room: configuration files.

use std::path::Path;

use super::file;

/// What no message may hold.
const SECRET: &str = "hunter2-hunter2";

/// A configuration file, behind a line with a secret. No message tells that.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if text.contains(SECRET) {
        return;
    }
    let told = file::parse(&format!("client-secret = '{SECRET}'\n{text}"), Path::new("/file"));
    if let Err(error) = told {
        let told = format!("{error} {error:?}");
        assert!(!told.contains(SECRET), "{told}");
    }
}
