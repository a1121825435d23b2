//! [`Chart`]: curves with two axes, as a picture that any browser shows. It
//! knows nothing of what is drawn.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 60.0;

/// Told apart by most eyes, on white and on paper without colour by their marks.
pub(crate) const COLOURS: [&str; 8] =
    ["#0b6e99", "#d1495b", "#2e8540", "#8c5fb0", "#b5651d", "#3d3d3d", "#c2185b", "#00897b"];

/// How curves are drawn in turn, so that they can be told apart without colour: with their marks, this repeats after
/// twenty.
const DASHES: [&str; 5] = ["", "7 4", "2 3", "10 3 2 3", "14 4"];

/// A curve with more points than this is smooth, and has this many marks all the same.
const MARKS: usize = 12;

/// A picture of curves.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) across: Axis,
    pub(crate) up: Axis,
    pub(crate) curves: Vec<Curve>,
}

/// One direction of a chart.
pub(crate) struct Axis {
    label: &'static str,
    is_logarithmic: bool,
}

/// Points that belong together, in the order in which they are joined.
#[derive(Clone)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// An axis that has been fitted to what it shows.
struct Scale {
    is_logarithmic: bool,
    low: f64,
    high: f64,
    /// Where the values `low` and `high` stand in the picture.
    from: f64,
    to: f64,
}

impl Axis {
    /// From zero on, in equal steps.
    pub(crate) fn linear(label: &'static str) -> Axis {
        Axis { label, is_logarithmic: false }
    }

    /// Factors in equal steps.
    pub(crate) fn logarithmic(label: &'static str) -> Axis {
        Axis { label, is_logarithmic: true }
    }

