//! What names a file of this machine: its path, its path percent-encoded as editors hand it over, or a
//! `file:` URL.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode;

/// The path that is meant: the one that is written, where there is such a file, else the one that it
/// decodes to.
pub fn local(name: &Path) -> PathBuf {
    match name.symlink_metadata() {
        Ok(_) => name.to_owned(),
        Err(_) => decoded(name),
    }
}

/// The path that a `file:` URL or a percent-encoded path decodes to; any other is as it was.
pub fn decoded(name: &Path) -> PathBuf {
    let bytes = name.as_os_str().as_bytes();
    let path = of_url(bytes).unwrap_or(bytes);
    let decoded: Vec<u8> = percent_decode(path).collect();
    // No path has a NUL in it.
    match decoded.contains(&0) {
        true => name.to_owned(),
        false => std::ffi::OsString::from_vec(decoded).into(),
    }
}

/// The path of a `file:` URL of this machine: `file:///a`, `file://localhost/a` or `file:/a`.
fn of_url(url: &[u8]) -> Option<&[u8]> {
    let rest = url.get(5..).filter(|_| url[..5].eq_ignore_ascii_case(b"file:"))?;
    let path = match rest.strip_prefix(b"//") {
        Some(rest) => {
            let slash = rest.iter().position(|byte| *byte == b'/')?;
            let is_here = slash == 0 || rest[..slash].eq_ignore_ascii_case(b"localhost");
            is_here.then(|| &rest[slash..])?
        }
        None => rest,
    };
    let end = path.iter().position(|byte| b"?#".contains(byte)).unwrap_or(path.len());
    path.starts_with(b"/").then(|| &path[..end])
}

/// The last part of a path, as text.
pub fn file_name(path: &Path) -> Option<&str> {
    path.file_name().and_then(OsStr::to_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_path_encoded_or_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        let shown = dir.path().display();
        std::fs::write(at("新 a.png"), b"").expect("written");
        for name in [
            format!("{shown}/新 a.png"),
            format!("{shown}/%E6%96%B0%20a.png"),
            format!("{shown}/新%20a.png"),
            format!("file://{shown}/%E6%96%B0%20a.png"),
            format!("FILE://LocalHost{shown}/%e6%96%b0%20a.png"),
            format!("file:{shown}/新 a.png"),
            format!("file://{shown}/%E6%96%B0%20a.png?x=1#y"),
            format!("{shown}/%E6%96%B0%20a.png").replace('/', "%2F"),
        ] {
            assert_eq!(local(Path::new(&name)), at("新 a.png"), "{name}");
        }
        std::fs::write(at("%E6%96%B0%20a.png"), b"").expect("written");
        let literal = at("%E6%96%B0%20a.png");
        assert_eq!(local(&literal), literal, "the literal path where there is one");
    }

    #[test]
    fn what_is_of_another_machine_is_no_path_here() {
        for name in ["file://other/a.png", "file:a.png", "file:", "fil", "a.png", "/a%00.png"] {
            assert_eq!(decoded(Path::new(name)), Path::new(name), "{name}");
        }
        assert_eq!(decoded(Path::new("/a%2")), Path::new("/a%2"));
        assert_eq!(decoded(Path::new("/100%.png")), Path::new("/100%.png"));
    }
}
