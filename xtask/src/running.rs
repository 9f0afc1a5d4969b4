//! A program that runs beside a chore, and ends with it.

use std::process::Child;

/// A program that ends when nobody looks at it any more.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
