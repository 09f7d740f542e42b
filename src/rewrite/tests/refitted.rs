//! Refitted layers: their integers stay, scales and biases change.

use super::*;
use crate::tune::Refit;
use crate::tune::rounding::Rounding;

const GAINS: [f32; 4] = [1.0, 0.9, 1.2, 1.1];
const SHIFTS: [f32; 4] = [0.0, 0.05, -0.1, 0.02];

/// The same model as it is, and with the layer called `node` refitted.
fn both(policy: &str, net: impl Fn() -> Builder, node: &str) -> [Made; 2] {
    both_with(policy, net, |made, resolved| {
        let layer = made.nodes.iter().find(|one| one.name == node).expect("the layer").id;
        resolved.set_refits([(layer, Refit { gains: GAINS.to_vec(), shifts: SHIFTS.to_vec() })]);
    })
}

/// The same model as it is, and with more that was `found`.
fn both_with(policy: &str, net: impl Fn() -> Builder, found: impl Fn(&Plan, &mut Resolved)) -> [Made; 2] {
    [false, true].map(|with| {
        let model = net().build();
        let (settings, mut ready) = (settings(policy), model.clone());
        prepare(
            &mut ready,
            &Tract::default(),
            &Options { for_integers: true, bodies: settings.reaches_bodies(), ..Options::default() },
        )
        .expect("prepared");
        let made = plan(&ready.graph, &settings, &OnnxRuntimeCpu, &[], &Known::default()).expect("a plan");
        let mut resolved = resolve(&made, &calibrated(&ready, &made)).expect("grids");
        if with {
            found(&made, &mut resolved);
        }
        insert_qdq(&mut ready, &made, &resolved).expect("a quantized model");
        ready.graph.verify().expect("a sound graph");
        Made { original: model, model: ready, plan: made, resolved }
    })
}

/// What a stored constant stands for.
fn numbers(made: &Made, node: NodeId, slot: usize) -> Vec<f32> {
    let [integers, scale, _] = made.constant(node, slot);
    let scales = scale.to_f32().expect("numbers").into_owned();
    let each = integers.len() / scales.len();
    integers.to_i64().expect("integers").iter().enumerate().map(|(at, &v)| v as f32 * scales[at / each]).collect()
}

#[test]
fn gains_go_into_scales_and_shifts_into_the_bias() {
    let net = || {
        let net = Builder::new(13).input("x", &[1, 4, 8, 8]).noise("w", &[4, 4, 3, 3], 1).noise("b", &[4], 2);
        net.node("Conv", &["x", "w", "b"], &["y"], vec![]).output("y", &[1, 4, 6, 6])
    };
    let [plain, refitted] = both("", net, "Conv_y");
    let (conv, other) = (plain.the("Conv"), refitted.the("Conv"));
    assert_eq!(plain.constant(conv, 1)[0].bytes(), refitted.constant(other, 1)[0].bytes());
    let scales = |made: &Made, node, slot: usize| made.constant(node, slot)[1].to_f32().expect("numbers").into_owned();
    let (before, after) = (scales(&plain, conv, 1), scales(&refitted, other, 1));
    assert!(
        before.iter().zip(&after).zip(GAINS).all(|((b, a), gain)| (a / b - gain).abs() < 1e-6),
        "{before:?} {after:?}"
    );
    // The bias is in steps of input and weight as ever, and is what gain and shift make of the one that was rounded.
    let (input, _) = refitted.activation(other, 0);
    let steps = scales(&refitted, other, 2);
    assert!(steps.iter().zip(&after).all(|(step, weight)| *step == input * weight));
    let (was, is) = (numbers(&plain, conv, 2), numbers(&refitted, other, 2));
    for (channel, (was, is)) in was.iter().zip(&is).enumerate() {
        let wanted = GAINS[channel] * was + SHIFTS[channel];
        assert!((is - wanted).abs() <= 0.51 * steps[channel], "{is} beside {wanted}");
    }
}

