//! What was measured, for people.

use super::{Metric, NodeDamage, Sensitivity};
use std::fmt::{self, Display, Formatter};

/// How many nodes are shown.
const SHOWN: usize = 20;
/// How many names of the other rankings are shown.
const NAMES: usize = 5;

impl Metric {
    /// What it is called; `labelled`: whether answers are compared with labels.
    pub fn title(self, labelled: bool) -> &'static str {
        match (self, labelled) {
            (Self::Sqnr, _) => "SQNR",
            (Self::Mse, _) => "mean squared error",
            (Self::Cosine, _) => "cosine",
            (Self::Top1, true) => "loss of top-1 accuracy",
            (Self::Top1, false) => "samples with another highest class",
            (Self::Top5, true) => "loss of top-5 accuracy",
            (Self::Top5, false) => "samples whose highest class leaves the five highest",
        }
    }

    /// A gain in words.
    pub fn gain(self, gain: Option<f64>) -> String {
        match (self, gain) {
            (_, None) => "all".to_owned(),
            (Self::Sqnr, Some(db)) => format!("{db:+.1} dB"),
            (Self::Mse | Self::Cosine, Some(gain)) => format!("{gain:+.1e}"),
            (Self::Top1 | Self::Top5, Some(share)) => format!("{:+.2} %", 100.0 * share),
        }
    }
}

impl Display for Sensitivity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (metric, title) = (self.metric, self.metric.title(self.labelled));
        writeln!(f, "samples      {}", self.samples)?;
        writeln!(f, "quantized    {title} {} with everything quantized", self.quantized.shown(metric))?;
        writeln!(f, "nodes        {}, those that do the most damage alone first", self.nodes.len())?;
        let shown = &self.nodes[..self.nodes.len().min(SHOWN)];
        let width = shown.iter().map(|node| node.node.chars().count()).max().unwrap_or(0).max(4);
        let part = |damage: Option<super::Damage>| damage.map_or_else(|| "-".to_owned(), |damage| damage.shown(metric));
        writeln!(
            f,
            "\n  {:width$}  {:>10}  {:>10}  {:>11}  {:>10}  {:>9}",
            "node", "alone", "weights", "activations", "in float", "gain"
        )?;
        for node in shown {
            let NodeDamage { alone, weights, activations, in_float, gain, .. } = node;
            writeln!(
                f,
                "  {:width$}  {:>10}  {:>10}  {:>11}  {:>10}  {:>9}",
                node.node,
                alone.shown(metric),
                part(*weights),
                part(*activations),
                in_float.shown(metric),
                metric.gain(*gain)
            )?;
            for cause in &node.causes {
                writeln!(f, "    {cause}")?;
            }
        }
        if self.nodes.len() > shown.len() {
            writeln!(f, "  and {} more, in the report", self.nodes.len() - shown.len())?;
        }
        let list = |names: &[String]| names.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
        writeln!(f, "\nin float     most damage goes with {}", list(&self.by_gain))?;
        if !self.by_weights.is_empty() {
            writeln!(f, "weights      most damage is done by those of {}", list(&self.by_weights))?;
        }
        if !self.by_activations.is_empty() {
            writeln!(f, "activations  most damage is done by those of {}", list(&self.by_activations))?;
        }
        Ok(())
    }
}
