//! Writing JSON, and frames of it.

use serde::Serialize;

/// Appends a value as JSON.
///
/// Writing to memory does not fail, and no type here has a map whose keys are no strings: serde_json knows no other reason. Were
/// there one, nothing would be appended, rather than half a value.
pub(super) fn append(out: &mut Vec<u8>, value: &impl Serialize) {
    let start = out.len();
    let written = serde_json::to_writer(&mut *out, value);
    debug_assert!(written.is_ok(), "a value that has no JSON");
    if written.is_err() {
        out.truncate(start);
    }
}

/// Appends a value as one frame of a stream. JSON as serde_json writes it holds no line break outside of raw values, which
/// frames have none of.
pub(super) fn append_frame(out: &mut Vec<u8>, value: &impl Serialize) {
    out.extend_from_slice(b"data: ");
    append(out, value);
    out.extend_from_slice(b"\n\n");
}
