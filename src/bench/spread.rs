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
        Some(Self { median: at(0.5), p10: at(0.1), p90: at(0.9), min, max })
    }

    /// Whether most measurements leave open on which side of `value` the truth is.
    pub fn holds(&self, value: f64) -> bool {
        (self.p10..=self.p90).contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_does_not_matter_and_outliers_move_only_the_ends() {
        let mut values: Vec<f64> = (0..=10).map(f64::from).rev().collect();
        let spread = Spread::of(&values).expect("values");
        assert_eq!(spread, Spread { median: 5.0, p10: 1.0, p90: 9.0, min: 0.0, max: 10.0 });
        values[0] = 1e9;
        assert_eq!(Spread::of(&values), Some(Spread { max: 1e9, ..spread }));
        assert!(spread.holds(1.0) && !spread.holds(0.5));
    }

    #[test]
    fn one_value_and_none_are_fine() {
        assert_eq!(Spread::of(&[2.0]), Some(Spread { median: 2.0, p10: 2.0, p90: 2.0, min: 2.0, max: 2.0 }));
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[1.0, 2.0]).expect("values").median, 1.5);
    }
}
