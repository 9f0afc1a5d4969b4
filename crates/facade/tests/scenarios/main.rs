//! Incidents, played in virtual time: each says what went wrong, what the caller saw, and what each provider received.

mod faults;
mod life;
mod limits;
mod outage;
mod streams;
mod support;
mod swap;
mod wishes;
