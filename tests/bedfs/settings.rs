//! The settings: who is stronger, several accounts, what is wrong is told, and credentials are kept.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bedfs_emulator::{Emulator, Options};

use crate::command::unmounted;
use crate::harness::{BEDFS, Mount, bedfs, fast, in_place_of, run, text};
use crate::options::started;

/// A home with a configuration file, and an environment that says nothing.
struct Home(tempfile::TempDir);

impl Home {
    fn new(text: &str) -> Self {
        let home = Self(tempfile::tempdir().expect("a temporary folder"));
        fs::create_dir_all(home.file().parent().expect("a folder")).expect("a folder");
        fs::write(home.file(), text).expect("written");
        fs::set_permissions(home.file(), fs::Permissions::from_mode(0o600)).expect("private");
        home
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("config/bedfs/config.toml")
    }

    fn bedfs(&self, args: &[&str]) -> Command {
        let mut command = bedfs(self.0.path(), "unused");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BEDFS_") {
                command.env_remove(name);
            }
        }
        for name in ["BEDFS_ENDPOINT", "BEDFS_CLIENT_ID", "BEDFS_CLIENT_SECRET"] {
            command.env_remove(name);
        }
        command.args(args);
        command
    }

    fn read(&self) -> String {
        fs::read_to_string(self.file()).expect("readable")
    }
}

fn output(command: &mut Command) -> Output {
    command.output().expect("bedfs runs")
}