#[test]
fn a_layer_without_a_bias_gets_one_and_a_float_bias_stays_float() {
    let net = || conv(Builder::new(13).input("x", &[1, 4, 8, 8]), "x", "y").output("y", &[1, 4, 8, 8]);
    let without = || {
        let net = Builder::new(13).input("x", &[1, 4, 8, 8]).noise("w", &[4, 4, 1, 1], 1);
        net.node("Conv", &["x", "w"], &["y"], vec![]).output("y", &[1, 4, 8, 8])
    };
    let [plain, refitted] = both("", without, "Conv_y");
    assert_eq!(plain.graph().node(plain.the("Conv")).input(2), None);
    let (conv, steps) = (refitted.the("Conv"), refitted.constant(refitted.the("Conv"), 2)[1].clone());
    let steps = steps.to_f32().expect("numbers").into_owned();
    let bias = numbers(&refitted, conv, 2);
    assert!(bias.iter().zip(SHIFTS).zip(&steps).all(|((b, shift), step)| (b - shift).abs() <= 0.51 * step), "{bias:?}");
    let [plain, refitted] = both("weights: { bias: float32 }\n", net, "Conv_y");
    let bias = |made: &Made| {
        let value = made.input(made.the("Conv"), 2);
        made.graph().constant(value).expect("readable").expect("a constant").to_f32().expect("float").into_owned()
    };
    let (was, is) = (bias(&plain), bias(&refitted));
    for channel in 0..4 {
        assert!((is[channel] - (GAINS[channel] * was[channel] + SHIFTS[channel])).abs() < 1e-6, "{was:?} {is:?}");
    }
}

#[test]
fn the_addend_behind_a_product_takes_the_shifts_alone() {
    let net = || {
        let net = Builder::new(13).input("x", &[3, 6]).noise("w", &[6, 4], 1).noise("b", &[4], 2);
        let net = net.node("MatMul", &["x", "w"], &["m"], vec![]).node("Add", &["m", "b"], &["s"], vec![]);
        net.node("Erf", &["s"], &["y"], vec![]).output("y", &[3, 4])
    };
    let [plain, refitted] = both("", net, "MatMul_m");
    let addend = |made: &Made| {
        let add = made.the("Add");
        (0..2).find_map(|slot| {
            let value = made.input(add, slot);
            let from = made.graph().value(value).producer().filter(|&id| made.graph().node(id).is("DequantizeLinear"));
            match from {
                Some(_) if made.graph().constant(made.input(from?, 0)).ok()?.is_some() => {
                    Some(numbers(made, add, slot))
                }
                Some(_) => None,
                None => Some(made.graph().constant(value).ok()??.to_f32().ok()?.into_owned()),
            }
        })
    };
    let (was, is) = (addend(&plain).expect("a bias"), addend(&refitted).expect("a bias"));
    for channel in 0..4 {
        assert!((is[channel] - (was[channel] + SHIFTS[channel])).abs() < 2e-3, "{was:?} {is:?}");
    }
}

#[test]
fn what_is_found_for_a_node_is_not_for_one_in_a_body() {
    // Ids begin anew in each body: the same may be that of a node of the graph around.
    let inside = |plan: &Plan| plan.bodies.iter().flat_map(|body| &body.plan.nodes).next().expect("a layer").id;
    for policy in ["mode: weight-only", "mode: dynamic"] {
        let rounding = Rounding { steps: vec![1; 16] };
        let found = |plan: &Plan, resolved: &mut Resolved| resolved.set_roundings([(inside(plan), rounding.clone())]);
        let [plain, rounded] = both_with(policy, || dynamic::branches_of(4), found);
        assert!(plain.graph().body(plain.the("If"), 0).is_ok_and(|body| body.node_ids().count() > 1));
        let bytes = [&plain, &rounded].map(|made| crate::file::to_bytes(&made.model).expect("a model"));
        assert!(bytes[0] == bytes[1], "{policy}");
    }
}
