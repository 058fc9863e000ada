//! The developer right of the account, and what is said once it has lapsed.

/// The refusal of an account whose developer right has lapsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lapsed {
    /// The HTTP status.
    pub status: u16,
    /// The envelope's code.
    pub code: i64,
    /// The envelope's message.
    pub message: String,
}

impl Lapsed {
    /// With HTTP status 200 and this code.
    pub fn with_code(code: i64) -> Lapsed {
        Lapsed { status: 200, code, message: "invalid login, please log in again".to_owned() }
    }
}

/// What `developerInfo` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeveloperInfo {
    /// Begin and end of the right, and null once it has lapsed.
    #[default]
    NullWhenOver,
    /// Begin and end of the right, also once it has lapsed.
    Kept,
    /// There is no such field.
    Absent,
}
