//! The reins: what is to be had of an adapter when the session has it.

use std::sync::{Arc, OnceLock};

use super::device::Device;
use super::gate::Gate;
use super::offer::Offer;

/// The reins of one adapter.
#[derive(Clone, Debug)]
pub struct Reins {
    /// Holds requests back.
    pub gate: Arc<Gate>,
    /// What the kernel offered; there since the session began.
    pub offer: Arc<OnceLock<Offer>>,
    /// The session's device, to be told as soon as there is one.
    pub device: Arc<OnceLock<Arc<Device>>>,
}
