//! [`Refusal`]: why a call of the API is not done.

/// Why a call of the API is not done.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    pub(crate) code: i64,
    pub(crate) message: String,
    /// Whether the documents forbid what the client did, so that a correct client is never refused so.
    pub(crate) is_breach: bool,
}

impl Refusal {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Refusal {
        Refusal { status: 200, code, message: message.into(), is_breach: false }
    }

    /// A refusal with the code that says nothing.
    pub(crate) fn generic(message: impl Into<String>) -> Refusal {
        Refusal::new(1, message)
    }

    /// A refusal of what the documents forbid.
    pub(crate) fn breach(message: impl Into<String>) -> Refusal {
        Refusal { is_breach: true, ..Refusal::generic(message) }
    }

    /// An upload is still being checked.
    pub(crate) fn checking() -> Refusal {
        Refusal::new(20103, "文件正在校验中,请间隔1秒后再试")
    }

    /// The token is missing or not live.
    pub(crate) fn unauthorized() -> Refusal {
        Refusal::new(401, "access_token无效")
    }

    pub(crate) fn too_frequent() -> Refusal {
        Refusal { is_breach: true, ..Refusal::new(429, "请求太频繁") }
    }

    pub(crate) fn no_such_file() -> Refusal {
        Refusal::new(5066, "文件不存在")
    }

    pub(crate) fn duplicate_name(name: &str) -> Refusal {
        Refusal::new(5060, format!("文件名重复: {name}"))
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Refusal {
        Refusal::new(500, error.to_string())
    }
}
