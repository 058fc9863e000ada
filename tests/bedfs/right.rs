//! The developer right: where it has lapsed that is named, no token and no upload is lost over it, and
//! all goes on once it is back.

use std::fs;
use std::time::{Duration, Instant};

use bedfs::api::Client;
use bedfs_emulator::{DeveloperInfo, Lapsed};

use crate::api::{World, names, root};
use crate::harness::{Mount, fast, noise, text, wait_until, xattr};
use crate::journaled::BACKGROUND;
use crate::semantics::{bed_with, errno, no_violations};
use crate::ward::{Ward, failed};

const RIGHT: &str = "开发者权益";

fn lapse(world: &World, lapsed: impl Into<Option<Lapsed>>, info: DeveloperInfo) {
    let lapsed = lapsed.into();
    world.emulator.change(|options| {
        (options.answers.lapsed, options.answers.developer_info) = (lapsed, info);
    });
}

/// Lists until that works: a right that has lapsed is tried at growing intervals.
fn listed_in_the_end(world: &World, client: &Client) {
    let begin = Instant::now();
    while let Err(error) = world.run(client.list_all(&root())) {
        assert!(error.lacks_the_right() && begin.elapsed() < Duration::from_secs(60), "{error}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_lapsed_right_is_told_from_bad_credentials_however_it_is_refused() {
    use DeveloperInfo::{Absent, Kept, NullWhenOver};
    let refused = |status, code, message: &str| Lapsed { status, code, message: message.into() };
    let anyhow = [NullWhenOver, Kept, Absent];
    let cases = [
        (Lapsed::with_code(401), &anyhow[..]),
        (refused(401, 401, ""), &anyhow),
        (Lapsed::with_code(1), &anyhow),
        (refused(403, 403, "登录已失效"), &anyhow),
        (refused(200, 5000, "token is invalid"), &anyhow),
        (refused(403, 403, ""), &[NullWhenOver]),
        (refused(200, 1, "请开通开发者权益"), &[NullWhenOver]),
    ];
    let world = World::fast();
    names(&world, &world.client());
    for (lapsed, infos) in cases {
        for info in infos {
            let client = world.client();
            lapse(&world, lapsed.clone(), *info);
            let error = world.run(client.list_all(&root())).expect_err("refused");
            assert!(error.lacks_the_right(), "{lapsed:?} {info:?}: {error}");
            assert!(error.to_string().contains(RIGHT), "{error}");
            // Known now: nobody asks the service again at once.
            world.emulator.forget_requests();
            let error = world.run(client.detail(&root())).expect_err("refused");
            assert!(error.lacks_the_right() && world.emulator.requests().is_empty(), "{error}");
            lapse(&world, None, *info);
            listed_in_the_end(&world, &client);
            assert_eq!(world.emulator.count("access_token"), 0, "{lapsed:?} {info:?}");
        }
    }
}

#[test]
fn what_is_refused_while_the_right_is_held_is_refused_for_another_reason() {
    let world = World::fast();
    for lapsed in [
        Lapsed { status: 403, code: 403, message: "not yours".into() },
        Lapsed { status: 200, code: 5060, message: "文件名重复: login.png".into() },
    ] {
        lapse(&world, lapsed, DeveloperInfo::Kept);
        let error = world.run(world.client().list_all(&root())).expect_err("refused");
        assert!(error.is_refused() && !error.is_denied(), "{error}");
    }
}

#[test]
fn an_old_token_is_renewed_once_for_all_processes_where_the_right_is_not_told() {
    let world = World::fast();
    names(&world, &world.client());
    let file = world.dir.path().join("token.json");
    let kept = fs::read_to_string(&file).expect("kept");
    let mut kept: serde_json::Value = serde_json::from_str(&kept).expect("JSON");
    kept["given"] = "2020-01-01T00:00:00Z".into();
    fs::write(&file, kept.to_string()).expect("written");
    lapse(&world, Lapsed::with_code(401), DeveloperInfo::Absent);
    for _ in 0..3 {
        let error = world.run(world.client().list_all(&root())).expect_err("refused");
        assert!(error.lacks_the_right(), "{error}");
    }
    assert_eq!(world.emulator.count("access_token"), 2);
}

#[test]
fn a_mount_names_the_lapsed_right_keeps_what_waits_and_goes_on_once_it_is_back() {
    let args = [BACKGROUND, &["--dir-ttl", "1"]].concat();
    let mount = bed_with(fast(), &args, |bed| {
        bed.put("old.jpg", &noise(1, 2000));
        bed.put("far/away/b.jpg", &noise(2, 2000));
    });
    assert!(mount.at("old.jpg").exists());
    mount.emulator.forget_requests();
    let lapsed = Lapsed::with_code(401);
    mount.emulator.change(|options| options.answers.lapsed = Some(lapsed));
    fs::write(mount.at("new.jpg"), noise(3, 3000)).expect("acknowledged");
    fs::write(mount.at("old.jpg"), noise(4, 3000)).expect("acknowledged");
    fs::remove_file(mount.at("new.jpg"))
        .and(fs::write(mount.at("new.jpg"), noise(5, 3000)))
        .expect("so");
    assert_eq!(errno(fs::read_dir(mount.at("far"))), libc::EACCES);
    let told = |log: &str| log.lines().filter(|line| line.contains("refuses this account")).count();
    wait_until("the log names it", || told(&mount.log()) > 0);
    let status = text(&mount.bedfs("status").arg(&mount.path).output().expect("runs").stdout);
    assert!(status.contains("warning: ") && status.contains(RIGHT), "{status}");
    let status = fs::read_to_string(mount.at(".bedfs/status.json")).expect("status");
    assert!(status.contains("\"refused\": true"), "{status}");
    let tried = || {
        let refused = mount.emulator.requests();
        refused.iter().filter(|request| request.code == 401).count()
    };
    wait_until("tried some times", || tried() > 3);
    for name in ["new.jpg", "old.jpg"] {
        assert_ne!(xattr(&mount.at(name), "state").as_deref(), Some("failed"), "{name}");
    }
    let upload = mount.bedfs("upload").arg(mount.local("c.png", b"c")).output().expect("runs");
    assert!(text(&upload.stderr).contains(RIGHT), "{}", text(&upload.stderr));
    assert_eq!(told(&mount.log()), 1, "{}", mount.log());
    mount.emulator.change(|options| options.answers.lapsed = None);
    mount.quiet();
    assert_eq!(mount.emulator.read("new.jpg"), Some(noise(5, 3000)));
    assert_eq!(mount.emulator.read("old.jpg"), Some(noise(4, 3000)));
    assert_eq!(fs::read_dir(mount.at("far")).expect("listed").count(), 1);
    assert_eq!(mount.emulator.count("access_token"), 0);
    assert!(mount.log().contains("takes the calls of this account again"), "{}", mount.log());
    no_violations(&mount);
}

#[test]
fn a_mount_without_the_right_is_not_begun_and_one_with_little_left_of_it_says_so() {
    let mount = Mount::with(fast(), &[]);
    mount.unmount();
    assert!(!mount.log().contains(RIGHT), "{}", mount.log());
    mount.emulator.change(|options| options.answers.lapsed = Some(Lapsed::with_code(1)));
    let refused = mount.mount(&[]);
    assert!(!refused.status.success() && text(&refused.stderr).contains(RIGHT));
    mount.emulator.change(|options| {
        options.answers.lapsed = None;
        options.right_life = Duration::from_secs(3 * 24 * 3600 + 60);
    });
    assert!(mount.mount(&[]).status.success());
    assert!(mount.log().contains("in 3 days"), "{}", mount.log());
    let status = text(&mount.bedfs("status").arg(&mount.path).output().expect("runs").stdout);
    assert!(status.contains("in 3 days"), "{status}");
}

#[test]
fn the_doctor_tells_how_it_is_with_the_right() {
    let ward = Ward::new(|_| {});
    let said = text(&ward.doctor(&[]).stdout);
    assert!(said.contains("ok       developer right: "), "{said}");
    ward.mount.emulator.change(|options| options.right_life = Duration::from_secs(3600));
    let said = text(&ward.doctor(&[]).stdout);
    assert!(said.contains("warning  developer right: ") && said.contains("a day"), "{said}");
    let lapsed = Lapsed::with_code(401);
    ward.mount.emulator.change(|options| options.answers.lapsed = Some(lapsed));
    let said = failed(&ward.doctor(&[]));
    assert!(said.contains("ok       credentials: "), "{said}");
    assert!(said.contains("failed   developer right: ") && said.contains(RIGHT), "{said}");
    assert!(!said.contains("ask 123pan whether this account has an image bed"), "{said}");
}
