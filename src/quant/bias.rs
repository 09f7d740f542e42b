//! Int32 biases. A bias is added to a sum of products, so its scale is the product of input and weight scale.

use super::params::Params;

/// The largest magnitude a bias may take. A quarter of the int32 range is left to the sum of products it is added to.
const BIAS_LIMIT: f64 = (1u64 << 30) as f64;

/// A weight scale at least `weight_scale`, large enough that `bias` in steps of `input_scale * weight_scale` stays within
/// 2^30, and that the product of the scales is a normal float32.
///
/// A channel whose weights are all (nearly) zero has a tiny scale of its own; without this its bias would saturate and
/// ruin the model (a dead channel keeps its bias after BatchNormalization is folded).
pub fn guard_weight_scale(weight_scale: f32, input_scale: f32, bias: f32) -> f32 {
    let input = f64::from(input_scale);
    let needed = (f64::from(bias).abs() / BIAS_LIMIT).max(f64::from(f32::MIN_POSITIVE)) / input;
    if f64::from(weight_scale) >= needed {
        return weight_scale;
    }
    // Rounding to float32 must not fall below what is needed.
    ((needed * (1.0 + 1e-6)) as f32).max(f32::MIN_POSITIVE)
}

/// A bias as int32, with the scale of each element.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedBias {
    /// The integers.
    pub values: Vec<i32>,
    /// `input_scale * weight_scale`: one where there is one weight grid, else one for each element.
    pub scales: Vec<f32>,
}

impl QuantizedBias {
    /// Whether int32 reaches as far as `bias`.
    pub fn holds(&self, bias: &[f32]) -> bool {
        let steps = |(&b, &scale): (&f32, &f32)| f64::from(b) / f64::from(scale);
        bias.iter().zip(self.scales.iter().cycle()).map(steps).all(|steps| steps.abs() <= f64::from(i32::MAX))
    }
}

impl QuantizedBias {
    /// What is left of the bias.
    pub fn numbers(&self) -> Vec<f32> {
        self.values.iter().zip(self.scales.iter().cycle()).map(|(&value, &scale)| value as f32 * scale).collect()
    }
}

/// `bias` in steps of `input_scale * weight scale`, saturated to int32. `weights` holds one grid, one for each element, or
/// one for each element of a group, where the groups of a transposed convolution share them.
pub fn quantize_bias(bias: &[f32], input_scale: f32, weights: &[Params]) -> QuantizedBias {
    let count = if weights.len() == 1 { 1 } else { bias.len() };
    let scales: Vec<f32> = weights.iter().cycle().take(count).map(|p| input_scale * p.scale).collect();
    let values = bias.iter().zip(scales.iter().cycle());
    let values = values.map(|(&b, &scale)| (f64::from(b) / f64::from(scale)).round_ties_even() as i32).collect();
    QuantizedBias { values, scales }
}

#[cfg(test)]
mod tests {
    use super::super::GridType;
    use super::*;

    #[test]
    fn a_bias_far_larger_than_the_steps_keeps_its_value() {
        for (weight_scale, input_scale, bias) in
            [(1e-12f32, 0.02f32, 3.5f32), (1.0, 1e-20, -4e3), (1e-30, 1e-30, 1e-3), (0.01, 0.02, 0.3)]
        {
            let guarded = guard_weight_scale(weight_scale, input_scale, bias);
            let q =
                quantize_bias(&[bias], input_scale, &[Params { dtype: GridType::Int8, scale: guarded, zero_point: 0 }]);
            let back = f64::from(q.values[0]) * f64::from(q.scales[0]);
            let step = f64::from(q.scales[0]);
            assert!(
                (back - f64::from(bias)).abs() <= step * 0.5 + f64::from(bias).abs() * 1e-6,
                "{bias} became {back}"
            );
            assert!(q.values[0].unsigned_abs() <= 1 << 30);
        }
        assert_eq!(guard_weight_scale(0.01, 0.02, 0.3), 0.01);
    }

    #[test]
    fn a_bias_beyond_int32_is_noticed() {
        let grid = |scale| [Params { dtype: GridType::Int8, scale, zero_point: 0 }];
        assert!(quantize_bias(&[4.0], 0.5, &grid(1e-8)).holds(&[4.0]));
        assert!(!quantize_bias(&[4.0], 0.5, &grid(1e-9)).holds(&[4.0]));
        assert!(!quantize_bias(&[4.0], 1e-30, &grid(1e-30)).holds(&[4.0]));
    }

    #[test]
    fn one_grid_serves_every_element() {
        let w = Params { dtype: GridType::Uint8, scale: 0.5, zero_point: 3 };
        assert_eq!(quantize_bias(&[1.0, -2.0], 0.5, &[w]), QuantizedBias { values: vec![4, -8], scales: vec![0.25] });
    }

    #[test]
    fn groups_share_the_grids_of_a_transposed_weight() {
        let grid = |scale| Params { dtype: GridType::Int8, scale, zero_point: 0 };
        let made = quantize_bias(&[1.0, 1.0, -2.0, -2.0], 0.5, &[grid(0.5), grid(2.0)]);
        assert_eq!(made, QuantizedBias { values: vec![4, 1, -8, -2], scales: vec![0.25, 1.0, 0.25, 1.0] });
    }
}
