//! What the charts are made of: axes, and shapes of inline SVG. Colours come from the page's style sheet, by class.

use super::text::{escape, number};
use std::fmt::Write;

/// How numbers become places along one axis of a chart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    /// The numbers at both ends.
    pub from: (f64, f64),
    /// Their places, in the units of the chart.
    pub to: (f64, f64),
}

impl Axis {
    /// The place of `value`; of one beyond an end, that end.
    pub fn at(&self, value: f64) -> f64 {
        let extent = self.from.1 - self.from.0;
        let share = if extent == 0.0 { 0.0 } else { ((value - self.from.0) / extent).clamp(0.0, 1.0) };
        let share = if share.is_finite() { share } else { 0.0 };
        self.to.0 + share * (self.to.1 - self.to.0)
    }
}

/// Round numbers from `low` to `high`, about `wanted` of them: multiples of one, two or five times a power of ten.
pub fn ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let extent = high - low;
    if !(extent > 0.0 && extent.is_finite()) {
        return vec![low];
    }
    let rough = extent / wanted.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = power * [1.0, 2.0, 5.0].into_iter().find(|factor| power * factor >= rough).unwrap_or(10.0);
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    (0..=((last - first).max(0.0) as usize).min(10 * wanted.max(1))).map(|k| (first + k as f64) * step).collect()
}

/// A place with one digit behind the point.
pub fn px(place: f64) -> String {
    let text = format!("{place:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A power of ten as it stands at an axis: spelled out where it is short.
pub fn power_of_ten(power: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    if (-3..=3).contains(&power) {
        return number(10f64.powi(power));
    }
    let sign = if power < 0 { "⁻" } else { "" };
    let digits: String =
        power.unsigned_abs().to_string().bytes().map(|digit| DIGITS[usize::from(digit - b'0')]).collect();
    format!("10{sign}{digits}")
}

/// A picture being drawn.
pub struct Chart {
    text: String,
}

impl Chart {
    /// An empty one of a size in its own units. `fixed` ones keep that size in pixels; others take the width they are given.
    /// `label` says in words what it shows.
    pub fn new(width: f64, height: f64, fixed: bool, label: &str) -> Self {
        let (w, h) = (px(width), px(height));
        let size = if fixed { format!(" width=\"{w}\" height=\"{h}\"") } else { String::new() };
        let class = if fixed { "" } else { " class=\"fluid\"" };
        let label = escape(label);
        Self { text: format!("<svg{class} viewBox=\"0 0 {w} {h}\"{size} role=\"img\" aria-label=\"{label}\">\n") }
    }

    /// A line.
    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(px);
        let _ = writeln!(self.text, "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>");
    }

    /// A rectangle, whose corners may come in any order; what it says when it is pointed at may be empty.
    pub fn rect(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64), title: &str) {
        let [x, y, w, h] = [x1.min(x2), y1.min(y2), (x2 - x1).abs(), (y2 - y1).abs()].map(px);
        let _ = write!(self.text, "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"");
        self.close("rect", title);
    }

    /// A disc.
    pub fn dot(&mut self, class: &str, (x, y): (f64, f64), radius: f64, title: &str) {
        let [x, y, r] = [x, y, radius].map(px);
        let _ = write!(self.text, "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\"");
        self.close("circle", title);
    }

    /// A line through several places.
    pub fn path(&mut self, class: &str, places: &[(f64, f64)]) {
        let places: Vec<String> = places.iter().map(|&(x, y)| format!("{},{}", px(x), px(y))).collect();
        let _ = writeln!(self.text, "<polyline class=\"{class}\" points=\"{}\"/>", places.join(" "));
    }

    /// Words. `class` may hold `e` for those that end at the place, `m` for those with their middle there.
    pub fn words(&mut self, class: &str, (x, y): (f64, f64), words: &str) {
        let _ = writeln!(self.text, "<text class=\"{class}\" x=\"{}\" y=\"{}\">{}</text>", px(x), px(y), escape(words));
    }

    /// Words that run upwards.
    pub fn upwards(&mut self, (x, y): (f64, f64), words: &str) {
        let (x, y) = (px(x), px(y));
        let words = escape(words);
        let _ = writeln!(
            self.text,
            "<text class=\"m\" x=\"{x}\" y=\"{y}\" transform=\"rotate(-90 {x} {y})\">{words}</text>"
        );
    }

    fn close(&mut self, element: &str, title: &str) {
        match title {
            "" => self.text.push_str("/>\n"),
            title => {
                let _ = writeln!(self.text, "><title>{}</title></{element}>", escape(title));
            }
        }
    }

    /// The picture as markup.
    pub fn done(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_lie_within() {
        assert_eq!(ticks(0.0, 50.0, 5), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(ticks(-3.2, 6.1, 4), [0.0, 5.0]);
        assert_eq!(ticks(1.0, 1.0, 5), [1.0]);
        assert_eq!(ticks(0.0, f64::INFINITY, 5), [0.0]);
        assert!(ticks(-1e30, 1e30, 5).len() <= 50);
    }

    #[test]
    fn long_powers_of_ten_are_shortened() {
        assert_eq!([-12, -3, 0, 3, 6].map(power_of_ten), ["10⁻¹²", "0.001", "1", "1000", "10⁶"]);
    }

    #[test]
    fn places_stay_within_the_axis() {
        let axis = Axis { from: (0.0, 10.0), to: (100.0, 200.0) };
        assert_eq!((axis.at(5.0), axis.at(-5.0), axis.at(50.0), axis.at(f64::NAN)), (150.0, 100.0, 200.0, 100.0));
        assert_eq!(Axis { from: (1.0, 1.0), to: (3.0, 4.0) }.at(1.0), 3.0);
    }

    #[test]
    fn words_and_titles_are_escaped() {
        let mut chart = Chart::new(10.0, 10.0, true, "a \"label\"");
        chart.words("e", (1.0, 2.04), "<b>");
        chart.rect("bar", (3.0, 4.0), (1.0, 2.0), "</title><script>");
        let text = chart.done();
        assert!(text.contains("aria-label=\"a &quot;label&quot;\"") && text.contains(">&lt;b&gt;</text>"), "{text}");
        assert!(
            text.contains("x=\"1\" y=\"2\" width=\"2\" height=\"2\"><title>&lt;/title&gt;&lt;script&gt;</title>"),
            "{text}"
        );
    }
}
