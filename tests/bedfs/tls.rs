//! TLS: who vouches for a host, what is said where nobody does, and proxies on the way.

use std::fs;
use std::process::{Command, Output};

use crate::command::unmounted;
use crate::forward::Forward;
use crate::front::Front;
use crate::harness::{Mount, run, text};
use crate::journaled::eventually;
use crate::upload::png;

/// A bed behind TLS at `localhost`, and a mount point on which nothing is mounted yet.
fn behind_tls(certified: &str) -> (Front, Mount) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("mnt");
    fs::create_dir(&path).expect("a mount point");
    let (front, emulator) = Front::before_a_bed(certified, dir.path());
    (front, Mount { emulator, dir, path })
}

/// `bedfs mount`, without a proxy.
fn mounting(mount: &Mount, args: &[&str]) -> Command {
    let mut command = without_proxies(mount.bedfs("mount"));
    command.args(["--qps", "unlimited", "--timeout", "2"]).args(args).arg(&mount.path);
    command
}

fn without_proxies(mut command: Command) -> Command {
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
}

fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn output(command: &mut Command) -> Output {
    command.output().expect("bedfs runs")
}

/// What a mount says that comes to nothing.
fn refused(command: &mut Command) -> String {
    let output = output(command);
    assert!(!output.status.success(), "{command:?} mounted");
    text(&output.stderr)
}

#[test]
fn a_host_that_a_named_file_vouches_for_is_trusted_by_every_command() {
    let (front, mount) = behind_tls("localhost");
    let file = front.ca_file.to_str().expect("UTF-8").to_owned();
    let picture = mount.local("a.png", &png(1));
    // As the command line, the environment and the configuration have it.
    let config = mount.local("config.toml", format!("ca-file = '{file}'\n").as_bytes());
    let mut ways = [0, 1, 2].map(|_| mounting(&mount, &[]));
    ways[0].args(["-o", &format!("ca_file={file}")]);
    ways[1].env("BEDFS_CA_FILE", &file);
    ways[2].arg("--config").arg(&config);
    for (at, way) in ways.iter_mut().enumerate() {
        good(&output(way));
        let name = format!("{at}.png");
        run("cp", [&picture, &mount.at(&name)]);
        let fetched = format!("{at}-fetched.png");
        mount.emulator.put(&fetched, name.as_bytes());
        eventually("shown", || fs::read(mount.at(&fetched)).is_ok_and(|it| it == name.as_bytes()));
        good(&output(without_proxies(mount.bedfs("umount")).arg(&mount.path)));
    }
    let mut upload = without_proxies(mount.bedfs("upload"));
    let link = good(&output(upload.args(["--ca-file", &file]).arg(&picture)));
    assert!(link.starts_with("https://localhost:"), "{link}");
    let mut doctor = without_proxies(mount.bedfs("doctor"));
    let told = text(&output(doctor.args(["--ca-file", &file])).stdout);
    assert!(told.contains("ok       credentials"), "{told}");
    // Nothing went past the front.
    assert!(front.connections() > 0);
    assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
}

#[test]
fn a_host_that_nobody_vouches_for_is_told_nothing() {
    let (front, mount) = behind_tls("localhost");
    let said = refused(&mut mounting(&mount, &[]));
    assert!(said.contains("--ca-file") && said.contains("UnknownIssuer"), "{said}");
    assert_eq!((front.connections(), mount.emulator.requests().len()), (0, 0));
}

#[test]
fn a_certificate_of_another_host_is_refused_whoever_vouches_for_it() {
    let (front, mount) = behind_tls("other.example");
    let file = front.ca_file.to_str().expect("UTF-8");
    let said = refused(&mut mounting(&mount, &["--ca-file", file]));
    assert!(said.contains("another host answers"), "{said}");
    assert_eq!(mount.emulator.requests().len(), 0);
}

#[test]
fn a_file_without_certificates_is_told_before_anything_is_asked() {
    let (_front, mount) = behind_tls("localhost");
    let empty = mount.local("empty.pem", b"no certificate\n");
    let missing = mount.dir.path().join("missing.pem");
    for (file, words) in [(&empty, "has no certificate"), (&missing, "cannot read")] {
        let file = file.to_str().expect("UTF-8");
        let refusal = output(&mut mounting(&mount, &["--ca-file", file]));
        let said = text(&refusal.stderr);
        assert_eq!(refusal.status.code(), Some(78), "{said}");
        assert!(said.contains(words) && said.contains(file), "{said}");
        let checked = output(mount.bedfs("config").args(["check", "--ca-file", file]));
        let said = text(&checked.stderr);
        assert!(!checked.status.success() && said.contains(words), "{said}");
    }
    assert_eq!(mount.emulator.requests().len(), 0);
}

