//! Weights that were made small before they came here: zeros of a pruned weight stay zeros, and a weight of a few values does
//! not get more of them.

use super::*;

const INNER: usize = 48;
const OUTER: usize = 12;

/// A matrix and the identity as what it multiplies: what comes out is the weight as it is stored.
fn matrix(weights: &[f32]) -> Builder {
    let net = Builder::new(21).input("x", &[INNER as i64, INNER as i64]).floats("w", &[INNER, OUTER], weights);
    net.node("MatMul", &["x", "w"], &["y"], vec![]).output("y", &[INNER as i64, OUTER as i64])
}

fn stored(weights: &[f32], policy: &str) -> Vec<f32> {
    let made = quantized_by(policy, matrix(weights));
    let mut identity = vec![0f32; INNER * INNER];
    identity.iter_mut().step_by(INNER + 1).for_each(|v| *v = 1.0);
    let executor = Tract::default();
    let session = Session::new(&executor, &made.model, vec![]).expect("a model");
    let feeds = [Tensor::from_f32(vec![INNER, INNER], &identity)];
    let outputs = session.run(&feeds, &mut |_, _, _| {}).expect("a run");
    outputs[0].to_f32().expect("numbers").into_owned()
}

/// Every scheme of mode weight-only.
fn schemes() -> Vec<String> {
    let mut all = Vec::new();
    for range in ["minmax", "least_error"] {
        for dtype in ["int8", "uint8", "int4", "uint4", "int2", "uint2"] {
            for symmetric in [true, false] {
                for granularity in [
                    "per_tensor",
                    "per_channel",
                    "per_block, block_size: 16",
                    "per_block, block_size: 16, form: contrib",
                ] {
                    all.push(format!(
                        "type: {dtype}, symmetric: {symmetric}, granularity: {granularity}, range: {range}"
                    ));
                }
            }
        }
        for dtype in ["nf4", "fp4"] {
            all.push(format!("type: {dtype}, granularity: per_block, block_size: 16, form: contrib, range: {range}"));
        }
    }
    for dtype in ["int8", "uint8", "int4", "uint4", "int2", "uint2"] {
        for granularity in ["per_channel", "per_block, block_size: 16", "per_block, block_size: 16, form: contrib"] {
            all.push(format!("type: {dtype}, symmetric: false, granularity: {granularity}, range: hqq"));
        }
    }
    all
}

#[test]
fn zeros_of_a_pruned_weight_stay_zeros() {
    let mut weights = noise(INNER * OUTER, 3);
    // Not about zero, so that zero points are not in the middle.
    weights.iter_mut().enumerate().for_each(|(i, v)| *v = if i % 3 == 0 { 0.0 } else { *v + 0.4 });
    weights[..16 * OUTER].iter_mut().step_by(OUTER).for_each(|v| *v = 0.0);
    for scheme in schemes() {
        let found = stored(&weights, &format!("mode: weight-only\nweights: {{ {scheme} }}\n"));
        assert!(weights.iter().zip(&found).all(|(w, f)| *w != 0.0 || *f == 0.0), "{scheme}");
        assert!(found.iter().any(|f| *f != 0.0), "{scheme}");
    }
}

#[test]
fn zeros_are_the_zero_point_where_activations_are_integers_too() {
    let mut weights = noise(INNER * OUTER, 4);
    weights.iter_mut().enumerate().for_each(|(i, v)| *v = if i % 3 == 0 { 0.0 } else { *v + 0.4 });
    for mode in ["static", "dynamic"] {
        for dtype in ["int8", "uint8"] {
            for rest in ["per_channel", "per_tensor", "per_tensor, symmetric: false", "per_channel, range: minmax"] {
                let policy = format!("mode: {mode}\nweights: {{ type: {dtype}, granularity: {rest} }}\n");
                let made = quantized_by(&policy, matrix(&weights));
                let constant = |name: &str| {
                    let value = made.graph().find(name)?;
                    let constant = made.graph().constant(value).expect("a tensor")?;
                    Some(constant.to_i64().expect("integers").into_owned())
                };
                let integers = constant("w_quantized").expect("integers");
                // Operators on integers share one of each type, and are not told a zero point of 0.
                let names = ["w_zero_point", "int8_zero_point", "uint8_zero_point"];
                let zeros = names.into_iter().find_map(constant).unwrap_or_else(|| vec![0]);
                let zero = |i: usize| zeros[if zeros.len() == 1 { 0 } else { i % OUTER }];
                assert!((0..weights.len()).all(|i| weights[i] != 0.0 || integers[i] == zero(i)), "{policy}");
            }
        }
    }
}

fn distinct(numbers: impl Iterator<Item = f32>) -> usize {
    let mut bits: Vec<u32> = numbers.map(|v| (v + 0.0).to_bits()).collect();
    bits.sort_unstable();
    bits.dedup();
    bits.len()
}

fn clustered(values: &[f32]) -> Vec<f32> {
    noise(INNER * OUTER, 5).iter().map(|v| values[(v.abs() * 997.0) as usize % values.len()]).collect()
}

#[test]
fn a_weight_of_few_values_does_not_get_more() {
    let values = [-0.71f32, -0.2, 0.0, 0.05, 0.33, 0.9];
    for scheme in schemes() {
        let found = stored(&clustered(&values), &format!("mode: weight-only\nweights: {{ {scheme} }}\n"));
        let count = distinct(found.iter().copied());
        assert!((2..=values.len()).contains(&count), "{scheme}: {count}");
    }
    for policy in ["mode: static\n", "mode: dynamic\n", "mode: static\nweights: { granularity: per_tensor }\n"] {
        let made = quantized_by(policy, matrix(&clustered(&values)));
        let constant = |name: &str| {
            let value = made.graph().find(name).expect(name);
            made.graph().constant(value).expect("a tensor").expect("a constant").to_f32().expect("numbers").into_owned()
        };
        let (integers, scales) = (constant("w_quantized"), constant("w_scale"));
        let found = integers.iter().enumerate().map(|(i, q)| q * scales[if scales.len() == 1 { 0 } else { i % OUTER }]);
        assert!(distinct(found) <= values.len(), "{policy}");
    }
}

#[test]
fn what_is_not_clustered_has_its_own_grids() {
    let scheme = "mode: weight-only\nweights: { type: int8, granularity: per_channel }\n";
    // Each channel has its own size.
    let alone: Vec<f32> =
        noise(INNER * OUTER, 6).iter().enumerate().map(|(i, v)| v / (1 << (i % OUTER)) as f32).collect();
    // Each has one number, which its own grid holds exactly.
    let even: Vec<f32> = (0..INNER * OUTER).map(|i| 1.0 / (1 << (i % OUTER)) as f32).collect();
    for weights in [alone, even] {
        let found = stored(&weights, scheme);
        let last = |numbers: &[f32]| numbers.iter().skip(OUTER - 1).step_by(OUTER).copied().collect::<Vec<f32>>();
        let (wanted, found) = (last(&weights), last(&found));
        let step = wanted.iter().fold(0f32, |most, w| most.max(w.abs())) / 127.0;
        assert!(wanted.iter().zip(&found).all(|(w, f)| (w - f).abs() <= step), "{wanted:?} {found:?}");
    }
}
