//! New keys.

use super::digest::Digest;

/// What a key begins with, so that scanners for leaked secrets, and people, know what they see.
const PREFIX: &str = "or-";
/// Digits and letters only: a double click takes the whole key, and no shell or URL needs it quoted.
const SYMBOLS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// So many of 62 symbols hold 256 bits.
const LENGTH: usize = 43;
/// The bytes below are a whole number of times 62, so each symbol is as likely as any other.
const FAIR: u8 = 248;

/// A key that nobody has. It has no `Debug`: it is shown once, on purpose.
pub(crate) struct Minted {
    key: String,
}

impl Minted {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// The system gives none.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut key = String::with_capacity(PREFIX.len() + LENGTH);
        key.push_str(PREFIX);
        while key.len() < PREFIX.len() + LENGTH {
            let mut bytes = [0; 64];
            getrandom::fill(&mut bytes)?;
            let fair = bytes.into_iter().filter(|byte| *byte < FAIR);
            let symbols = fair.filter_map(|byte| SYMBOLS.get(usize::from(byte) % SYMBOLS.len()));
            let missing = PREFIX.len() + LENGTH - key.len();
            key.extend(symbols.take(missing).map(|symbol| char::from(*symbol)));
        }
        Ok(Self { key })
    }

    /// The key itself, for the one who is to use it.
    pub(crate) fn expose(&self) -> &str {
        &self.key
    }

    /// What the file keeps of it.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.key.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_prefix_and_256_bits_of_plain_letters() {
        let minted = Minted::new().unwrap();
        let secret = minted.expose().strip_prefix("or-").unwrap();
        assert_eq!(secret.len(), 43);
        assert!(secret.bytes().all(|symbol| symbol.is_ascii_alphanumeric()), "{secret}");
        assert!(62_f64.log2() * 43.0 >= 256.0);
        assert_eq!(FAIR % 62, 0);
    }

    #[test]
    fn no_two_keys_are_alike_and_every_symbol_comes() {
        let keys: std::collections::BTreeSet<_> =
            (0..200).map(|_| Minted::new().unwrap().expose().to_owned()).collect();
        assert_eq!(keys.len(), 200);
        let seen: std::collections::BTreeSet<_> = keys.iter().flat_map(|key| key[3..].bytes()).collect();
        assert_eq!(seen.len(), 62);
    }
}
