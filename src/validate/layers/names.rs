//! The same values under the same names. Other quantizers let a clamp vanish into the grid of the layer before it, whose integers
//! then go by the layer's name: turned back, the model has a clamp there, and what it makes has that name.

use crate::dequantize::Found;
use crate::ir::{Graph, NodeId, ValueId};

/// Where a clamp of `restored` makes what goes by the name of a layer that only a clamp reads in the `original`, gives it the name
/// of what that makes, and what it reads the layer's, with what was `found` of them.
pub(super) fn follow_clamps(original: &Graph, restored: &mut Graph, found: &mut Found) {
    for id in restored.node_ids().collect::<Vec<_>>() {
        let Some((read, made)) = restored.node(id).input(0).zip(clamped(restored, id)) else { continue };
        let (before, name) = (restored.value(read).name().to_owned(), restored.value(made).name().to_owned());
        let layer = original.find(&name).filter(|_| original.find(&before).is_none());
        let Some(last) = layer.and_then(|layer| only_clamp(original, layer)) else { continue };
        let wanted = original.value(last).name();
        if restored.find(wanted).is_none() && [read, made].iter().all(|&value| !restored.value(value).goes_by_name()) {
            restored.rename(made, wanted);
            rename(found, &name, wanted);
            restored.rename(read, &name);
            rename(found, &before, &name);
        }
    }
}

/// What a node makes that cuts off what lies beyond its bounds.
fn clamped(graph: &Graph, id: NodeId) -> Option<ValueId> {
    let node = graph.node(id);
    node.output(0).filter(|_| node.is("Relu") || node.is("Clip"))
}

/// What the clamp makes that alone reads `value`, past others behind it.
fn only_clamp(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let mut last = None;
    let mut next = Some(value);
    while let Some(value) = next {
        let mut readers = graph.value(value).readers();
        next = match (readers.next(), readers.next(), !graph.value(value).goes_by_name()) {
            (Some((reader, 0)), None, true) => clamped(graph, reader),
            _ => None,
        };
        last = next.or(last);
    }
    last
}

fn rename(found: &mut Found, from: &str, to: &str) {
    fn moved<T>(map: &mut std::collections::BTreeMap<String, T>, from: &str, to: &str) {
        if let Some(known) = map.remove(from) {
            map.insert(to.to_owned(), known);
        }
    }
    moved(&mut found.grids.activations, from, to);
    moved(&mut found.also, from, to);
    moved(&mut found.direct, from, to);
    if found.dynamic.remove(from) {
        found.dynamic.insert(to.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::build::Builder;

    /// A layer, a clamp and a reader, whose values are named.
    fn net(layer: &str, clamp: &str) -> Builder {
        let net = Builder::new(13).input("x", &[4]).node("Abs", &["x"], &[layer], vec![]);
        net.node("Relu", &[layer], &[clamp], vec![]).node("Neg", &[clamp], &["y"], vec![]).output("y", &[4])
    }

    fn followed(original: Builder, restored: Builder) -> Vec<String> {
        let mut restored = restored.build();
        let mut found = Found::default();
        found.dynamic.insert("layer".to_owned());
        follow_clamps(&original.build().graph, &mut restored.graph, &mut found);
        let graph = &restored.graph;
        let names =
            graph.node_ids().filter_map(|id| graph.node(id).output(0)).map(|v| graph.value(v).name().to_owned());
        names.chain(found.dynamic).collect()
    }

    #[test]
    fn a_clamp_that_goes_by_the_name_of_its_layer_gets_its_own() {
        let names = followed(net("layer", "clamp"), net("before", "layer"));
        assert_eq!(names, ["layer", "clamp", "y", "clamp"]);
    }

    #[test]
    fn what_is_no_such_clamp_keeps_its_names() {
        // The same names already, nothing of the kind in the original, or a layer that others read, too.
        let other = net("layer", "clamp").node("Abs", &["layer"], &["z"], vec![]).output("z", &[4]);
        for (original, before) in [(net("layer", "clamp"), "clamp"), (net("a", "b"), "before"), (other, "before")] {
            assert_eq!(followed(original, net(before, "layer")), [before, "layer", "y", "layer"]);
        }
    }
}
