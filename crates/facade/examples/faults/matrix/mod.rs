//! Every fault the simulator plays, plain and streamed, with and without another place to go, alone and two hundred at once.
//!
//! [`cell`] says what is played, [`measure`] plays it in virtual time, [`promise`] says what must have come of it, and
//! [`page`] writes it down. Nothing here reads a clock or draws a number that is not seeded, so the page is the same to the
//! byte whenever and wherever it is measured.

mod cell;
mod measure;
mod page;
mod promise;

pub(crate) use measure::measured;
pub(crate) use page::page;
pub(crate) use promise::broken;
