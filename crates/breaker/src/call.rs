//! One breaker around one future, for those who just wrap a call.

use std::future::Future;
use std::time::Instant;

use crate::{Rejected, Report, SharedBreaker};

impl SharedBreaker {
    /// Asks for leave, runs the future, reports what `classify` reads from its output, and how long it took unless
    /// `classify` says so itself. The future is not polled when the circuit refuses.
    ///
    /// # Errors
    /// [`Rejected`] when the circuit admits no call.
    ///
    /// # Cancel safety
    /// A call that is dropped or panics gives no verdict, and its slot back.
    ///
    /// ```
    /// # use std::time::Instant;
    /// # use outrigger_breaker::{Rejected, SharedBreaker, Verdict};
    /// # async fn ask() -> Result<u8, ()> { Ok(1) }
    /// # async fn run(breaker: SharedBreaker, clock: fn() -> Instant) -> Result<(), Rejected> {
    /// let answer = breaker
    ///     .call(clock, ask(), |answer| if answer.is_ok() { Verdict::Success } else { Verdict::Failure })
    ///     .await?;
    /// # drop(answer); Ok(()) }
    /// ```
    pub async fn call<F: Future, R: Into<Report>>(
        &self,
        clock: impl Fn() -> Instant,
        future: F,
        classify: impl FnOnce(&F::Output) -> R,
    ) -> Result<F::Output, Rejected> {
        let began = clock();
        let guard = self.guard(began)?;
        let output = future.await;
        let mut report: Report = classify(&output).into();
        let ended = clock();
        report.duration.get_or_insert_with(|| ended.saturating_duration_since(began));
        guard.report(report, ended);
        Ok(output)
    }
}
