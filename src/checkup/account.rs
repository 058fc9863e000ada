//! The account: whether the service is there, takes the credentials and lists the bed, and whether
//! its clock is that of this machine.

use super::Check;
use crate::api::{Client, Error};
use crate::types::FileId;

/// A clock may be so many seconds off. Tokens are renewed ten minutes before they end.
const CLOCK: i64 = 120;

pub(super) async fn checks(client: &Client) -> (Vec<Check>, Option<Vec<String>>) {
    let mut checks = Vec::new();
    if let Err(error) = client.check_credentials().await {
        checks.push(refused("credentials", &error));
        checks.extend(clock(client));
        return (checks, None);
    }
    let account = client.account().await;
    if let Err(error) = &account
        && (error.is_unauthorized() || error.is_transient())
    {
        checks.push(refused("credentials", error));
        checks.extend(clock(client));
        return (checks, None);
    }
    checks.push(Check::ok("credentials", "the service takes them"));
    checks.extend(clock(client));
    checks.push(match account {
        Ok(account) => {
            let (used, total) = (account.space_used, account.space_total);
            let seen = format!(
                "{used} of {total} bytes used, {} bytes of direct-link traffic left",
                account.traffic_left
            );
            match (used >= total, account.traffic_left) {
                (true, _) => Check::warning("account", seen, "make room, or uploads are refused"),
                (_, 0) => Check::warning("account", seen, "buy traffic, or links do not work"),
                _ => Check::ok("account", seen),
            }
        }
        Err(error) => Check::warning(
            "account",
            format!("its figures cannot be asked for: {error}"),
            "nothing to do: only df and the account attributes need them",
        ),
    });
    let listed = client.list_all(&FileId::root()).await;
    checks.extend(right(client));
    match listed {
        Ok(rows) => {
            checks.push(Check::ok("image bed", format!("{} entries in its root", rows.len())));
            (checks, Some(rows.into_iter().map(|row| row.name.into()).collect()))
        }
        Err(error) => {
            let mend = match () {
                () if error.lacks_the_right() => BUY,
                () if error.is_transient() => "try again later",
                () => "ask 123pan whether this account has an image bed",
            };
            checks.push(Check::failed("image bed", error.to_string(), mend));
            (checks, None)
        }
    }
}

/// What mends the lack of the right.
const BUY: &str = "buy the developer right (开发者权益) at 123pan: a mount then goes on by itself";

/// Nothing where the service neither tells the right nor refuses what wants it.
fn right(client: &Client) -> Option<Check> {
    let about = "developer right";
    let (right, is_refused) = client.developer_right();
    match (right.warning(jiff::Timestamp::now().as_second()), right.end()) {
        (warning, _) if is_refused => {
            let refused =
                || "the service takes the credentials, but not this account's calls".into();
            Some(Check::failed(about, warning.unwrap_or_else(refused), BUY))
        }
        (Some(warning), _) => Some(Check::warning(about, warning, "see to it at 123pan")),
        (None, Some(_)) => Some(Check::ok(about, right.to_string())),
        (None, None) => None,
    }
}

fn refused(about: &'static str, error: &Error) -> Check {
    let mend = match error.is_unauthorized() {
        true => "set the client ID and secret that 123pan gave you (see README.md)",
        false => "try again later; is the network up, and BEDFS_ENDPOINT right?",
    };
    Check::failed(if error.is_unauthorized() { about } else { "service" }, error.to_string(), mend)
}

/// Nothing where no answer told the time.
fn clock(client: &Client) -> Option<Check> {
    let ahead = client.clock()?.as_secs();
    let off = ahead.abs();
    if off <= CLOCK {
        return Some(Check::ok("clock", "that of the service"));
    }
    let way = if ahead > 0 { "behind" } else { "ahead of" };
    Some(Check::warning(
        "clock",
        format!("{off} s {way} the service's"),
        "set it (timedatectl set-ntp true): times of pictures and the end of tokens hang on it",
    ))
}
