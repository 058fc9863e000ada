//! The zone of the service's clock: its days begin, and its times are told, in UTC+8.

use jiff::tz::Offset;

/// UTC+8, wherever this machine is.
pub const SERVICE_ZONE: Offset = Offset::constant(8);
