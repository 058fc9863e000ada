//! The file: `config.toml`, whose top holds for all profiles, and its profiles.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml_edit::{Document, Item, Table, Value};

use super::Error;
use super::layer::{Layer, all_keys};
use super::nearest::did_you_mean;

/// The table of the profiles, and the key that names the usual one.
pub(super) const PROFILES: &str = "profile";
const DEFAULT_PROFILE: &str = "default-profile";

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) top: Layer,
    pub(super) profiles: Vec<(String, Layer)>,
    /// The profile that is meant where none is named, and where that stands.
    pub(super) default_profile: Option<(String, String)>,
}

impl Sheet {
    /// The layer of a profile.
    pub(super) fn profile(&self, name: &str, path: &Path) -> Result<&Layer, Error> {
        let found = self.profiles.iter().find(|(known, _)| known == name);
        let missing = || {
            let names = || self.profiles.iter().map(|(name, _)| &**name);
            let hint = match (did_you_mean(name, names()), names().collect::<Vec<_>>().join(", ")) {
                (hint, _) if !hint.is_empty() => hint,
                (_, all) if all.is_empty() => {
                    format!("; bedfs login --profile {name} makes it")
                }
                (_, all) => format!("; there are: {all}"),
            };
            let message = format!("there is no profile {name:?}{hint}");
            Error::Wrong { path: path.to_owned(), message }
        };
        found.map(|(_, layer)| layer).ok_or_else(missing)
    }
}

/// Reads the file. One that need not exist and does not says nothing.
pub(super) fn read(path: &Path, must_exist: bool) -> Result<Sheet, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => String::new(),
        Err(source) => return Err(Error::Unreadable { path: path.to_owned(), source }),
    };
    let sheet = parse(&text, path)?;
    if sheet.top.has_secret() || sheet.profiles.iter().any(|(_, layer)| layer.has_secret()) {
        warn_if_shared(path);
    }
    Ok(sheet)
}

/// Reads a text that stands in the file `path`.
pub(super) fn parse(text: &str, path: &Path) -> Result<Sheet, Error> {
    let wrong = |message| Error::Wrong { path: path.to_owned(), message };
    let document = Document::parse(text).map_err(|error| {
        // Not the line that the parser quotes: it may hold the secret.
        wrong(about(text, error.span(), error.message()))
    })?;
    let mut reader = Reader { text, path, sheet: Sheet::default(), wrong: Vec::new() };
    reader.top(document.as_table());
    let Reader { sheet, wrong: problems, .. } = reader;
    if !problems.is_empty() {
        return Err(wrong(problems.join("; ")));
    }
    Ok(sheet)
}

/// A file that is being read.
struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    sheet: Sheet,
    wrong: Vec<String>,
}

impl Reader<'_> {
    fn top(&mut self, table: &Table) {
        let mut top = Layer::default();
        for (name, item) in table {
            let key = name.replace('_', "-");
            match (&*key, item) {
                (PROFILES, Item::Table(profiles)) => self.profiles(profiles),
                (DEFAULT_PROFILE, Item::Value(Value::String(text))) => {
                    let place = self.place(table, name, "");
                    self.sheet.default_profile = Some((text.value().clone(), place));
                }
                _ => self.entry(&mut top, table, name, item, ""),
            }
        }
        self.sheet.top = top;
    }

    fn profiles(&mut self, profiles: &Table) {
        for (name, item) in profiles {
            let Item::Table(table) = item else {
                let message = format!("{name}: a profile is a table, [{PROFILES}.{name}]");
                self.wrong.push(self.at(profiles, name, &message));
                continue;
            };
            let mut layer = Layer::default();
            for (key, item) in table {
                self.entry(&mut layer, table, key, item, name);
            }
            self.sheet.profiles.push((name.to_owned(), layer));
        }
    }

    /// `dir_ttl` and `dir-ttl` are the same key.
    fn entry(&mut self, layer: &mut Layer, table: &Table, name: &str, item: &Item, profile: &str) {
        let key = name.replace('_', "-");
        let known = all_keys();
        let done = match known.contains(&key) {
            true => match value_text(&key, item) {
                Ok(value) => layer.set(&key, value, self.place(table, name, profile)),
                Err(message) => Err(message),
            }
            .map_err(|message| format!("{name}: {message}")),
            false => {
                let choices = [DEFAULT_PROFILE, PROFILES];
                let choices = choices.into_iter().filter(|_| profile.is_empty());
                let known = known.iter().map(String::as_str).chain(choices);
                let hint = did_you_mean(&key, known);
                Err(format!("there is no key {name}{hint}"))
            }
        };
        if let Err(message) = done {
            self.wrong.push(self.at(table, name, &message));
        }
    }

    /// Where a key stands, in words.
    fn place(&self, table: &Table, name: &str, profile: &str) -> String {
        let place = self.at(table, name, &self.path.display().to_string());
        let place = place.replacen(": ", " of ", 1);
        if profile.is_empty() { place } else { format!("{place}, [{PROFILES}.{profile}]") }
    }

    fn at(&self, table: &Table, name: &str, message: &str) -> String {
        let span = table.get_key_value(name).and_then(|(key, _)| key.span());
        about(self.text, span, message)
    }
}

