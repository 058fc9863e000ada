//! What a CDN sends in place of a picture: reads fail and say why, nothing of it is kept as the picture,
//! and who is banned leaves the host alone.

use std::fs;

use bedfs_emulator::{Fault, FaultKind, Instead};

use crate::harness::{fast, noise, xattr};
use crate::semantics::{bed_with, errno, no_violations};

#[test]
fn what_comes_in_place_of_a_picture_is_told_and_never_kept() {
    let kinds = [
        (Instead::Region(200), libc::EACCES, "another region"),
        (Instead::Region(403), libc::EACCES, "another region"),
        (Instead::Video, libc::EIO, "a video in place of the picture"),
        (Instead::Page, libc::EIO, "a page of text comes in place of the picture"),
    ];
    let names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"];
    let mount = bed_with(fast(), &[], |bed| {
        for (seed, name) in (1..).zip(names) {
            bed.put(name, &noise(seed, 5000));
        }
    });
    for ((seed, name), (instead, number, words)) in (1..).zip(names).zip(kinds) {
        mount.emulator.forget_requests();
        mount.emulator.inject(Fault::new("cdn", FaultKind::Instead(instead)).always());
        let path = mount.at(name);
        assert_eq!(errno(fs::read(&path)), number, "{instead:?}");
        let error = xattr(&path, "error").expect("why");
        assert!(error.contains(words) && error.contains(name), "{instead:?}: {error}");
        assert!(mount.log().contains(words), "{instead:?}: {}", mount.log());
        assert_eq!(xattr(&path, "cached").as_deref(), Some("0"), "{instead:?}");
        assert_eq!(mount.emulator.count("detail"), 0, "{instead:?}: another link is of no use");
        mount.emulator.clear_faults();
        assert!(fs::read(&path).expect("read") == noise(seed, 5000), "{instead:?}");
        assert_eq!(xattr(&path, "error"), None, "{instead:?}");
    }
    no_violations(&mount);
}

#[test]
fn who_is_banned_leaves_the_host_alone() {
    for status in [200, 403] {
        let mount = bed_with(fast(), &[], |bed| {
            ["a.jpg", "b.jpg"].into_iter().for_each(|name| drop(bed.put(name, name.as_bytes())));
        });
        let kept = mount.local("kept", b"kept");
        fs::copy(kept, mount.at("kept.jpg")).expect("uploaded");
        assert_eq!(fs::read(mount.at("kept.jpg")).expect("read"), b"kept");
        mount.emulator.forget_requests();
        let banned = FaultKind::Instead(Instead::Banned(status));
        mount.emulator.inject(Fault::new("cdn", banned).always());
        for name in ["a.jpg", "b.jpg", "a.jpg"] {
            assert_eq!(errno(fs::read(mount.at(name))), libc::EACCES, "{status}");
            let error = xattr(&mount.at(name), "error").expect("why");
            assert!(error.contains("banned the address 203.0.113.9"), "{error}");
        }
        assert_eq!(mount.emulator.count("cdn"), 1, "{status}: one answer is enough");
        assert_eq!(mount.emulator.count("detail"), 0, "{status}: the link is not old");
        assert_eq!(fs::read(mount.at("kept.jpg")).expect("it is here"), b"kept");
        no_violations(&mount);
    }
}
