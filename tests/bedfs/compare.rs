//! Contents compared: of a folder, of the mount, of the bed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use bedfs_emulator::Emulator;

/// By path: the bytes of files, nothing for folders.
pub(crate) type Content = BTreeMap<String, Option<Vec<u8>>>;

/// Everything in a folder.
pub(crate) fn content(root: &Path) -> Content {
    try_content(root).expect("readable")
}

/// Everything in a folder, if all of it can be read.
pub(crate) fn try_content(root: &Path) -> io::Result<Content> {
    let mut all = Content::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.strip_prefix(root).expect("below the root");
            let name = name.to_str().expect("UTF-8").to_owned();
            if fs::symlink_metadata(&path)?.is_dir() {
                all.insert(name, None);
                folders.push(path);
            } else {
                let named =
                    |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
                let bytes = fs::read(&path).map_err(named)?;
                all.insert(name, Some(bytes));
            }
        }
    }
    Ok(all)
}

/// Makes a folder hold this and nothing else.
pub(crate) fn make_so(root: &Path, content: &Content) {
    fs::remove_dir_all(root).expect("removed");
    fs::create_dir(root).expect("a folder");
    for (path, bytes) in content {
        match bytes {
            Some(bytes) => fs::write(root.join(path), bytes).expect("written"),
            None => fs::create_dir(root.join(path)).expect("a folder"),
        }
    }
}

/// Everything in the bed, with what lies in scratch folders.
pub(crate) fn whole_bed(emulator: &Emulator) -> Content {
    let bytes = |path: &str, is_folder: bool| (!is_folder).then(|| emulator.read(path)).flatten();
    let rows = emulator.tree().into_iter();
    rows.map(|(path, row)| {
        let bytes = bytes(&path, row.is_folder);
        (path, bytes)
    })
    .collect()
}

/// The bed as the mount should show it.
pub(crate) fn bed(emulator: &Emulator) -> Content {
    let mut all = whole_bed(emulator);
    all.retain(|path, _| !path.starts_with(".bedfs-scratch-"));
    all
}

/// Fails with what differs, without the bytes.
pub(crate) fn assert_same(found: &Content, wanted: &Content, what: &str) {
    let brief = |content: &Content, other: &Content| -> Vec<String> {
        let differing = content.iter().filter(|(path, bytes)| other.get(*path) != Some(*bytes));
        differing
            .map(|(path, bytes)| match bytes {
                Some(bytes) => format!("{path} of {}", bytes.len()),
                None => format!("{path}/"),
            })
            .collect()
    };
    let (more, less) = (brief(found, wanted), brief(wanted, found));
    assert!(found == wanted, "{what}: found {more:?}, not {less:?}");
}
