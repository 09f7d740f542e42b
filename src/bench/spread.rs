//! Many measurements in a few numbers.

use serde::{Deserialize, Serialize};

/// Where measurements lie. Outliers, of which a busy machine makes many in one direction, move neither the median nor the tenths.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of them are smaller.
    pub median: f64,
    /// A tenth of them is smaller.
    pub p10: f64,
    /// A tenth of them is larger.
    pub p90: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Where the median of many more would lie, with 95 % confidence, whatever their distribution.
    pub median_ci95: [f64; 2],
}

impl Spread {
    /// That of `values`; `None` where there are none. Between two measurements it is interpolated.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let at = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        // So many of them are below their median is a binomial distribution.
        let (half, deviation) = (sorted.len() as f64 / 2.0, 0.98 * (sorted.len() as f64).sqrt());
        let rank = |place: f64| sorted[(place.max(0.0) as usize).min(sorted.len() - 1)];
        let median_ci95 = [rank((half - deviation).floor() - 1.0), rank((half + deviation).ceil())];
        Some(Self { median: at(0.5), p10: at(0.1), p90: at(0.9), min, max, median_ci95 })
    }

    /// Whether the measurements leave open on which side of `value` the median is.
    pub fn leaves_open(&self, value: f64) -> bool {
        let [low, high] = self.median_ci95;
        (low..=high).contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_does_not_matter_and_outliers_move_only_the_ends() {
        let mut values: Vec<f64> = (0..=100).map(f64::from).rev().collect();
        let spread = Spread::of(&values).expect("values");
        let wanted = Spread { median: 50.0, p10: 10.0, p90: 90.0, min: 0.0, max: 100.0, median_ci95: [39.0, 61.0] };
        assert_eq!(spread, wanted);
        values[0] = 1e9;
        assert_eq!(Spread::of(&values), Some(Spread { max: 1e9, ..spread }));
        assert!(spread.leaves_open(39.0) && !spread.leaves_open(38.9) && !spread.leaves_open(61.1));
    }

    #[test]
    fn one_value_and_none_are_fine() {
        let [median, p10, p90, min, max] = [2.0; 5];
        assert_eq!(Spread::of(&[2.0]), Some(Spread { median, p10, p90, min, max, median_ci95: [2.0; 2] }));
        assert_eq!(Spread::of(&[]), None);
        let two = Spread::of(&[2.0, 1.0]).expect("values");
        assert_eq!((two.median, two.median_ci95), (1.5, [1.0, 2.0]));
    }
}
