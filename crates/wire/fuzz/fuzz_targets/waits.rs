//! The readers of waits and limits: any header gives a wait within its cap, and no number overflows.
#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use outrigger_wire::{Headroom, retry_after};

fuzz_target!(|input: (u64, u16, u16, &str)| {
    let (wall, status, cap, value) = input;
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(wall >> 20);
    let cap = Duration::from_secs(cap.into());
    let wait = retry_after(status, |_| Some(value), wall, cap);
    assert!(wait.is_none_or(|wait| wait <= cap));
    let _room = Headroom::read(|_| Some(value), wall);
});
