//! Bodies of If, Loop and Scan: graphs of their own, under the same rules of the policy.

use super::{BodyPlan, Plan};
use crate::error::Result;
use crate::ir::{Graph, NodeId, Source};
use crate::policy::{Matched, NodeKey, Settings};
use std::borrow::Cow;

/// A graph in the order in which it runs, and the bodies of its nodes.
pub(super) struct Scope<'a> {
    pub graph: Cow<'a, Graph>,
    pub order: Vec<NodeId>,
    bodies: Vec<(NodeId, usize, Scope<'static>)>,
}

impl<'a> Scope<'a> {
    /// A graph and, with `deep`, the bodies of its nodes, however deep.
    pub fn of(graph: Cow<'a, Graph>, deep: bool) -> Result<Self> {
        let order = graph.topological()?;
        let mut bodies = Vec::new();
        for &id in order.iter().filter(|_| deep) {
            for index in 0..graph.body_count(id) {
                let mut body = graph.body(id, index)?;
                // A body does not state the types of what it reads from around.
                for &value in graph.node(id).captured() {
                    let inside = body.find(graph.value(value).name());
                    if let Some((inside, ty)) = inside.zip(graph.known_type(value)) {
                        body.learn_type(inside, ty);
                    }
                }
                bodies.push((id, index, Scope::of(Cow::Owned(body), deep)?));
            }
        }
        Ok(Self { graph, order, bodies })
    }

    /// What the rules of the policy say of each scope: this one, then its bodies, depth first.
    ///
    /// # Errors
    /// When a rule matches nothing in any of them.
    pub fn matched(&self, settings: &Settings) -> Result<Vec<Matched>> {
        let mut all = Vec::new();
        self.flatten(&mut all);
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for scope in &all {
            let graph = &scope.graph;
            let outputs =
                |id: NodeId| graph.node(id).outputs().iter().flatten().map(|&v| graph.value(v).name()).collect();
            let inputs = |id: NodeId| {
                let node = graph.node(id);
                node.inputs().iter().flatten().chain(node.captured()).map(|&v| graph.value(v).name()).collect()
            };
            let key = |&id: &NodeId| NodeKey {
                name: graph.label(id),
                op_type: graph.node(id).op_type(),
                outputs: outputs(id),
                inputs: inputs(id),
            };
            keys.extend(scope.order.iter().map(key));
            // What only a stale hint names, or folding took away, is not there to be matched.
            let there = |v| Some(graph.value(v)).filter(|value| value.source() != Source::Nowhere);
            values.extend(graph.value_ids().map(|v| there(v).map_or("", |value| value.name())));
        }
        let Matched { nodes, values } = settings.match_model(&keys, &values)?;
        let (mut nodes, mut values) = (nodes.into_iter(), values.into_iter());
        let own = |scope: &&Scope<'_>| Matched {
            nodes: nodes.by_ref().take(scope.order.len()).collect(),
            values: values.by_ref().take(scope.graph.value_bound()).collect(),
        };
        Ok(all.iter().map(own).collect())
    }

    fn flatten<'s>(&'s self, all: &mut Vec<&'s Scope<'s>>)
    where
        'a: 's,
    {
        all.push(self);
        self.bodies.iter().for_each(|(_, _, scope)| scope.flatten(all));
    }

    /// The plans of the bodies that `plan` has something to do in. `matched` goes on where this scope's own ended.
    pub fn plan_bodies(
        &self,
        matched: &mut std::vec::IntoIter<Matched>,
        plan: &dyn Fn(&Scope<'_>, &Matched) -> Result<Plan>,
    ) -> Result<Vec<BodyPlan>> {
        let mut made = Vec::new();
        for (node, index, scope) in &self.bodies {
            let own = matched.next().unwrap_or_else(|| Matched { nodes: vec![], values: vec![] });
            let mut body = plan(scope, &own)?;
            body.bodies = scope.plan_bodies(matched, plan)?;
            made.push(BodyPlan { node: *node, index: *index, graph: scope.graph.clone().into_owned(), plan: body });
        }
        Ok(made)
    }
}
