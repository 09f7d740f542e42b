//! The integers that layers hand to each other, in a runtime, as text.

use crate::validate::{AtLevels, Handed, HandedLayer, LayerVerdict, StepsApart};
use std::fmt::{self, Display, Formatter};

/// So many layers are shown, the worst.
const SHOWN: usize = 5;
/// So many operators of a layer are named.
const OPERATORS: usize = 5;

impl Handed {
    /// What all layers together say, in a sentence.
    pub fn summary(&self) -> String {
        if let Some(why) = &self.why_not {
            return why.clone();
        }
        let count = |verdict| self.with(verdict).len();
        let (fused, across) = (count(LayerVerdict::Fusion), count(LayerVerdict::Across));
        let parts = [
            (
                count(LayerVerdict::Disagreement),
                "more than 1 step off without optimizations, which is a fault here or there",
            ),
            (fused, "more than 1 step off by what the runtime makes of the layer by default"),
            (across, "more than 1 step off by what the runtime makes of several layers by default"),
            (count(LayerVerdict::Unknown), "not known, as the runtime did not run them"),
        ];
        let said: Vec<String> = parts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{n} of {} {what}", self.layers.len()))
            .collect();
        if !said.is_empty() {
            let plain = |layer: &HandedLayer| layer.alone.disable_all.is_some_and(|apart| apart.steps <= 1);
            let sound = count(LayerVerdict::Unknown) > 0 && self.layers.iter().all(plain);
            let without = if sound { "; without optimizations every layer alone is within 1 step" } else { "" };
            return said.join("; ") + without;
        }
        match count(LayerVerdict::Rounding) {
            0 => "every layer alone gives the same integers".to_owned(),
            some => format!(
                "every layer alone is within 1 step, {some} of {} not the same: numbers between two steps, which add up",
                self.layers.len()
            ),
        }
    }
}

impl HandedLayer {
    /// Its operators, as far as there is room.
    pub fn operators(&self) -> String {
        let mut named = self.operators.iter().take(OPERATORS).cloned().collect::<Vec<_>>().join(", ");
        match self.operators.len() {
            0 => "QuantizeLinear".clone_into(&mut named),
            count if count > OPERATORS => named.push_str(&format!(" and {} more", count - OPERATORS)),
            _ => {}
        }
        named
    }
}

impl Display for Handed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.why_not.is_some() {
            return writeln!(f, "  layers     {}", self.summary());
        }
        let count = self.layers.len();
        writeln!(f, "  layers     {count} values of integers, on {} samples: {}", self.samples, self.summary())?;
        for refusal in &self.refused {
            writeln!(f, "  refused    layers, {} at {}: {}", refusal.run, refusal.level, refusal.why)?;
        }
        self.worst().into_iter().take(SHOWN).try_for_each(|layer| write!(f, "{layer}"))
    }
}

impl Display for HandedLayer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "    {} ({}): {}", self.value, self.operators(), self.verdict)?;
        writeln!(
            f,
            "      re-execution -> disable all, default: alone {}, accumulated {}",
            self.alone, self.accumulated
        )
    }
}

impl Display for AtLevels {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let one = |apart: Option<StepsApart>| apart.map_or("not run".to_owned(), |apart| apart.to_string());
        write!(f, "{}, {}", one(self.disable_all), one(self.default))
    }
}

impl Display for StepsApart {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.steps {
            0 => f.write_str("0 steps"),
            1 => write!(f, "1 step ({:.3} %)", self.share * 100.0),
            steps => write!(f, "{steps} steps ({:.3} %)", self.share * 100.0),
        }
    }
}
