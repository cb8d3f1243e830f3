//! What a knob is at, in a form that can be compared.

use super::cpus::Cpus;
use crate::data::Value;

/// A value, in the unit of requests.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Amount {
    /// A size.
    Of(f64),
    /// No limit.
    Unlimited,
    /// CPUs; none means those of the parent.
    Cpus(Cpus),
    /// One of several names.
    Choice(String),
    /// On or off.
    Flag(bool),
}

/// The word for "no limit".
pub(super) const MAX: &str = "max";

impl Amount {
    /// A size or "max", as requests have it.
    ///
    /// # Errors
    /// When it is neither.
    pub(super) fn limit(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) if text == MAX => Ok(Self::Unlimited),
            other => Self::size(other),
        }
    }

    /// A size, as requests have it.
    ///
    /// # Errors
    /// When it is none, or not positive.
    pub(super) fn size(value: &Value) -> Result<Self, String> {
        match value {
            Value::Amount(size) if size.is_finite() && *size > 0.0 => Ok(Self::Of(*size)),
            other => Err(format!("{other} is not a positive number")),
        }
    }

    /// Whether both are the same as far as a kernel that rounds can tell.
    pub(super) fn is_close(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Of(a), Self::Of(b)) => (a - b).abs() <= 0.001 * a.abs().max(b.abs()),
            (a, b) => a == b,
        }
    }
}

impl From<Amount> for Value {
    fn from(amount: Amount) -> Self {
        match amount {
            Amount::Of(size) => Self::Amount(size),
            Amount::Unlimited => Self::Text(MAX.into()),
            Amount::Cpus(cpus) => Self::Text(cpus.to_string()),
            Amount::Choice(name) => Self::Text(name),
            Amount::Flag(flag) => Self::Flag(flag),
        }
    }
}