#[test]
fn a_login_keeps_the_file_that_it_was_given() {
    let (front, mount) = behind_tls("localhost");
    let file = front.ca_file.to_str().expect("UTF-8");
    let answers = mount.local("answers", b"emulator-id\nemulator-secret\n");
    let mut login = without_proxies(mount.bedfs("login"));
    login.env_remove("BEDFS_CLIENT_ID").env_remove("BEDFS_CLIENT_SECRET");
    login.args(["--ca-file", file]).stdin(fs::File::open(answers).expect("opened"));
    good(&output(&mut login));
    let kept = fs::read_to_string(mount.dir.path().join("config/bedfs/config.toml")).expect("kept");
    assert!(kept.contains(&format!("ca-file = \"{file}\"\n")), "{kept}");
}

/// Uploads a picture and reads another, by way of a mount whose environment says this of proxies.
fn use_by(mount: &Mount, args: &[&str], proxies: &[(&str, &str)]) {
    mount.emulator.put("there.png", b"there");
    good(&output(mounting(mount, args).envs(proxies.iter().copied())));
    run("cp", [mount.local("new.png", &png(7)), mount.at("new.png")]);
    assert_eq!(fs::read(mount.at("there.png")).expect("readable"), b"there");
    good(&output(without_proxies(mount.bedfs("umount")).arg(&mount.path)));
    assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
}

#[test]
fn https_goes_through_a_tunnel_that_shows_the_proxy_nothing_but_the_host() {
    for variable in ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"] {
        let (front, mount) = behind_tls("localhost");
        let file = front.ca_file.to_str().expect("UTF-8");
        let proxy = Forward::start();
        use_by(&mount, &["--ca-file", file], &[(variable, &proxy.url())]);
        let host = mount.emulator.base_url().replace("https://", "");
        let heads = proxy.heads();
        assert!(heads.len() > 1, "{variable}: API and links have connections of their own");
        for head in &heads {
            assert!(head.starts_with(&format!("CONNECT {host} HTTP/1.1\r\n")), "{head}");
        }
        assert_eq!(heads.len(), front.connections(), "nothing went past the proxy");
        let seen = proxy.seen();
        assert!(seen.len() > 1000, "what passed was not looked at");
        for secret in [b"emulator-secret", &b"Bearer "[..], b"open_platform"] {
            assert!(!seen.windows(secret.len()).any(|part| part == secret), "{secret:?} is shown");
        }
    }
}

#[test]
fn http_goes_by_the_proxy_for_the_api_for_storage_and_for_links() {
    let mount = unmounted();
    let proxy = Forward::start();
    use_by(&mount, &[], &[("HTTP_PROXY", &proxy.url())]);
    // Every request of the mount, and nothing else.
    let asked = mount.emulator.requests().len();
    assert!(asked > 5 && proxy.heads().len() == asked, "{} of {asked}", proxy.heads().len());
}

#[test]
fn hosts_of_no_proxy_are_reached_without_one() {
    let mount = unmounted();
    let proxy = Forward::start();
    let url = proxy.url();
    let named = [("HTTP_PROXY", &*url), ("ALL_PROXY", &url), ("NO_PROXY", "10.0.0.1,127.0.0.1")];
    use_by(&mount, &[], &named);
    assert_eq!(proxy.heads(), <[String; 0]>::default());
}

#[test]
fn a_proxy_of_socks_is_one_too_and_variables_may_be_spelled_in_either_case() {
    for (variable, scheme) in
        [("ALL_PROXY", "socks5"), ("all_proxy", "socks5h"), ("http_proxy", "http")]
    {
        let mount = unmounted();
        let proxy = Forward::start();
        let url = proxy.socks().replace("socks5", scheme);
        use_by(&mount, &[], &[(variable, &url)]);
        let host = mount.emulator.base_url().replace("http://", "");
        let heads = proxy.heads();
        assert!(heads.len() > 1, "{variable}: API and links have connections of their own");
        let is_by_it = |head: &String| match scheme {
            "http" => head.contains(&format!("http://{host}/")),
            _ => *head == format!("SOCKS {host}"),
        };
        assert!(heads.iter().all(is_by_it), "{variable}: {heads:?}");
    }
    let (mount, proxy) = (unmounted(), Forward::start());
    use_by(&mount, &[], &[("all_proxy", &proxy.socks()), ("no_proxy", "127.0.0.1")]);
    assert_eq!(proxy.heads(), <[String; 0]>::default());
}
