//! What an operator asks of the order of messages itself; what answers of a
//! store promise is said in its section.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::compose::{Mode, Protocol};

/// What deliveries promise, beyond the classic properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deliveries {
    /// Nothing.
    #[default]
    Ordered,
    /// What is multicast after a message was delivered anywhere never comes before it.
    GlobalOrder,
}

impl Deliveries {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    pub(super) fn is_usual(&self) -> bool {
        *self == Deliveries::Ordered
    }

    pub(super) fn check(self, protocol: Protocol) -> Result<(), ConfigError> {
        if self.is_usual() || protocol.nature().modes.contains(&Mode::GlobalOrder) {
            return Ok(());
        }
        Err(ConfigError(format!(
            "ordering = \"global-order\": {protocol} does not offer that; take protocol = \"primcast\""
        )))
    }
}
