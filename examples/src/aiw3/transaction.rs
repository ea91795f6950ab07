//! Transactions on the blockchain that fail.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TO_USER;
use super::fields::user_id;
use super::topics::OPERATIONS;

/// Why a transaction failed: the guide's closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    InsufficientSolBalance,
    NetworkCongestion,
    InvalidWalletAddress,
    NftRequirementsNotMet,
    DuplicateTransaction,
}

impl ErrorCode {
    /// Whether another try may go through.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::InsufficientSolBalance | Self::NetworkCongestion => true,
            Self::InvalidWalletAddress
            | Self::NftRequirementsNotMet
            | Self::DuplicateTransaction => false,
        }
    }
}

/// A user's transaction failed.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "TransactionFailed")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct Failed {
    pub transaction_id: String,
    pub transaction_type: String,
    pub nft_level: u64,
    pub wallet_address: String,
    pub error_code: ErrorCode,
    pub error_message: String,
    pub technical_error: String,
    pub failed_at: Timestamp,
    #[garde(custom(agrees_with(self.error_code)))]
    pub retryable: bool,
    pub retry_count: u64,
    pub max_retries: u64,
    pub next_retry_at: Timestamp,
    pub required_sol_balance: f64,
    pub current_sol_balance: f64,
    pub estimated_gas_cost: f64,
}

impl TypedEvent for Failed {
    const NAME: &'static str = "transaction_failed";
    const FAMILY: &'static str = "nft";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// Whether a transaction can be retried is for its error code to say.
fn agrees_with(code: ErrorCode) -> impl FnOnce(&bool, &()) -> garde::Result {
    move |retryable, ()| match (*retryable == code.is_retryable(), *retryable) {
        (true, _) => Ok(()),
        (false, true) => Err(garde::Error::new(
            "is true, and errors of this code are final",
        )),
        (false, false) => Err(garde::Error::new(
            "is false, and errors of this code may pass",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn retryable_is_what_the_error_code_says() {
        let codes = [
            ("INSUFFICIENT_SOL_BALANCE", true),
            ("NETWORK_CONGESTION", true),
            ("INVALID_WALLET_ADDRESS", false),
            ("NFT_REQUIREMENTS_NOT_MET", false),
            ("DUPLICATE_TRANSACTION", false),
        ];
        for (name, retryable) in codes {
            let code = serde_json::from_value::<ErrorCode>(json!(name)).unwrap();
            assert_eq!(code.is_retryable(), retryable, "{name}");
            assert!(agrees_with(code)(&retryable, &()).is_ok(), "{name}");
            assert!(agrees_with(code)(&!retryable, &()).is_err(), "{name}");
        }
        assert!(serde_json::from_value::<ErrorCode>(json!("OUT_OF_LUCK")).is_err());
    }
}
