//! Savers' names: what programs call a file while they save, copy or download it, and the version before.

use std::sync::LazyLock;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// What no other file is called, whatever lies beside it, in small letters or capitals.
const ALWAYS: &[&str] = &[
    // Editors: backups, swap and lock files.
    "*~",
    "*.sw[k-px]",
    "*.swpx",
    "4913",
    "#*#",
    ".#*",
    ".~lock.*#",
    "~$*",
    "*.kate-swp",
    "*.crswap",
    "*___jb_tmp___",
    "*___jb_old___",
    "*.vsctmp",
    "*_exiftool_tmp",
    "*.exiv2_temp",
    "gawk.inplace.*",
    // macOS saves in a folder of its own beside the file.
    "*.sb-????????-??????",
    // What is still being copied or downloaded.
    "*.part",
    "*.partial",
    "*.filepart",
    "*.crdownload",
    "*.opdownload",
    "*.download",
    "*.aria2",
    "*.tmp",
    "*.temp",
    ".*.[0-9a-z][0-9a-z][0-9a-z][0-9a-z][0-9a-z][0-9a-z]",
    ".*.~[0-9a-f]*",
    ".goutputstream-*",
    ".com.google.Chrome.*",
    ".org.chromium.Chromium.*",
];

/// Names that are random from here on, and how long that is: of `sed`, Rust, `dos2unix`, `gawk`, Python
/// and `mktemp`.
const RANDOM: &[(&str, usize)] =
    &[("sed", 6), (".tmp", 6), ("d2utmp", 6), ("gawk.", 6), ("tmp", 8), ("tmp.", 10)];

/// What a saver puts behind the name of the file, in small letters; a count may follow.
const ENDS: &[&str] = &[
    ".bak",
    "_bak",
    ".backup",
    "_backup",
    ".old",
    "_old",
    ".orig",
    "_orig",
    "_original",
    ".save",
    ".new",
    "_new",
    ".tmp",
    ".pdnsave",
];

/// Extensions that the service and programs know pictures by.
const PICTURES: &[&str] = &[
    "png", "apng", "gif", "jpeg", "jpg", "jpe", "jfif", "jxl", "tiff", "tif", "webp", "svg",
    "svgz", "bmp", "ico", "avif", "heic", "heif", "psd", "xcf", "kra", "ora",
];

/// Six letters or digits that are no random ones: what people append to a name.
const WORDS: &[&str] =
    &["base64", "blake2", "blake3", "md5sum", "sha224", "sha256", "sha384", "sha512"];

/// `ALWAYS`, understood. They are constant, and a test holds that they are sound.
static PATTERNS: LazyLock<GlobSet> = LazyLock::new(|| patterns().unwrap_or_default());

fn patterns() -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in ALWAYS {
        set.add(GlobBuilder::new(pattern).case_insensitive(true).build()?);
    }
    set.build()
}

/// Whether a file or folder is called so by savers alone.
pub(super) fn has_always(name: &str) -> bool {
    PATTERNS.is_match(name)
}

/// Whether a file of this name is a saver's, in a folder that `has` these files. A name that is made from
/// one which is no picture's counts only if that one is there.
pub fn is_savers(name: &str, has: impl Fn(&str) -> bool) -> bool {
    let is_made_from = |neighbour: &str, is_odd: bool| {
        is_picture(neighbour) || (is_odd && !neighbour.is_empty() && has(neighbour))
    };
    has_always(name)
        || is_random(name)
        || with_end(name).is_some_and(|neighbour| is_made_from(neighbour, true))
        || with_random_end(name).is_some_and(|(neighbour, end)| {
            is_made_from(neighbour, !end.bytes().all(|byte| byte.is_ascii_lowercase()))
        })
}

fn is_random(name: &str) -> bool {
    let is_so = |(front, len): &(&str, usize)| {
        let rest = name.strip_prefix(front);
        rest.is_some_and(|rest| rest.len() == *len && rest.bytes().all(is_word_byte))
    };
    RANDOM.iter().any(is_so)
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_picture(name: &str) -> bool {
    let extension = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty());
    extension.is_some_and(|(_, extension)| {
        PICTURES.iter().any(|known| known.eq_ignore_ascii_case(extension))
    })
}

/// The name of which this is a backup or a draft: `a.svg` of `a.svg.bak`, `a.svg_original`, `a.svg.save.1`,
/// `a.svg.tmp-4f1c22`.
fn with_end(name: &str) -> Option<&str> {
    let small = name.to_ascii_lowercase();
    if let Some(at) = small.rfind(".tmp") {
        let rest = small[at + 4..].trim_start_matches(['.', '-', '_']);
        let is_numbers = || rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if rest.len() >= 4 && (rest.bytes().all(is_word_byte) || is_numbers()) {
            return Some(&name[..at]);
        }
    }
    let counted = small.trim_end_matches(|c: char| c.is_ascii_digit());
    let counted = counted.strip_suffix(['.', '-', '_']).unwrap_or(counted);
    let mut ends = [&*small, counted]
        .into_iter()
        .flat_map(|small| ENDS.iter().filter_map(|end| small.strip_suffix(end)));
    ends.next().map(|neighbour| &name[..neighbour.len()])
}

