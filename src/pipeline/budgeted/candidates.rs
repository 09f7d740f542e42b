//! Which layers may become something else, and in which order that is tried.

use super::super::{Context, Planned, TOOL};
use crate::budget;
use crate::calibrate::Calibration;
use crate::error::Result;
use crate::exec::Types;
use crate::inputs::Dataset;
use crate::policy::{BudgetType, FoundRule, Goal};
use crate::sensitivity::{self, Damage, Evidence, Metric, NodeDamage, Parts, Subject, Task};
use std::collections::HashMap;

/// The 4 bits of a weight beside the 8 that it has otherwise: so many times the error of rounding, squared.
const COARSER: f64 = 256.0;

/// Bytes by which a number of a constant grows in float. Each counts as a multiply-accumulate: a table that is looked up multiplies
/// nothing, and may be most of the file.
const GROWTH: f64 = 3.0;

/// A layer that may become something else.
pub struct Candidate {
    /// Its node.
    pub node: String,
    /// What it wins, or loses.
    why: String,
}

impl Candidate {
    /// The rule by which it becomes `kind`.
    pub fn rule(&self, kind: BudgetType) -> FoundRule {
        FoundRule { node: self.node.clone(), kind, why: self.why.clone() }
    }
}

/// The layers that may become something else, in order of preference: those first that win most for what they cost, or lose least for
/// what they save.
///
/// # Errors
/// Those of the measurement.
pub fn candidates(
    base: &Planned,
    parts: &Parts,
    (calibration, types): (Option<&Calibration>, Option<&Types>),
    goal: Goal,
    samples: (&Dataset, &[usize]),
    context: &Context<'_>,
) -> Result<Vec<Candidate>> {
    let evidence = Evidence { seen: calibration.map(|calibration| (calibration, &base.plan)) };
    let subject = Subject { tool: TOOL.to_owned(), ..Subject::default() };
    let task = Task { parts, samples, metric: Metric::Sqnr, subject, resume: None, evidence: &evidence };
    let measured = sensitivity::sensitivity(&task, context.progress).map_err(|e| e.in_model(&base.path))?;
    let sizes = Sizes::of(base, types);
    let all = noise(&measured.quantized);
    let worth = |node: &NodeDamage| match goal {
        Goal::SizeMb(_) => {
            let saved = sizes.weights(node);
            (saved > 0.0).then(|| -COARSER * node.weights.as_ref().map_or(0.0, noise) / saved)
        }
        _ => Some((all - noise(&node.in_float)) / (sizes.work(node) + GROWTH * sizes.weights(node))),
    };
    let why = |node: &NodeDamage| {
        let cause = node.causes.first().map(|cause| format!("; {cause}")).unwrap_or_default();
        match goal {
            Goal::SizeMb(_) => format!("its weights alone leave {} at 8 bits", ratio(node.weights.as_ref())),
            _ => format!(
                "{} -> {} with it in float{cause}",
                ratio(Some(&measured.quantized)),
                ratio(Some(&node.in_float))
            ),
        }
    };
    let mut found: Vec<(f64, Candidate)> = measured
        .nodes
        .iter()
        .filter_map(|node| Some((worth(node)?, Candidate { node: node.node.clone(), why: why(node) })))
        .filter(|(_, candidate)| candidate.rule(BudgetType::Float32).rule().is_some())
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.node.cmp(&b.1.node)));
    Ok(found.into_iter().map(|(_, candidate)| candidate).collect())
}

/// Noise as a share of the signal.
fn noise(damage: &Damage) -> f64 {
    damage.sqnr_db.map_or(0.0, |ratio| 10f64.powf(-ratio / 10.0))
}

fn ratio(damage: Option<&Damage>) -> String {
    damage.and_then(|damage| damage.sqnr_db).map_or_else(|| "no noise".to_owned(), |ratio| format!("{ratio:.1} dB"))
}

/// What nodes compute and hold, by name.
struct Sizes {
    work: HashMap<String, f64>,
    weights: HashMap<String, f64>,
}

impl Sizes {
    fn of(base: &Planned, types: Option<&Types>) -> Self {
        let graph = &base.model.graph;
        let of = |name: &str| types.and_then(|types| types.get(name));
        let (mut work, mut weights) = (HashMap::new(), HashMap::new());
        for node in &base.plan.nodes {
            let made = graph.node(node.id).output(0).and_then(|value| of(graph.value(value).name()));
            work.insert(node.name.clone(), budget::in_float(graph, node.id, of, made));
            let constants = node.placement.constants().iter().filter_map(|one| graph.node(node.id).input(one.slot));
            let bytes = constants
                .filter_map(|value| graph.stated_type(value)?.dims.iter().copied().product::<Option<usize>>())
                .sum::<usize>();
            weights.insert(node.name.clone(), bytes as f64);
        }
        Self { work, weights }
    }

    fn sum(of: &HashMap<String, f64>, node: &NodeDamage) -> f64 {
        node.nodes.iter().filter_map(|name| of.get(name)).sum()
    }

    fn work(&self, node: &NodeDamage) -> f64 {
        Self::sum(&self.work, node).max(1.0)
    }

    fn weights(&self, node: &NodeDamage) -> f64 {
        Self::sum(&self.weights, node)
    }
}
