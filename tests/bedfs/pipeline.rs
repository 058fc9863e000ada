//! The pipeline of uploads in the background: the steps of many files overlap, within the limits.

use std::fs;

use bedfs_emulator::{Options, Qps};

use crate::harness::{Mount, fast, noise, run, text};
use crate::journaled::{BACKGROUND, all_done, bed_is, crash, eventually};

/// Puts small pictures into a folder beside the mount, and copies them all.
fn copy_all(mount: &Mount, count: u64) -> Vec<(String, Vec<u8>)> {
    let files: Vec<_> =
        (0..count).map(|number| (format!("{number}.jpg"), noise(number + 1, 2000))).collect();
    let source = mount.dir.path().join("many");
    fs::create_dir(&source).expect("a folder");
    for (name, bytes) in &files {
        fs::write(source.join(name), bytes).expect("a local file");
    }
    let from = source.join(".");
    run("cp", ["-r".as_ref(), from.as_os_str(), mount.path.as_os_str()]);
    files
}

#[test]
fn files_that_the_service_checks_hold_up_no_others() {
    // Far more polls than this test lasts.
    let mount = Mount::with(Options { async_polls: 60, ..fast() }, BACKGROUND);
    copy_all(&mount, 60);
    eventually("all are sent", || mount.emulator.count("upload_complete") == 60);
    assert_eq!(mount.emulator.tree().len(), 0, "none is there yet");
    crash(&mount);
    assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
}

#[test]
fn many_small_files_cost_their_calls_and_no_refusal_at_the_documented_rates() {
    let mount = Mount::new();
    mount.unmount();
    mount.emulator.change(|options| (options.qps, options.async_polls) = (Qps::Documented, 1));
    mount.emulator.forget_requests();
    let output = mount.bedfs("mount").args(BACKGROUND).arg(&mount.path).output().expect("it runs");
    assert!(output.status.success(), "bedfs mount: {}", text(&output.stderr));
    let files = copy_all(&mount, 12);
    all_done(&mount);
    let requests = mount.emulator.requests();
    let refused: Vec<_> = requests.iter().filter(|request| request.status == 429).collect();
    assert!(refused.is_empty(), "{refused:?}");
    for endpoint in ["create", "get_upload_url", "put", "upload_complete"] {
        assert_eq!(mount.emulator.count(endpoint), files.len(), "{endpoint}");
    }
    // The first is checked, and asked about, long before the last is begun.
    let at = |endpoint: &str| requests.iter().position(|request| request.endpoint == endpoint);
    let last = requests.iter().rposition(|request| request.endpoint == "create");
    assert!(at("upload_async_result") < last, "the steps overlap");
    let files: Vec<_> = files.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
    bed_is(&mount, &files);
}
