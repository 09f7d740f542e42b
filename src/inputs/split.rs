//! Which samples calibrate and which validate: by arithmetic alone, so that every run chooses the same ones.

/// One sample in this many is held out for validation.
const HOLD_OUT: usize = 5;

/// Evenly spaced choice of at most `max` of the indices `0..len`, ascending, beginning with 0.
pub fn spread(len: usize, max: usize) -> Vec<usize> {
    let count = len.min(max);
    // In 128 bits the product cannot overflow, and the quotient is below `len`.
    (0..count).map(|i| (i as u128 * len as u128 / count as u128) as usize).collect()
}

/// Splits `0..len` into samples that calibrate (at most `calibration_max`) and samples that validate (at most
/// `validation_max`), both ascending and evenly spaced.
///
/// Every fifth sample is held out for validation, at least one where there are two or more; a single sample calibrates.
/// What is held out depends on `len` alone: another maximum never moves a sample from one side to the other, so that
/// runs with different settings stay comparable.
pub fn split(len: usize, calibration_max: usize, validation_max: usize) -> (Vec<usize>, Vec<usize>) {
    if len < HOLD_OUT {
        // Too few for every fifth: the last one validates.
        let held = usize::from(len >= 2);
        let validation = if held == 1 && validation_max > 0 { vec![len - 1] } else { Vec::new() };
        return (spread(len - held, calibration_max), validation);
    }
    let held = len / HOLD_OUT;
    let keep = HOLD_OUT - 1;
    let calibration = spread(len - held, calibration_max).into_iter().map(|k| k / keep * HOLD_OUT + k % keep).collect();
    let validation = spread(held, validation_max).into_iter().map(|k| k * HOLD_OUT + keep).collect();
    (calibration, validation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_takes_all_or_evenly() {
        assert_eq!(spread(4, 10), [0, 1, 2, 3]);
        assert_eq!(spread(10, 5), [0, 2, 4, 6, 8]);
        assert_eq!(spread(10, 3), [0, 3, 6]);
        assert_eq!(spread(0, 3), [0usize; 0]);
        assert_eq!(spread(3, 0), [0usize; 0]);
        assert_eq!(spread(usize::MAX, 2), [0, usize::MAX / 2]);
    }

    #[test]
    fn sides_never_overlap_and_together_are_everything() {
        for len in 0..60 {
            let (calibration, validation) = split(len, len, len);
            let mut all = [calibration.clone(), validation.clone()].concat();
            all.sort_unstable();
            assert_eq!(all, (0..len).collect::<Vec<_>>(), "of {len}");
            assert!(calibration.is_sorted() && validation.is_sorted());
            assert_eq!(validation.len(), if len < 2 { 0 } else { (len / 5).max(1) });
        }
    }

    #[test]
    fn a_maximum_thins_but_moves_nothing_across() {
        let (all_calibration, all_validation) = split(1000, 1000, 1000);
        let (calibration, validation) = split(1000, 100, 30);
        assert_eq!((calibration.len(), validation.len()), (100, 30));
        assert!(calibration.iter().all(|i| all_calibration.contains(i)));
        assert!(validation.iter().all(|i| all_validation.contains(i)));
        // Evenly: no gap is more than twice the mean distance.
        assert!(calibration.windows(2).all(|w| w[1] - w[0] <= 20));
        assert_eq!(split(1000, 100, 0), (calibration, Vec::new()));
    }

    #[test]
    fn few_samples() {
        assert_eq!(split(1, 9, 9), (vec![0], vec![]));
        assert_eq!(split(2, 9, 9), (vec![0], vec![1]));
        assert_eq!(split(4, 9, 9), (vec![0, 1, 2], vec![3]));
        assert_eq!(split(4, 2, 0), (vec![0, 1], vec![]));
    }
}
