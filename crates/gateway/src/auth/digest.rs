//! What is kept of a key: its SHA-256.
//!
//! A key is 256 bits of randomness, so nobody finds it by trying words, and a slow or salted hash would guard nothing: it would
//! only be paid for on every request. Who reads the file cannot come in with what stands there.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// What stands before the digits.
const PREFIX: &str = "sha256:";

/// A key's hash, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// The hash of a key.
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Whether both are the same, in a time that does not tell where they differ.
    pub(super) fn is(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

/// A text that is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoDigest;

impl FromStr for Digest {
    type Err = NoDigest;

    /// The text is not quoted in the error: it may be the key itself, put there by mistake.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = NoDigest;
        let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() == 64).ok_or(wrong)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair =
                std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|c| c.is_ascii_hexdigit()));
            *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or(wrong)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // In this form what is wished is said, too, of a value that comes from elsewhere and is not shown.
        let expected =
            "`sha256:` and 64 hexadecimal digits, which `outrigger keys new NAME` makes with a key";
        let wrong = |_| de::Error::invalid_value(de::Unexpected::Other("something else"), &expected);
        String::deserialize(deserializer)?.parse().map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_what_sha256sum_says() {
        let written = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), written);
        assert_eq!(written.parse(), Ok(Digest::of(b"abc")));
        assert_eq!(written.to_uppercase().replace("SHA", "sha").parse(), Ok(Digest::of(b"abc")));
    }

    #[test]
    fn what_is_no_hash_is_refused_and_not_shown() {
        let long = format!("sha256:{}", "g".repeat(64));
        let signed = format!("sha256:{}", "+1".repeat(32));
        let split = format!("sha256:{}é", "0".repeat(62));
        for bad in ["", "sha256:", "or-abcdef", "sha256:00", &long, &signed, &split, &"0".repeat(64)] {
            assert_eq!(bad.parse::<Digest>(), Err(NoDigest), "{bad}");
        }
        assert_eq!(format!("{:?}", Digest::of(b"abc")), "Digest(..)");
    }

    #[test]
    fn only_the_same_hash_is_the_same() {
        assert!(bool::from(Digest::of(b"abc").is(&Digest::of(b"abc"))));
        assert!(!bool::from(Digest::of(b"abc").is(&Digest::of(b"abd"))));
    }
}