    fn scale(&self, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Scale {
        let is_drawn = |value: &f64| value.is_finite() && (!self.is_logarithmic || *value > 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(is_drawn) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (1.0, 1.0);
        }
        if self.is_logarithmic {
            (low, high) = (round_below(low), round_above(high));
            if low >= high {
                high = low * 10.0;
            }
        } else {
            low = low.min(0.0);
            let step = step(high - low);
            high = ((high / step).ceil() * step).max(low + step);
        }
        Scale { is_logarithmic: self.is_logarithmic, low, high, from, to }
    }
}

/// The highest of 1, 2 and 5 and their multiples by ten that is not above a value.
fn round_below(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    // Logarithms are never quite what they should be.
    [5.0, 2.0].into_iter().map(|part| part * power).find(|round| *round <= value * (1.0 + 1e-9)).unwrap_or(power)
}

/// The lowest that is not below it.
fn round_above(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let rounds = [1.0, 2.0, 5.0].into_iter().map(|part| part * power);
    rounds.into_iter().find(|round| *round >= value * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// A round number, of which there are four to ten in a span.
fn step(span: f64) -> f64 {
    if span <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(span.log10().floor());
    [0.1, 0.2, 0.5, 1.0, 2.0].into_iter().map(|part| part * power).find(|step| span / step <= 8.0).unwrap_or(power)
}

impl Scale {
    fn place(&self, value: f64) -> f64 {
        let part = match self.is_logarithmic {
            true => (value.log10() - self.low.log10()) / (self.high.log10() - self.low.log10()),
            false => (value - self.low) / (self.high - self.low),
        };
        self.from + part * (self.to - self.from)
    }

    fn has(&self, value: f64) -> bool {
        value.is_finite() && (!self.is_logarithmic || value > 0.0)
    }

    /// Values to write beside the axis.
    fn ticks(&self) -> Vec<f64> {
        if self.is_logarithmic {
            let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
            // Where there is room, also what lies between.
            let parts: &[f64] = if last - first <= 4 { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let ticks = (first..=last).flat_map(|power| parts.iter().map(move |part| part * 10_f64.powi(power)));
            return ticks.filter(|tick| (self.low * 0.999..=self.high * 1.001).contains(tick)).collect();
        }
        let step = step(self.high - self.low);
        let count = ((self.high - self.low) / step).round() as usize;
        (0..=count).map(|nth| self.low + nth as f64 * step).collect()
    }
}

impl Chart {
    /// How wide the names of curves are, if there are several.
    fn legend_width(&self) -> f64 {
        let longest = self.curves.iter().map(|curve| curve.name.chars().count()).max().unwrap_or(0);
        if self.curves.len() > 1 { 40.0 + 6.8 * longest as f64 } else { 0.0 }
    }

    pub(crate) fn to_svg(&self) -> String {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let across = self.across.scale(points().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let up = self.up.scale(points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
        let mut svg = String::new();
        let mut put = |text: std::fmt::Arguments<'_>| writeln!(svg, "{text}").expect("a string takes everything");
        put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {HEIGHT}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\">",
            WIDTH + self.legend_width()
        ));
        put(format_args!("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"));
        put(format_args!(
            "<text x=\"{LEFT}\" y=\"24\" font-size=\"14\" font-weight=\"600\" fill=\"#222\">{}</text>",
            escaped(&self.title)
        ));
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for value in up.ticks() {
            let y = up.place(value);
            put(format_args!("<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#e3e3e3\"/>"));
            put(format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                number(value)
            ));
        }
        for value in across.ticks() {
            let x = across.place(value);
            put(format_args!("<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#efefef\"/>"));
            put(format_args!(
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{}</text>",
                bottom + 18.0,
                number(value)
            ));
        }
        put(format_args!("<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#888\"/>"));
        put(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#333\">{}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 18.0,
            escaped(self.across.label)
        ));
        let middle = (TOP + bottom) / 2.0;
        put(format_args!(
            "<text x=\"18\" y=\"{middle:.1}\" text-anchor=\"middle\" fill=\"#333\" \
             transform=\"rotate(-90 18 {middle:.1})\">{}</text>",
            escaped(self.up.label)
        ));
        for (nth, curve) in self.curves.iter().enumerate() {
            let drawn = curve.points.iter().filter(|(x, y)| across.has(*x) && up.has(*y));
            let places: Vec<(f64, f64)> = drawn.map(|(x, y)| (across.place(*x), up.place(*y))).collect();
            let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            put(format_args!("<polyline points=\"{}\" fill=\"none\" {}/>", path.join(" "), stroke(nth)));
            let every = if places.len() <= 40 { 1 } else { places.len().div_ceil(MARKS) };
            // Where many curves run together, their marks stand beside each other.
            let first = if every == 1 { 0 } else { nth * every / self.curves.len() };
            for place in places.iter().skip(first).step_by(every) {
                put(format_args!("{}", mark(nth, *place)));
            }
        }
        if self.curves.len() > 1 {
            self.draw_legend(&mut put);
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Names stand beside the plot, where no curve can run through them.
    fn draw_legend(&self, put: &mut dyn FnMut(std::fmt::Arguments<'_>)) {
        const LINE: f64 = 18.0;
        let (left, top) = (WIDTH - RIGHT + 4.0, TOP);
        for (nth, curve) in self.curves.iter().enumerate() {
            let y = top + 14.0 + LINE * nth as f64;
            put(format_args!("<path d=\"M{:.1} {y:.1}h36\" {}/>", left + 8.0, stroke(nth)));
            put(format_args!("{}", mark(nth, (left + 26.0, y))));
            put(format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#333\">{}</text>",
                left + 52.0,
                y + 4.0,
                escaped(&curve.name)
            ));
        }
    }
}

/// How the line of a curve is drawn.
fn stroke(nth: usize) -> String {
    let (colour, dashes) = (COLOURS[nth % COLOURS.len()], DASHES[nth % DASHES.len()]);
    let dashes = if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
    format!("stroke=\"{colour}\" stroke-width=\"2\"{dashes}")
}

/// The mark of a curve: four forms in turn, filled and then open.
fn mark(nth: usize, (x, y): (f64, f64)) -> String {
    let colour = COLOURS[nth % COLOURS.len()];
    let fill = if nth % 8 < 4 { colour } else { "#fff" };
    let form = match nth % 4 {
        0 => format!("circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\""),
        1 => format!("path d=\"M{:.1} {:.1}h6.4v6.4h-6.4z\"", x - 3.2, y - 3.2),
        2 => format!("path d=\"M{x:.1} {:.1}l4 7h-8z\"", y - 4.4),
        _ => format!("path d=\"M{x:.1} {:.1}l4.2 4.2l-4.2 4.2l-4.2 -4.2z\"", y - 4.2),
    };
    format!("<{form} fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.5\"/>")
}

/// A number as short as it can be said.
fn number(value: f64) -> String {
    if value >= 1e6 {
        return format!("{}M", value / 1e6);
    }
    // Sums of tenths are never quite what they should be.
    format!("{}", (value * 1e6).round() / 1e6)
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        let curves = vec![Curve { name: "a & b".to_owned(), points }, Curve { name: "<c>".to_owned(), points: vec![] }];
        Chart { title: "T".to_owned(), across: Axis::linear("x"), up: Axis::logarithmic("y"), curves }
    }

    #[test]
    fn steps_are_round() {
        for (span, expected) in [(1.0, 0.2), (5.0, 1.0), (8.0, 1.0), (9.0, 2.0), (70.0, 10.0), (150.0, 20.0)] {
            assert!((step(span) - expected).abs() < 1e-9, "{span} goes by {}", step(span));
        }
    }

    #[test]
    fn factors_have_round_ends_and_ticks_between() {
        for (value, below, above) in [(1.0, 1.0, 1.0), (1.5, 1.0, 2.0), (30.0, 20.0, 50.0), (0.07, 0.05, 0.1)] {
            let is = |round: f64, expected: f64| (round / expected - 1.0).abs() < 1e-9;
            assert!(is(round_below(value), below) && is(round_above(value), above), "{value}");
        }
        let ticks = |low, high| Axis::logarithmic("").scale([low, high].into_iter(), 0.0, 1.0).ticks();
        assert_eq!(ticks(30.0, 150.0), [20.0, 50.0, 100.0, 200.0]);
        assert_eq!(ticks(1.0, 1e6).len(), 7, "only powers where there are many");
    }

    /// Lines and marks alone tell them apart, without colours.
    #[test]
    fn no_two_of_the_first_twenty_curves_look_alike_in_grey() {
        let look = |nth: usize| (nth % DASHES.len(), nth % 4);
        let looks: std::collections::BTreeSet<_> = (0..20).map(look).collect();
        assert_eq!(looks.len(), 20);
    }

    #[test]
    fn points_stand_where_they_belong() {
        let svg = chart(vec![(0.0, 1.0), (100.0, 100.0)]).to_svg();
        let corner = format!("{LEFT:.1},{:.1}", HEIGHT - BOTTOM);
        let other = format!("{:.1},{TOP:.1}", WIDTH - RIGHT);
        assert!(svg.contains(&format!("points=\"{corner} {other}\"")), "{svg}");
        assert!(svg.contains("a &amp; b") && svg.contains("&lt;c>"));
    }

    #[test]
    fn what_cannot_be_drawn_is_left_out() {
        for points in [vec![], vec![(0.0, 0.0)], vec![(f64::NAN, 1.0), (1.0, f64::INFINITY)], vec![(0.0, 5.0)]] {
            let svg = chart(points).to_svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