/// A message and the line that it is about.
fn about(text: &str, span: Option<std::ops::Range<usize>>, message: &str) -> String {
    // Of what the parser says the first line will do.
    let message = message.lines().next().unwrap_or_default();
    match span.and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message.to_owned(),
    }
}

/// A value in the words of the command line.
fn value_text(key: &str, item: &Item) -> Result<String, String> {
    match item {
        Item::Value(Value::String(text)) => Ok(text.value().clone()),
        // TOML has no number that begins with 0: what is written is not what was meant.
        Item::Value(Value::Integer(_)) if key == "umask" => {
            Err("octal digits in quotes are wanted, as \"022\"".to_owned())
        }
        Item::Value(Value::Integer(number)) => Ok(number.value().to_string()),
        Item::Value(Value::Boolean(truth)) => Ok(truth.value().to_string()),
        Item::Value(Value::Array(texts)) if ["local-names", "allow-origin"].contains(&key) => {
            let texts: Option<Vec<&str>> = texts.iter().map(Value::as_str).collect();
            texts.map(|texts| texts.join(",")).ok_or("a list of texts is wanted".to_owned())
        }
        _ => Err("a text, a number, true or false is wanted".to_owned()),
    }
}

fn warn_if_shared(path: &Path) {
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode()).unwrap_or(0);
    if mode & 0o077 != 0 {
        let path = path.display();
        eprintln!("bedfs: warning: others can read the secret in {path}; run: chmod 600 '{path}'");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Control, Wishes};

    fn file(text: &str) -> Result<Sheet, Error> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("config.toml");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        read(&path, true)
    }

    #[test]
    fn the_file_says_the_same_as_the_options() {
        let sheet = file(
            "client_id = 'me'\nclient-secret = 'no one'\nserve-secret = 'psst'\ndir_ttl = 5\ncache-size = '1M'\numask = '077'\n\
             control = 'visible'\nlog-level = 'debug'\nread-only = true\nlocal-names = ['*~', '*.x']",
        )
        .expect("a right file");
        let Layer { client_id, client_secret, serve_secret, wishes, .. } = sheet.top;
        assert_eq!(client_id.as_deref(), Some("me"));
        assert_eq!(format!("{client_secret:?}"), "Some(***)");
        assert!(serve_secret.is_some_and(|secret| secret.reveal() == "psst"));
        assert_eq!(wishes.dir_ttl(), Duration::from_secs(5));
        assert_eq!((wishes.cache_size(), wishes.umask), (1 << 20, Some(0o77)));
        assert_eq!((wishes.control, wishes.read_only), (Some(Control::Visible), Some(true)));
        assert_eq!(wishes.local_names.as_deref(), Some("*~,*.x"));
    }

    #[test]
    fn what_is_wrong_in_the_file_is_told_without_the_secret() {
        for (text, words) in [
            ("client-secret = 'hush\n", "line 1"),
            ("client-secret = 'hush'\nnonsense = 1", "line 2: there is no key nonsense"),
            ("client-secret = ['hush']", "line 1: client-secret: a text"),
            ("\ndir-ttl = 'long'", "line 2: dir-ttl: \"long\""),
            ("dir-ttl = 1\ndir_ttl = 2", "line 2: dir_ttl: is there twice"),
            ("dir_tll = 1", "did you mean dir-ttl?"),
            ("umask = 22", "umask: octal digits in quotes"),
            ("read-only = 'perhaps'", "\"perhaps\" is none of true, false"),
            ("[profile.a]\nprofile = 1", "line 2: there is no key profile"),
            ("[profile]\na = 1", "line 2: a: a profile is a table"),
            ("uid = -1\ngid = 'x'", "line 2: gid"),
        ] {
            let message = file(text).expect_err(text).to_string();
            assert!(message.contains("config.toml") && !message.contains("hush"), "{message}");
            assert!(message.contains(words), "{text:?}: {message}");
        }
    }

    #[test]
    fn profiles_are_found_by_name() {
        let text = "default-profile = 'b'\ndir-ttl = 1\n[profile.a]\ndir-ttl = 2\n[profile.b]\n";
        let sheet = file(text).expect("a right file");
        assert_eq!(sheet.default_profile.as_ref().map(|(name, _)| &**name), Some("b"));
        let layer = sheet.profile("a", Path::new("/f")).expect("a profile");
        assert_eq!(layer.wishes.dir_ttl, Some(2));
        assert!(layer.place("dir-ttl").starts_with("line 4 of "), "{}", layer.place("dir-ttl"));
        let missing = sheet.profile("aa", Path::new("/f")).expect_err("no profile").to_string();
        assert!(missing.contains("did you mean a?"), "{missing}");
        let Wishes { dir_ttl, .. } = sheet.top.wishes;
        assert_eq!(dir_ttl, Some(1));
    }
}
