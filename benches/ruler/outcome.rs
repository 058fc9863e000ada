//! [`Outcome`]: what measuring gave, or in one line why it could not be measured.

/// What measuring gave, or why it could not be.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Why something could not be measured, for a reader of the table.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