fn good(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// What a command says that must fail, as one that need not be tried again.
fn refused(command: &mut Command) -> String {
    let output = output(command);
    assert_eq!(output.status.code(), Some(78), "{command:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

/// Every option with four values, in the words in which they are told.
const ALL: &[(&str, [&str; 4])] = &[
    ("endpoint", ["http://a", "http://b", "http://c", "http://d"]),
    ("ca-file", ["/a", "/b", "/c", "/d"]),
    ("client-id", ["ida", "idb", "idc", "idd"]),
    ("read-only", ["true", "false", "true", "false"]),
    ("no-exec", ["true", "false", "true", "false"]),
    ("allow-other", ["true", "false", "true", "false"]),
    ("uid", ["1", "2", "3", "4"]),
    ("gid", ["1", "2", "3", "4"]),
    ("umask", ["077", "027", "022", "002"]),
    ("root", ["a", "b/c", "d", "e"]),
    ("upload", ["background", "close", "background", "close"]),
    ("dir-ttl", ["1", "2", "3", "4"]),
    ("timeout", ["1", "2", "3", "4"]),
    ("service-lag", ["1", "2", "3", "4"]),
    ("cache-size", ["1M", "2M", "3M", "4M"]),
    ("qps", ["list=1", "list=2", "list=3,create=4", "unlimited"]),
    ("local-names", ["*.a", "*.b", "*.c,*.d", "*.e"]),
    ("archive-traffic", ["true", "false", "true", "false"]),
    ("control", ["hidden", "visible", "off", "hidden"]),
    ("log-level", ["info", "debug", "warn,fs=trace", "error"]),
    ("log-file", ["/a", "/b", "/c", "/d"]),
];

#[test]
fn every_option_is_taken_from_the_file_its_profile_the_environment_and_the_command_line() {
    let top = "client-secret = 'hush'\n";
    for (key, [weakest, weak, strong, strongest]) in ALL {
        // A secret beside another client ID is another account's: this one has its own.
        let home = Home::new(&format!("{key} = '{weakest}'\n{top}[profile.p]\n{key} = '{weak}'\n"));
        let variable = format!("BEDFS_{}", key.replace('-', "_").to_uppercase());
        let typed = format!("--{key}={strongest}");
        let said = |profile: bool, environment: bool, line: bool| {
            let mut command = home.bedfs(&["config", "check"]);
            if profile {
                command.env("BEDFS_PROFILE", "p");
            }
            if environment {
                command.env(&variable, strong);
            }
            if line {
                command.arg(&typed);
            }
            let said = text(&output(&mut command).stdout);
            assert!(!said.contains("hush"), "{said}");
            let line = said.lines().find(|line| line.starts_with(&format!("{key} ")));
            line.unwrap_or_else(|| panic!("{key} is not told: {said}")).to_owned()
        };
        let file = home.file().display().to_string();
        for (line, value, place) in [
            (said(false, false, false), weakest, format!("line 1 of {file}")),
            (said(true, false, false), weak, format!("line 4 of {file}, [profile.p]")),
            (said(true, true, false), strong, variable.clone()),
            (said(true, true, true), strongest, format!("--{key}")),
        ] {
            let rest = line.strip_prefix(key).expect("the key").trim_start();
            let rest = rest.strip_prefix(value).unwrap_or_else(|| panic!("not {value}: {line}"));
            assert_eq!(rest.trim(), place, "{line}");
        }
    }
    let page = run(BEDFS, ["mount", "--help"]);
    let words = page.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    let options = words.map(|word| word.trim_end_matches(['.', ',', ']', ')']));
    let options = options.map(|word| word.split(['=', '[']).next().unwrap_or_default());
    let known = |option: &&str| {
        ALL.iter().any(|(key, _)| key == option)
            || ["foreground", "fsname", "config", "profile", "help", "version"].contains(option)
    };
    assert_eq!(options.filter(|option| !known(option)).collect::<Vec<_>>(), <[&str; 0]>::default());
}

#[test]
fn a_mount_is_as_the_strongest_says() {
    let mount = unmounted();
    mount.emulator.put("a.jpg", b"a");
    let text = "umask = '077'\n[profile.p]\numask = '027'\n";
    let file = mount.local("config.toml", text.as_bytes());
    let mode = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = mount.bedfs("mount");
        command.env("BEDFS_CONFIG", &file).envs(variables.iter().copied());
        started(&mount, command.args(args).arg(&mount.path));
        let mode = fs::metadata(mount.at("a.jpg")).expect("metadata").permissions().mode();
        mount.unmount();
        mode & 0o777
    };
    assert_eq!(mode(&[], &[]), 0o600);
    assert_eq!(mode(&["-o", "profile=p"], &[]), 0o640);
    assert_eq!(mode(&["--profile", "p"], &[("BEDFS_UMASK", "057")]), 0o620);
    assert_eq!(mode(&["--umask=022"], &[("BEDFS_UMASK", "057"), ("BEDFS_PROFILE", "p")]), 0o644);
}

#[test]
fn two_accounts_are_mounted_side_by_side_by_their_profiles() {
    let account = |id: &str| {
        let options = Options { client_id: id.to_owned(), ..fast() };
        let emulator = Emulator::start(options).expect("the emulator starts");
        emulator.put(&format!("{id}.jpg"), id.as_bytes());
        emulator
    };
    let (one, two) = (account("one"), account("two"));
    let table = |name: &str, url: &str| {
        format!(
            "[profile.{name}]\nclient-id = '{name}'\nclient-secret = 'emulator-secret'\nendpoint = '{url}'\n"
        )
    };
    let home = Home::new(&format!(
        "default-profile = 'two'\nqps = 'unlimited'\n{}{}",
        table("one", &one.base_url()),
        table("two", &two.base_url())
    ));
    let points: Vec<PathBuf> = ["one", "two"].map(|name| home.0.path().join(name)).into();
    for (point, args) in points.iter().zip([&["--profile", "one"][..], &[]]) {
        fs::create_dir(point).expect("a mount point");
        good(home.bedfs(&["mount"]).args(args).arg(point));
    }
    for (point, name) in points.iter().zip(["one", "two"]) {
        assert_eq!(run("ls", [point]), format!("{name}.jpg\n"));
        good(home.bedfs(&["umount"]).arg(point));
    }
    assert_eq!(
        good(&mut home.bedfs(&["link", "--profile", "one", "bed:/one.jpg"])).lines().count(),
        1
    );
    let said = refused(home.bedfs(&["mount", "--profile", "tow"]).arg(&points[0]));
    assert!(said.contains("no profile \"tow\"; did you mean two?"), "{said}");
}

#[test]
fn a_secret_is_not_sent_for_another_account() {
    let mount = unmounted();
    let file = "client-id = 'mine'\nclient-secret = 'hush'\n[profile.p]\nclient-id = 'other'\n";
    let home = Home::new(file);
    let url = mount.emulator.base_url();
    let mut by_profile = home.bedfs(&["mount", "--profile", "p", "--endpoint", &url]);
    let mut by_environment = home.bedfs(&["mount", "--endpoint", &url]);
    by_environment.env("BEDFS_CLIENT_ID", "another");
    for command in [&mut by_profile, &mut by_environment] {
        let said = refused(command.arg(&mount.path));
        assert!(said.contains("no client secret") && said.contains("bedfs login"), "{said}");
    }
    assert_eq!(mount.emulator.requests().len(), 0);
    let output = output(&mut home.bedfs(&["config", "check", "--profile", "p"]));
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!output.status.success() && said.contains("belongs to another client ID"), "{said}");
    assert!(!said.contains("hush"), "{said}");
}

#[test]
fn what_cannot_be_printed_is_an_error_in_one_line() {
    let home = Home::new("client-id = 'me'\nclient-secret = 'hush'\n");
    let full = fs::File::options().write(true).open("/dev/full").expect("opened");
    let output = home.bedfs(&["config", "check"]).stdout(full).output().expect("it runs");
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.starts_with("bedfs: "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_was_probably_meant() {
    let home = Home::new("dir-tll = 5\nclient-secret = 'hush'\numask = '999'\n");
    let said = refused(&mut home.bedfs(&["config", "check"]));
    for words in [
        "line 1: there is no key dir-tll; did you mean dir-ttl?",
        "line 3: umask: \"999\" is no umask",
    ] {
        assert!(said.contains(words) && !said.contains("hush"), "{said}");
    }
    let home = Home::new("client-id = 'me'\nclient-secret = 'hush'\n");
    let said = refused(home.bedfs(&["config", "check"]).env("BEDFS_DIR_TTL", "soon"));
    assert!(said.contains("BEDFS_DIR_TTL is wrong: \"soon\""), "{said}");
    let typed = output(&mut home.bedfs(&["config", "check", "--dir-tll=5"]));
    let said = text(&typed.stderr);
    assert!(typed.status.code() == Some(2) && said.contains("did you mean --dir-ttl?"), "{said}");
    for (command, meant) in [("traffik", "traffic"), ("statsu", "status")] {
        let said = text(&output(&mut home.bedfs(&[command])).stderr);
        assert!(said.contains(&format!("did you mean {meant}?")), "{said}");
    }
    let noted = output(home.bedfs(&["config", "check"]).env("BEDFS_DIR_TLL", "5"));
    let said = text(&noted.stderr);
    assert!(noted.status.success() && said.contains("did you mean BEDFS_DIR_TTL?"), "{said}");
    for (key, value) in [("--qps", "lst=1"), ("--local-names", "[")] {
        let wrong = output(&mut home.bedfs(&["config", "check", key, value]));
        assert_eq!(wrong.status.code(), Some(1), "{key}: {}", text(&wrong.stderr));
    }
}

/// `bedfs login` that reads its answers from stdin.
fn login(home: &Home, mount: &Mount, args: &[&str], answers: &str) -> Output {
    let mut command = home.bedfs(&["login", "--endpoint", &mount.emulator.base_url()]);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut login = command.spawn().expect("bedfs runs");
    let mut stdin = login.stdin.take().expect("piped");
    stdin.write_all(answers.as_bytes()).expect("written");
    drop(stdin);
    login.wait_with_output().expect("an end")
}

#[test]
fn a_login_keeps_what_the_service_takes_and_nothing_else() {
    let mount = unmounted();
    let home = Home::new("# mine\ndir-ttl = 7\n");
    let wrong = login(&home, &mount, &[], "emulator-id\nwrong\n");
    assert!(!wrong.status.success() && home.read() == "# mine\ndir-ttl = 7\n");
    assert!(!text(&wrong.stderr).contains("wrong\n"), "{}", text(&wrong.stderr));
    for args in [&[][..], &["--profile", "new", "--client-id", "emulator-id"]] {
        let answers =
            if args.is_empty() { "emulator-id\nemulator-secret\n" } else { "emulator-secret\n" };
        let done = login(&home, &mount, args, answers);
        let said = text(&done.stdout) + &text(&done.stderr);
        assert!(done.status.success() && !said.contains("emulator-secret"), "{said}");
    }
    let file = home.read();
    assert!(file.starts_with("# mine\ndir-ttl = 7\nclient-id = \"emulator-id\"\n"), "{file}");
    assert!(file.contains("\n[profile.new]\n"), "{file}");
    let mode = fs::metadata(home.file()).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = run("find", [home.0.path(), Path::new("-type"), Path::new("f")]);
    assert_eq!(kept.lines().count(), 1, "{kept}");
    good(home.bedfs(&["mount", "--profile", "new"]).arg(&mount.path));
    good(home.bedfs(&["umount"]).arg(&mount.path));
}

#[test]
fn a_login_at_a_terminal_does_not_show_the_secret() {
    let mount = unmounted();
    let home = Home::new("");
    let script = "import os,pty,sys,time\n\
        pid,fd=pty.fork()\n\
        if pid==0: os.execv(sys.argv[1],sys.argv[1:])\n\
        seen=b''\n\
        def wait(words):\n\
        \x20global seen\n\
        \x20while words not in seen: seen+=os.read(fd,1000)\n\
        wait(b'Client ID: '); os.write(fd,b'emulator-id\\n')\n\
        wait(b'Client secret'); time.sleep(0.5); os.write(fd,b'emulator-secret\\n')\n\
        wait(b'kept in')\n\
        sys.stdout.buffer.write(seen)\n\
        sys.exit(os.waitpid(pid,0)[1])\n";
    let login = home.bedfs(&["login", "--endpoint", &mount.emulator.base_url()]);
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(BEDFS).args(login.get_args());
    in_place_of(&login, &mut python);
    for name in ["BEDFS_ENDPOINT", "BEDFS_CLIENT_ID", "BEDFS_CLIENT_SECRET", "BEDFS_CONFIG"] {
        python.env_remove(name);
    }
    let seen = good(&mut python);
    assert!(seen.contains("emulator-id") && !seen.contains("emulator-secret"), "{seen}");
    assert!(home.read().contains("emulator-secret"));
}
