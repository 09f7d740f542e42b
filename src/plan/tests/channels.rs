//! Which values are observed channel by channel.

use super::*;
use crate::quant::ChannelAxis::{Last, Second};

/// What calibration looks at channel by channel, and the values that the layers in `nodes` are told of.
fn asked(policy: &str, builder: Builder, layers: &[&str]) -> (Vec<(String, ChannelAxis)>, Vec<Option<String>>) {
    let (model, made) = planned(builder, &settings(policy));
    let values = made.values.iter().filter_map(|v| Some((v.name.clone(), v.channels?))).collect();
    for value in made.values.iter().filter(|v| v.channels.is_some()) {
        assert!(made.observed().any(|v| v.id == value.id), "{}", value.name);
    }
    let source = |layer: &&str| {
        let node = made.nodes.iter().find(|n| n.name == **layer).expect("the layer");
        let Placement::Integer(node) = &node.placement else { panic!("{layer} is float") };
        let summed = node.constants.iter().find(|c| c.is_weight).expect("a weight").summed;
        summed.map(|(value, _)| model.graph.value(value).name().to_owned())
    };
    (values, layers.iter().map(source).collect())
}

fn found(
    values: &[(&str, ChannelAxis)],
    sources: &[Option<&str>],
) -> (Vec<(String, ChannelAxis)>, Vec<Option<String>>) {
    let values = values.iter().map(|&(name, axis)| (name.to_owned(), axis)).collect();
    (values, sources.iter().map(|s| s.map(str::to_owned)).collect())
}

#[test]
fn what_a_layer_sums_over_is_observed_by_channel() {
    let net = || {
        start()
            .noise("dw", &[4, 1, 3, 3], 2)
            .noise("m", &[144, 6], 3)
            .noise("n", &[6, 6], 4)
            // A depthwise filter is not summed up in pairs.
            .node("Conv", &["c", "dw"], &["d"], vec![int("group", 4)])
            .node("Flatten", &["d"], &["f"], vec![])
            .node("Gemm", &["f", "m"], &["g"], vec![])
            .node("MatMul", &["g", "n"], &["y"], vec![])
            .output("y", &[1, 6])
    };
    let layers = ["Conv_c", "Conv_d", "Gemm_g", "MatMul_y"];
    let wanted = found(&[("x", Second), ("f", Last), ("g", Last)], &[Some("x"), None, Some("f"), Some("g")]);
    for policy in ["", "weights: { avoid_saturation: false }\n"] {
        assert_eq!(asked(policy, net(), &layers), wanted, "{policy}");
    }
}

#[test]
fn pooling_keeps_the_channels_of_what_it_pools() {
    let pool = |net: Builder, x, y| net.node("MaxPool", &[x], &[y], vec![ints("kernel_shape", &[2, 2])]);
    let net = pool(pool(start(), "c", "p"), "p", "q");
    let made = asked("", conv(net, "q", "y").output("y", &[1, 4, 6, 6]), &["Conv_y"]);
    assert_eq!(made, found(&[("x", Second), ("c", Second)], &[Some("c")]));
}

#[test]
fn pooling_mixes_the_columns_of_a_matrix() {
    let net = start().noise("m", &[7, 5], 1).node("MaxPool", &["c"], &["p"], vec![ints("kernel_shape", &[2, 2])]);
    let made = asked("", net.node("MatMul", &["p", "m"], &["y"], vec![]).output("y", &[1, 4, 7, 5]), &["MatMul_y"]);
    assert_eq!(made, found(&[("x", Second), ("p", Last)], &[Some("p")]));
}

#[test]
fn a_stated_range_leaves_nothing_to_observe() {
    let policy = "rules:\n  - match: { value: c }\n    range: [-1, 6.5]\n";
    let net = start().node("Transpose", &["c"], &["t"], vec![ints("perm", &[0, 1, 3, 2])]);
    let made = asked(policy, conv(net, "t", "y").output("y", &[1, 4, 8, 8]), &["Conv_y"]);
    assert_eq!(made, found(&[("x", Second)], &[None]));
}

#[test]
fn a_weight_of_several_layers_stays_one() {
    let net = start().noise("w", &[4, 4, 1, 1], 1);
    let net = net.node("Conv", &["c", "w"], &["d"], vec![]).node("Conv", &["d", "w"], &["y"], vec![]);
    let made = asked("", net.output("y", &[1, 4, 8, 8]), &["Conv_d", "Conv_y"]);
    assert_eq!(made, found(&[("x", Second)], &[None, None]));
}