/// The name of which this is a version with a random end, and that end: `a.svg` of `a.svg.QGYOP0` (GLib,
/// Qt, mkstemp), `a.svg.2871930021` (Node.js), `a.svg.UUID`, and of `.a.svg2871930021` (Go).
fn with_random_end(name: &str) -> Option<(&str, &str)> {
    let digits = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if let Some(neighbour) = digits.strip_prefix('.')
        && name.len() - digits.len() >= 6
        && is_picture(neighbour)
    {
        return Some((neighbour, &name[digits.len()..]));
    }
    let (neighbour, end) = name.rsplit_once('.')?;
    let is_uuid = || {
        let lens = [8, 4, 4, 4, 12];
        let groups = end.split('-');
        groups.clone().map(str::len).eq(lens)
            && groups.flat_map(str::bytes).all(|byte| byte.is_ascii_hexdigit())
    };
    let is_it = match end.len() {
        6 => {
            let is_word = WORDS.iter().any(|word| word.eq_ignore_ascii_case(end));
            end.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !is_word
        }
        9..=19 => end.bytes().all(|byte| byte.is_ascii_digit()),
        _ => is_uuid(),
    };
    is_it.then_some((neighbour, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_beside(name: &str, neighbours: &[&str]) -> bool {
        super::is_savers(name, |neighbour| neighbours.contains(&neighbour))
    }

    #[test]
    fn the_patterns_are_sound() {
        assert!(patterns().is_ok_and(|set| set.len() == ALWAYS.len()));
    }

    #[test]
    fn what_savers_make_is_told_by_its_shape() {
        for name in [
            "sedAb3dE9",
            "a.svg.QGYOP0",
            "a.svg.fkWqZe",
            "a.svg~RF1a2b3c.TMP",
            "a.svg.bak",
            "a.SVG.BAK",
            "a.svg.bak2",
            "a.svg.save.1",
            "a.svg_original",
            "a.svg_exiftool_tmp",
            "a.svg.new",
            "a.svg.orig",
            "a.svg.tmp",
            "a.svg.tmp-4f1c22",
            "a.svg.tmp.4711.171",
            "a.svg~",
            "a.svg.~1~",
            "4913",
            ".a.svg.swp",
            "#a.svg#",
            ".#a.svg",
            ".a.svg.AbC123",
            "a.svg.part",
            "a.svg.crdownload",
            ".~lock.a.svg#",
            ".goutputstream-AB12CD",
            "tmpk3j_x0ab",
            ".tmpAbC123",
            "a.svg.2871930021",
            ".a.svg2871930021",
            "a.svg___jb_tmp___",
            "a.svg.sb-1c4f3a77-xyzAbc",
            "d2utmpAbC123",
            "图.png.QGYOP0",
            "a.svg.550e8400-e29b-41d4-a716-446655440000",
        ] {
            assert!(is_beside(name, &[]), "{name}");
        }
    }

    #[test]
    fn a_picture_is_no_savers_whatever_it_looks_like() {
        for name in [
            "photo.bak.png",
            "sedAb3dE9.png",
            "IMG_ABC123",
            "IMG_123456.JPG",
            "tmpk3j_x0ab.png",
            "bak.png",
            "a.new.jpg",
            "a.png",
            "a_original.png",
            "a.tmp.webp",
            "seda",
            "sedAb3dE99",
            "a.png.sha256",
            "a.png.md5sum",
            "photo.QGYOP0",
            "photo.bak",
            "_original",
            ".bak",
            "a.svg.tmpl",
            "a.png.xmp",
            "2024.123456",
            ".123456",
            "a.jpg.jpg",
            "20240101.jpg.txt",
            "a.png.20240101",
        ] {
            assert!(!is_beside(name, &[]), "{name}");
        }
    }

    #[test]
    fn a_neighbour_that_is_there_tells_what_its_name_does_not() {
        for name in ["notes.QGYOP0", "notes.bak", "notes_original", "notes.a1b2c3"] {
            assert!(!is_beside(name, &["other"]) && is_beside(name, &["notes"]), "{name}");
        }
        for name in ["notes.sqlite", "notes.sha256", "notes.png", "notes"] {
            assert!(!is_beside(name, &["notes"]), "{name}");
        }
    }
}
