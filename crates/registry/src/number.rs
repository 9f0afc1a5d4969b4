//! Numbers whose range is their type, so that no machine exists with a bad one.
//!
//! Each is an `f64` that was looked at once: finite, within its range, never NaN. What is computed from them stays finite.

use crate::error::ConfigError;

/// Defines one checked number: its constructor, its getter and, with `serde`, its reading through the same check.
macro_rules! checked {
    ($(#[$doc:meta])* $name:ident, $low:expr, $high:expr, $error:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(try_from = "f64", into = "f64"))]
        pub struct $name(f64);

        impl $name {
            /// Checks the range once.
            ///
            /// # Errors
            #[doc = concat!("[`ConfigError::", stringify!($error), "`] when `value` is outside the range, or not a number.")]
            pub fn new(value: f64) -> Result<Self, ConfigError> {
                if ($low..=$high).contains(&value) { Ok(Self(value)) } else { Err(ConfigError::$error { value }) }
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = ConfigError;

            fn try_from(value: f64) -> Result<Self, ConfigError> {
                Self::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

checked! {
    /// A share, 0 to 1.
    Ratio, 0.0, 1.0, Ratio
}
checked! {
    /// How much of the traffic a deployment should get beside its neighbours, 0.000001 to 1,000,000; 1 is usual.
    ///
    /// The range is wide enough for any fleet and narrow enough that products and sums of weights stay exact. Nothing has
    /// weight 0: a deployment that should get no traffic is [cordoned](crate::Registry::cordon).
    Weight, 1e-6, 1e6, Weight
}
checked! {
    /// A price in USD per million tokens, input and output blended as the caller sees fit; 0 to 1,000,000,000.
    Price, 0.0, 1e9, Price
}

impl Weight {
    /// The usual weight.
    pub const ONE: Self = Self(1.0);
}

impl Ratio {
    /// A constant of this crate, in range by sight.
    pub(crate) const fn constant(value: f64) -> Self {
        Self(value)
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_is_refused() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            assert!(
                Ratio::new(bad).is_err() && Weight::new(bad).is_err() && Price::new(bad).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn edges_belong_to_the_range() {
        assert!(Ratio::new(0.0).is_ok() && Ratio::new(1.0).is_ok() && Price::new(0.0).is_ok());
        assert!(Weight::new(0.0).is_err(), "a weight of nothing is a cordon");
    }
}
