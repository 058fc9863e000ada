//! Keeping: credentials written into the configuration file, beside what the user wrote there.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, value};

use super::file::PROFILES;
use super::{Error, private};
use crate::types::Secret;

/// The account that is written down.
#[derive(Debug)]
pub struct Credentials<'a> {
    /// The client ID.
    pub client_id: &'a str,
    /// The secret.
    pub client_secret: &'a Secret,
    /// The service's base address, if it is not the usual one.
    pub endpoint: Option<&'a str>,
    /// Certificates that may vouch for it, if it needs them.
    pub ca_file: Option<&'a Path>,
}

/// Writes the credentials into the file, at its top or in a profile; all else in it stays. The file
/// is replaced in one step, and nobody else can read it.
pub fn keep(path: &Path, profile: Option<&str>, account: &Credentials<'_>) -> Result<(), Error> {
    let failed = |source| Error::Unwritable { path: path.to_owned(), source };
    // A link to the file stays one.
    let path: PathBuf = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.map_err(failed)?,
    };
    let mut document: DocumentMut = text.parse().map_err(|_| {
        // What the parser says may quote the secret.
        failed(io::Error::other("what is there is no TOML; bedfs config check tells where"))
    })?;
    let table = match profile {
        None => document.as_table_mut(),
        Some(name) => table_of(&mut document, name)
            .ok_or_else(|| failed(io::Error::other(format!("{PROFILES}.{name} is no table"))))?,
    };
    set(table, "client-id", account.client_id);
    set(table, "client-secret", account.client_secret.reveal());
    if let Some(endpoint) = account.endpoint {
        set(table, "endpoint", endpoint);
    }
    if let Some(path) = account.ca_file {
        set(table, "ca-file", &path.to_string_lossy());
    }
    replace(&path, &document.to_string()).map_err(failed)
}

fn table_of<'a>(document: &'a mut DocumentMut, name: &str) -> Option<&'a mut Table> {
    let mut profiles = Table::new();
    profiles.set_implicit(true);
    let profiles = document.entry(PROFILES).or_insert(Item::Table(profiles)).as_table_mut()?;
    profiles.entry(name).or_insert(toml_edit::table()).as_table_mut()
}

/// Under the spelling that is there already, with the comment behind it.
fn set(table: &mut Table, key: &str, text: &str) {
    let other = key.replace('-', "_");
    let key = if table.contains_key(&other) { &*other } else { key };
    let decor = table.get(key).and_then(Item::as_value).map(|value| value.decor().clone());
    table[key] = value(text);
    if let (Some(value), Some(decor)) = (table[key].as_value_mut(), decor) {
        *value.decor_mut() = decor;
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    private::make(folder).map_err(io::Error::other)?;
    // Of mode 0600, as temporary files are.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_the_user_wrote_stays() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("new/config.toml");
        let secret = Secret::new("se\"cret");
        let account = |client_id| Credentials {
            client_id,
            client_secret: &secret,
            endpoint: None,
            ca_file: None,
        };
        keep(&path, None, &account("me")).expect("kept");
        let text = fs::read_to_string(&path).expect("readable");
        assert_eq!(text, "client-id = \"me\"\nclient-secret = 'se\"cret'\n");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let text = "# mine\nclient_id = 'old' # who\ndir-ttl = 5\n\n[profile.a]\nroot = 'x'\n";
        fs::write(&path, text).expect("written");
        keep(&path, None, &account("me")).expect("kept");
        keep(&path, Some("a"), &account("you")).expect("kept");
        keep(&path, Some("b"), &account("we")).expect("kept");
        let text = fs::read_to_string(&path).expect("readable");
        for words in [
            "# mine\nclient_id = \"me\" # who\ndir-ttl = 5\n",
            "root = 'x'\nclient-id = \"you\"\n",
            "\n[profile.b]\nclient-id = \"we\"",
        ] {
            assert!(text.contains(words), "{words:?} in {text}");
        }
    }
}
