//! What the service writes down of an account: rows of traffic, logs of hours, paid shares.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::address::Address;

/// What stands in an address as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A row of the direct-link traffic log (`000`). No row tells its time: only what was asked for does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficRow {
    /// Tells the rows of an answer apart. Nobody knows of what it is: of one row for ever, or of a file in
    /// the span of time that was asked for.
    pub unique_id: String,
    /// The name of the file.
    pub file_name: String,
    /// Bytes of the file.
    pub file_size: u64,
    /// The path of the file, as the service spells it.
    pub file_path: String,
    /// The link that was used.
    pub url: String,
    /// 1 the cloud drive, 2 the image bed.
    pub source: i64,
    /// Bytes that were served, and are paid for.
    pub traffic: u64,
}

/// The `fileSource` of the image bed (`000`: "2图床").
pub const IMAGE_BED: i64 = 2;

impl TrafficRow {
    /// The file ID that the link names, where it is built as those of the image bed are:
    /// `…/UID/FILEID.EXT`.
    pub fn file_id(&self) -> Option<String> {
        let address = Address::of(&self.url).filter(|_| self.source == IMAGE_BED)?;
        // Links of the cloud drive end with the file's name, and so may some of the bed.
        let before = address.name.strip_suffix(self.file_name.as_bytes());
        let is_of_name = before.is_some_and(|before| before.is_empty() || before.ends_with(b"/"));
        address.id().filter(|_| !is_of_name).map(str::to_owned)
    }
}

/// A log of one hour, packed, as a row of the listing tells it (`001`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfflineLog {
    /// Tells two logs of one name and hour apart.
    pub id: String,
    /// The beginning of its hour, Unix seconds.
    pub hour: i64,
    /// The name that the service gives it.
    pub name: String,
    /// Bytes, packed.
    pub size: u64,
    /// Where it can be had for some time. It carries a signature: not to be shown.
    pub url: String,
}

/// A share that is paid for (`004`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidShare {
    /// Its number.
    pub id: String,
    /// The last part of its address.
    pub key: String,
    /// What it is called.
    pub name: String,
    /// What it costs, as the service spells it.
    pub price: String,
    /// What it brought, as the service spells it.
    pub earned: String,
    /// When it ends, Unix seconds; 0 where that cannot be read.
    pub expires: i64,
    /// Whether it has ended.
    pub is_expired: bool,
    /// Who may use the owner's traffic: 1 nobody, 2 guests, 3 users who have used up theirs, 4 both.
    pub traffic_switch: i64,
    /// 1 no limit on that traffic, 2 the following.
    pub limit_switch: i64,
    /// Bytes of that traffic at most.
    pub traffic_limit: u64,
    /// Bytes of that traffic so far.
    pub charged: u64,
    /// How often it was looked at.
    pub previews: u64,
    /// How often it was downloaded.
    pub downloads: u64,
    /// How often it was saved into another account.
    pub saves: u64,
    /// The whole row as it came, as JSON.
    pub row: String,
}

impl PaidShare {
    /// The page of the share (`004`: "请将分享码拼接至 <https://www.123pan.com/ps/> 后面访问").
    pub fn url(&self) -> String {
        format!("https://www.123pan.com/ps/{}", utf8_percent_encode(&self.key, PLAIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_id_is_in_links_that_are_built_of_it() {
        let row = |url: &str, source| TrafficRow {
            unique_id: "1".into(),
            file_name: "a b.png".into(),
            file_size: 1,
            file_path: "/a b.png".into(),
            url: url.into(),
            source,
            traffic: 1,
        };
        let id = |url: &str| row(url, 2).file_id();
        assert_eq!(id("https://v/7/abc.png?auth_key=1").as_deref(), Some("abc"));
        assert_eq!(id("https://v/7/abc").as_deref(), Some("abc"));
        assert_eq!(id("https://v/7/a/b+c%3D.png").as_deref(), Some("a/b+c="));
        assert_eq!(id("https://v/7/blog/a%20b.png"), None);
        assert_eq!(id("https://v/7/blog/a b.png"), None);
        assert_eq!(row("https://v/7/abc.png", 1).file_id(), None);
        assert_eq!(row("", 2).file_id(), None);
    }
}
