//! Known grids that a plan does not use, each with the reason.

use super::super::{ConstantPlan, Plan, RangeSource};
use super::{Here, Known};
use crate::ir::{Graph, ValueId};
use crate::quant::Params;
use std::collections::{BTreeMap, BTreeSet};

/// A grid that is known and that the plan does not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// The value or constant.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl Plan {
    /// Lists what is known of `graph` and not used.
    pub(in crate::plan) fn list_unused(&mut self, graph: &Graph, here: &Here<'_>, known: &Known) {
        let mut stored = BTreeSet::new();
        self.walk(graph, &mut |graph, node| {
            let constants = node.placement.constants().iter().filter(|constant| constant.known.is_some());
            let values = constants.filter_map(|constant| graph.node(node.id).input(constant.slot));
            stored.extend(values.map(|value| graph.value(value).name().to_owned()));
        });
        let names = |graph: &Graph, kept: &[(ValueId, ConstantPlan)]| {
            kept.iter().map(|(value, _)| graph.value(*value).name().to_owned()).collect::<Vec<_>>()
        };
        stored.extend(names(graph, &self.kept));
        stored.extend(self.bodies.iter().flat_map(|body| names(&body.graph, &body.plan.kept)));
        let mut unused = BTreeMap::new();
        for grids in [&known.told, &known.own] {
            for (name, params) in &grids.activations {
                if let Some(reason) = self.why_unused(graph, here, name, params) {
                    unused.insert(name.clone(), reason);
                }
            }
            for name in grids.constants.keys().filter(|name| !stored.contains(*name)) {
                let reason = match graph.find(name).filter(|&value| graph.is_constant(value)) {
                    None => "the prepared model has no such constant",
                    Some(_) => "no node reads it as integers",
                };
                unused.insert(name.clone(), reason.to_owned());
            }
        }
        self.list_told(graph, here, &known.told, &mut unused);
        self.unused = unused.into_iter().map(|(name, reason)| Unused { name, reason }).collect();
    }

    fn why_unused(&self, graph: &Graph, here: &Here<'_>, name: &str, params: &Params) -> Option<String> {
        if let Some(why) = here.refusal(name) {
            return Some(why.to_owned());
        }
        let exists = |value: &ValueId| graph.value(*value).producer().is_some() || graph.inputs().any(|v| v == *value);
        let Some(value) = graph.find(name).filter(exists) else {
            return Some("the prepared model has no such value".to_owned());
        };
        let Some(plan) = self.value(value) else { return Some("the plan leaves it in float".to_owned()) };
        let root = self.root(plan.id);
        match self.value(root).map(|root| root.range) {
            Some(RangeSource::Known(known)) if known == *params => None,
            _ if root == value => Some("the model itself has it on another grid".to_owned()),
            _ => Some(format!("it is moved on the grid of {:?}", graph.value(root).name())),
        }
    }
}
