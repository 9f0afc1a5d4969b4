//! The strategies drawn over the time: an SVG that is read by day and by night, in a browser and in a page.

use std::{fmt::Write as _, time::Duration};

use sim::Scenario;

use super::{Strategy, Tally};

/// The size of the picture, of its two charts, and where they begin.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 690.0;
const LEFT: f64 = 70.0;
const CHART_WIDTH: f64 = 740.0;
const CHART_HEIGHT: f64 = 220.0;
const TOPS: [f64; 2] = [80.0, 400.0];
/// Points of a line.
const PARTS: u32 = 60;
/// Lines that cross an axis.
const TICKS: u32 = 4;

/// Colours that are told apart by those who see few (after Okabe and Ito), on light and on dark; dashes for those who see none.
const LINES: [(&str, &str); 7] = [
    ("#0072b2", ""),
    ("#d55e00", "8 3"),
    ("#009e73", "2 3"),
    ("#cc79a7", "10 3 2 3"),
    ("#b38600", "5 5"),
    ("#56a4d9", "1 4"),
    ("#7f7f7f", "12 4"),
];

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#222}.title{font-size:17px;font-weight:600}.small{font-size:11px}.axis{stroke:#888}\
.grid{stroke:#8884}.act{fill:#8881}.line{fill:none;stroke-width:2;stroke-linejoin:round}\
@media(prefers-color-scheme:dark){.paper{fill:#16181d}text{fill:#ddd}}@media(prefers-color-scheme:light){.paper{fill:#fff}}";

/// Draws what was counted.
pub(crate) fn plot(scenario: &Scenario, length: Duration, played: &[(Strategy, Tally)]) -> String {
    let curves: Vec<[Vec<Option<f64>>; 2]> =
        played.iter().map(|(_, tally)| tally.curves(length, PARTS)).collect();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Failed requests and time to answer of each strategy over the time\"><style>{STYLE}</style>\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    let titles = ["Requests that failed", "Time to answer, 95th percentile"];
    let units = ["% of requests", "seconds"];
    for ((chart, top), (title, unit)) in TOPS.into_iter().enumerate().zip(titles.into_iter().zip(units)) {
        let lines: Vec<&[Option<f64>]> =
            curves.iter().filter_map(|curves| curves.get(chart)).map(Vec::as_slice).collect();
        let highest = lines.iter().flat_map(|line| line.iter().flatten()).copied().fold(0.0, f64::max);
        let most = if chart == 0 { 100.0 } else { round_up(highest) };
        frame(&mut svg, scenario, length, top, (title, unit), most);
        // The first one lies above the others.
        for (line, (colour, dash)) in lines.iter().zip(LINES).rev() {
            let path = path(line, top, most);
            line_of(&mut svg, &path, colour, dash);
        }
    }
    legend(&mut svg, played);
    svg.push_str("</svg>\n");
    svg
}

/// A chart without its lines: the acts as bands, the axes and what they say.
fn frame(
    svg: &mut String,
    scenario: &Scenario,
    length: Duration,
    top: f64,
    (title, unit): (&str, &str),
    most: f64,
) {
    let bottom = top + CHART_HEIGHT;
    let x = |at: Duration| {
        CHART_WIDTH.mul_add((at.as_secs_f64() / length.as_secs_f64().max(1e-9)).min(1.0), LEFT)
    };
    put(svg, format_args!("<text class=\"title\" x=\"{LEFT}\" y=\"{:.0}\">{title}</text>", top - 30.0));
    for (index, act) in scenario.acts.iter().enumerate() {
        let (from, to) = (x(act.at), x(act.at.saturating_add(act.lasting)));
        if index % 2 == 0 {
            let width = to - from;
            put(
                svg,
                format_args!(
                    "<rect class=\"act\" x=\"{from:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{CHART_HEIGHT}\"/>"
                ),
            );
        }
        let (middle, y, name) = (f64::midpoint(from, to), top - 8.0, escaped(&act.name));
        put(
            svg,
            format_args!(
                "<text x=\"{middle:.1}\" y=\"{y}\" text-anchor=\"middle\" class=\"small\">{name}</text>"
            ),
        );
    }
    for tick in 0..=TICKS {
        let part = f64::from(tick) / f64::from(TICKS);
        let (y, value) = (part.mul_add(-CHART_HEIGHT, bottom), part * most);
        put(
            svg,
            format_args!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                LEFT + CHART_WIDTH
            ),
        );
        let (x, y) = (LEFT - 8.0, y + 4.0);
        put(svg, format_args!("<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", short(value)));
        let (x, y) = (part.mul_add(CHART_WIDTH, LEFT), bottom + 18.0);
        let seconds = short(part * length.as_secs_f64());
        put(svg, format_args!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{seconds}</text>"));
    }
    put(
        svg,
        format_args!(
            "<path class=\"axis\" fill=\"none\" d=\"M{LEFT} {top}V{bottom}H{}\"/>",
            LEFT + CHART_WIDTH
        ),
    );
    let (middle, across) = (top + CHART_HEIGHT / 2.0, LEFT + CHART_WIDTH / 2.0);
    put(
        svg,
        format_args!(
            "<text transform=\"translate(18 {middle}) rotate(-90)\" text-anchor=\"middle\">{unit}</text>"
        ),
    );
    put(
        svg,
        format_args!(
            "<text x=\"{across}\" y=\"{}\" text-anchor=\"middle\">virtual time, seconds</text>",
            bottom + 38.0
        ),
    );
}

/// A line through what there is; where there is nothing it is interrupted.
fn path(line: &[Option<f64>], top: f64, most: f64) -> String {
    let mut path = String::new();
    let mut pen = 'M';
    for (index, value) in (0_u32..).zip(line) {
        let Some(value) = value else {
            pen = 'M';
            continue;
        };
        let part = (f64::from(index) + 0.5) / f64::from(PARTS);
        let x = part.mul_add(CHART_WIDTH, LEFT);
        let y = (value / most.max(1e-9)).min(1.0).mul_add(-CHART_HEIGHT, top + CHART_HEIGHT);
        put(&mut path, format_args!("{pen}{x:.1} {y:.1}"));
        pen = 'L';
    }
    path.replace('\n', "")
}

fn line_of(svg: &mut String, path: &str, colour: &str, dash: &str) {
    put(
        svg,
        format_args!("<path class=\"line\" stroke=\"{colour}\" stroke-dasharray=\"{dash}\" d=\"{path}\"/>"),
    );
}

fn legend(svg: &mut String, played: &[(Strategy, Tally)]) {
    let x = LEFT + CHART_WIDTH + 20.0;
    for (index, ((strategy, _), (colour, dash))) in (0_u32..).zip(played.iter().zip(LINES)) {
        let y = f64::from(index).mul_add(24.0, TOPS[0] + 10.0);
        line_of(svg, &format!("M{x} {y}h36"), colour, dash);
        put(svg, format_args!("<text x=\"{}\" y=\"{}\">{}</text>", x + 44.0, y + 4.0, strategy.name()));
    }
}

fn put(svg: &mut String, line: std::fmt::Arguments<'_>) {
    // A string takes all that is written to it.
    let _ = writeln!(svg, "{line}");
}

/// The next round number, so that an axis ends with one.
fn round_up(value: f64) -> f64 {
    let step = 10_f64.powf(value.max(1e-3).log10().floor());
    let steps = [1.0, 2.0, 4.0, 8.0, 10.0];
    steps.into_iter().map(|times| times * step).find(|round| *round >= value).unwrap_or(value)
}

fn short(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    format!("{rounded}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_with_round_numbers() {
        for (highest, end) in [(0.07, 0.08), (1.0, 1.0), (1.1, 2.0), (3.0, 4.0), (9.7, 10.0), (0.0, 0.001)] {
            assert!((round_up(highest) - end).abs() < 1e-9, "{highest}: {}", round_up(highest));
        }
        assert_eq!((short(2.5), short(60.0), short(0.126)), ("2.5".into(), "60".into(), "0.13".into()));
    }

    #[test]
    fn a_line_is_interrupted_where_there_is_nothing() {
        let line = path(&[Some(0.0), None, Some(1.0), Some(1.0)], 0.0, 1.0);
        assert_eq!(line.matches('M').count(), 2, "{line}");
        assert_eq!(line.matches('L').count(), 1, "{line}");
    }
}
