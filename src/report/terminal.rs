//! The report as text for a terminal.

use super::repairs::{absorbing_note, equalizing_note, protecting_note, smoothing_note};
use super::tasks::sqnr;
use super::{EncodingsSummary, FloatGroup, PlacementSummary, Report};
use crate::plan::NO_WEIGHTS;
use crate::validate::{Check, Classification, Comparison, LayerError, Layers, LimitOf, OutputError, RARELY_CUT};
use std::fmt::{self, Display, Formatter};

/// Columns of a split layer that are shown; the JSON report has all of them.
const COLUMNS_SHOWN: usize = 8;
/// Names shown of a group; the JSON report has all of them.
const NAMES_SHOWN: usize = 3;

/// Layers shown of each kind; the JSON report has all of them.
const SHOWN: usize = 5;

/// Bytes in the unit that suits them.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (before, after) = (self.model.bytes, self.output.bytes);
        let percent = after as f64 / before.max(1) as f64 * 100.0;
        writeln!(f, "model        {}  {}", self.model.path, size(before))?;
        writeln!(f, "quantized    {}  {} ({percent:.0} %)", self.output.path, size(after))?;
        match self.calibration.samples {
            0 => writeln!(f, "calibration  {}", self.calibration.source)?,
            samples => {
                let engine = self.calibration.engine.as_ref().map_or(String::new(), |name| format!(", run by {name}"));
                writeln!(f, "calibration  {samples} samples of {}{engine}", self.calibration.source)?;
            }
        }
        if let Some(note) = &self.calibration.preprocessing {
            writeln!(f, "             {note}")?;
        }
        if let Some(what) = &self.quantized_input {
            writeln!(f, "input        {what}")?;
        }
        if let Some(equalized) = equalizing_note(self.calibration.equalized) {
            writeln!(f, "equalizing   {equalized}")?;
        }
        if let Some(absorbed) = self.calibration.absorbed.map(absorbing_note) {
            writeln!(f, "absorbing    {absorbed}")?;
        }
        if let Some(smoothed) = smoothing_note(self.calibration.smoothed) {
            writeln!(f, "smoothing    {smoothed}")?;
        }
        if let Some(protected) = protecting_note(self.calibration.protected) {
            writeln!(f, "protecting   {protected}")?;
        }
        if let Some(budget) = &self.budget {
            write!(f, "{budget}")?;
        }
        if let Some(ranges) = &self.calibration.reconstruction {
            writeln!(f, "ranges       {ranges}")?;
        }
        if let Some(corrected) = &self.calibration.corrected {
            writeln!(f, "correcting   {corrected}")?;
        }
        if let Some(repairs) = &self.calibration.repairs {
            writeln!(f, "repairs      {repairs}")?;
        }
        if self.placement.nodes > 0 {
            write!(f, "{}", self.placement)?;
        }
        match (&self.validation, &self.not_validated) {
            (Some(comparison), _) => write!(f, "{comparison}")?,
            (None, Some(why)) => writeln!(f, "validation   not re-executed: {why}")?,
            (None, None) => {}
        }
        for warning in &self.warnings {
            writeln!(f, "warning      {warning}")?;
        }
        for layer in &self.split {
            let (count, columns) = (layer.columns.len(), &layer.columns[..layer.columns.len().min(COLUMNS_SHOWN)]);
            let more = if count > columns.len() { ", ..." } else { "" };
            let columns: Vec<_> = columns.iter().map(usize::to_string).collect();
            writeln!(
                f,
                "split        {}: {count} column{} in float ({}{more})",
                layer.node,
                if count == 1 { "" } else { "s" },
                columns.join(", ")
            )?;
        }
        if let Some(EncodingsSummary { path, format, entries, used, .. }) = &self.encodings {
            writeln!(f, "encodings    {path} ({format}): {used} of {entries} entries used")?;
        }
        if self.notes_left_out > 0 {
            writeln!(f, "notes        {} left out (strip)", size(self.notes_left_out))?;
        }
        if !self.known_not_used.is_empty() {
            let names: Vec<_> = self.known_not_used.iter().map(|unused| unused.name.as_str()).collect();
            writeln!(f, "grids        known grids not used: {} ({})", names.len(), some(&names))?;
        }
        judged(f, &self.checks, &self.failed)
    }
}

/// What came of each limit, then what fails whatever they are.
pub(super) fn judged(f: &mut Formatter<'_>, checks: &[Check], failed: &[String]) -> fmt::Result {
    checks.iter().try_for_each(|check| writeln!(f, "{check}"))?;
    failed.iter().try_for_each(|why| writeln!(f, "failed       {why}"))
}

/// The first few of `names`, and how many more there are.
fn some(names: &[&str]) -> String {
    let shown = names[..names.len().min(NAMES_SHOWN)].join(", ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl Display for PlacementSummary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let float: usize = self.float.iter().map(|g| g.nodes.len()).sum();
        let Self { nodes, integer, stored, half, absorbed, target, .. } = self;
        if let Some(was) = &self.half_input {
            writeln!(f, "floats       {}", was.told)?;
        }
        if *half > 0 {
            writeln!(f, "16 bits      {half} of {nodes} nodes, {float} in float32")?;
            if *integer == 0 && *stored == 0 {
                return self.float.iter().try_for_each(|group| writeln!(f, "  float32    {group}"));
            }
        }
        if *stored > 0 {
            writeln!(f, "weights      {stored} of {nodes} nodes compute in float from weights stored as integers")?;
        }
        // Where nothing but weights was asked for, there is nothing else to say.
        if *stored == 0 || *integer > 0 {
            write!(
                f,
                "integers     {integer} of {nodes} nodes for {target}, {absorbed} clamps absorbed, {float} in float"
            )?;
            if let Some(share) = self.integer_work {
                write!(f, "; {:.1} % of the multiply-accumulates", share * 100.0)?;
            }
            writeln!(f)?;
        }
        let mut told = self.float.iter().filter(|group| group.reason != NO_WEIGHTS);
        told.try_for_each(|group| writeln!(f, "  float      {group}"))
    }
}

