//! Writes the matrix down as a page of Markdown.

use std::fmt::Write as _;

use super::{
    cell::{CROWD, Cell, Setting},
    measure::Measured,
};

const HEAD: &str = "\
# Every fault, and what comes of it

Measured, not claimed: `cargo xtask faults` plays each cell in virtual time and writes this page, and a test holds the code to
it and every cell to its promise. Each client has seen twenty healthy answers (40 ms to the first byte, 20 tokens at 1 ms)
when `us-east`, the region that it prefers, gets its fault for good; the faults have the simulator's default parameters. Every
caller waits 30 s at most.

- *With somewhere to go* every caller has the whole answer, whatever the fault. A stream that breaks off after its first words
  is rescued: its rest comes from elsewhere. Rescues are paid from the retry budget, so of two hundred streams that break off at one
  instant it pays for some, and the others end with an error that says that there is no more; none ends as if it were whole.
- *With nowhere to go* the error is honest and early, but for a silence, which is waited for to the deadline. A second try at the
  same place is the budget's to pay, so there is no storm.
- *A refusal of the request itself* (`content_filter`, `no_prefill`, and `context_length` where no model has a larger window) is
  passed on in the provider's words after one attempt.

*sent*: calls that regions received for each question asked. *to sick*: those that `us-east` received. Times are in
milliseconds, from the question to the end of the answer or of the error.
";

/// The page.
pub(crate) fn page(table: &[(Cell, Measured)]) -> String {
    let mut page = HEAD.to_owned();
    for setting in Setting::ALL {
        let cells: Vec<_> = table.iter().filter(|(cell, _)| cell.setting == setting).collect();
        let _ = write!(
            page,
            "\n## {}\n\n| fault | answer | one call got | sent | ms | {CROWD} at once got | sent | to sick | p50 | p99 |\n\
             | --- | --- | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |\n",
            title(setting)
        );
        for pair in cells.chunks(2) {
            let [one, crowd] = pair else { continue };
            row(&mut page, one, crowd);
        }
    }
    page
}

fn title(setting: Setting) -> &'static str {
    match setting {
        Setting::Alone => "One region, and it is sick",
        Setting::Two => "Two regions, one of them sick",
        Setting::Three => "Three regions, one of them sick",
        Setting::NextTier => "One region, sick, and another model in the next tier",
    }
}

fn row(page: &mut String, (cell, one): &(Cell, Measured), (_, crowd): &(Cell, Measured)) {
    let form = if cell.stream { "stream" } else { "plain" };
    let _ = writeln!(
        page,
        "| `{}` | {form} | {} | {} | {} | {} | {} | {} | {} | {} |",
        cell.fault,
        got(one),
        one.upstream,
        one.p50.as_millis(),
        got(crowd),
        per_call(crowd.upstream),
        crowd.to_sick,
        crowd.p50.as_millis(),
        crowd.p99.as_millis(),
    );
}

/// What callers got, each with its number where they got different things.
fn got(measured: &Measured) -> String {
    let alike = measured.got.len() == 1;
    let words = measured
        .got
        .iter()
        .map(|(got, count)| if alike { got.to_string() } else { format!("{count} x {got}") });
    words.collect::<Vec<_>>().join(", ")
}

/// With two decimals, rounded.
fn per_call(upstream: u64) -> String {
    let crowd = u64::try_from(CROWD).unwrap_or(u64::MAX);
    let hundredths = (upstream * 100 + crowd / 2) / crowd;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