impl Display for FloatGroup {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.nodes.iter().map(String::as_str).collect();
        write!(f, "{} x {}: {} ({})", self.nodes.len(), self.op_type, self.reason, some(&names))
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.samples {
            0 => writeln!(f, "validation   no samples, nothing but crash tests, both models run by {}", self.engine)?,
            samples => writeln!(f, "validation   {samples} samples, both models run by {}", self.engine)?,
        }
        self.outputs.iter().try_for_each(|output| writeln!(f, "  output     {output}"))?;
        if let Some(classes) = &self.classification {
            write!(f, "{classes}")?;
        }
        self.tasks.iter().try_for_each(|task| write!(f, "{task}"))?;
        self.reference.as_ref().map_or(Ok(()), |reference| write!(f, "{reference}"))?;
        self.recorded.as_ref().map_or(Ok(()), |recorded| write!(f, "{recorded}"))?;
        self.stress.as_ref().map_or(Ok(()), |stress| write!(f, "{stress}"))?;
        self.layers.as_ref().map_or(Ok(()), |layers| write!(f, "{layers}"))
    }
}

impl Display for OutputError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let cosine = self.cosine.map_or(String::new(), |c| format!(", cosine {c:.5}"));
        let Self { name, mse, max_abs, .. } = self;
        write!(f, "{name}: {}, MSE {mse:.3e}{cosine}, max abs {max_abs:.3e}", sqnr(self))?;
        match self.not_finite {
            0 => Ok(()),
            count => write!(f, "; {count} elements NaN or infinite"),
        }
    }
}

impl Display for Classification {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let classes = self;
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        if let (Some(float), Some(quantized)) = (classes.top1_float, classes.top1_quantized) {
            let points = (quantized - float) * 100.0;
            writeln!(f, "  top-1      {} before, {} after ({points:+.2} points)", percent(float), percent(quantized))?;
        }
        let (one, five) = (percent(classes.top1_agreement), percent(classes.top5_agreement));
        writeln!(f, "  agreement  top-1 {one}, within the float model's top-5 {five}")
    }
}

/// What makes a value.
fn maker(layer: &LayerError) -> &str {
    if layer.node.is_empty() { "an input" } else { &layer.op_type }
}

impl Display for Layers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "layers       {} values that both models have, on {} samples", self.layers.len(), self.samples)?;
        let db = |sqnr: Option<f64>| sqnr.map_or("no error".to_owned(), |db| format!("{db:.1} dB"));
        let line = |f: &mut Formatter<'_>, kind: &str, layer: &LayerError| {
            write!(f, "  {kind:<10} {} ({}): ", layer.value, maker(layer))?;
            match layer.only_quantized {
                true => writeln!(f, "only in the quantized model"),
                false => writeln!(f, "alone {}, accumulated {}", db(layer.alone_db), db(layer.accumulated_db)),
            }
        };
        for layer in self.suspects().into_iter().take(SHOWN) {
            line(f, "suspect", layer)?;
            writeln!(f, "             {}", layer.why().unwrap_or_default())?;
        }
        if let Some(doubt) = self.doubt() {
            writeln!(f, "             {doubt}")?;
        }
        let mut worst: Vec<&LayerError> = self.layers.iter().filter(|layer| layer.alone_db.is_some()).collect();
        worst.sort_by(|a, b| a.alone_db.partial_cmp(&b.alone_db).unwrap_or(std::cmp::Ordering::Equal));
        worst.into_iter().take(SHOWN).try_for_each(|layer| line(f, "worst", layer))?;
        let cut = self.rarely_cut();
        for (layer, cut) in cut.iter().take(SHOWN) {
            writeln!(f, "  cut off    {} ({}): {cut}", layer.value, maker(layer))?;
        }
        if !cut.is_empty() {
            writeln!(f, "             {RARELY_CUT}")?;
        }
        self.bodies.iter().try_for_each(|note| writeln!(f, "  in bodies  {}", note.shown(self.samples)))
    }
}

/// A number of a few digits, however small.
fn digits(number: f64) -> String {
    // What rounds to more than five places hold.
    let is_small = number != 0.0 && number.abs() < 1e-3;
    if is_small { format!("{number:.2e}") } else { format!("{number:.5}") }
}

impl Display for Check {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { threshold, wanted, outcome, .. } = self;
        let found = self.found.map_or("could not be measured".to_owned(), |v| format!("is {}", digits(v)));
        let side = if self.bounds_above() { "at most" } else { "at least" };
        write!(f, "{:<12} {threshold} {found}, wanted {side} {wanted}", outcome.to_string())?;
        match self.limit_of {
            LimitOf::Policy => {}
            LimitOf::Field => f.write_str(", as is usual")?,
        }
        self.output.as_ref().map_or(Ok(()), |output| write!(f, " ({output})"))?;
        self.why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
    }
}
