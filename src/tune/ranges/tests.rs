use super::*;
use crate::quant::GridType;
use std::sync::Mutex;

const U8: Scheme = Scheme::new(GridType::Uint8, false);

/// A stretch that rounds numbers of its own on two grids: what it makes is their sum.
struct Sum {
    /// The numbers of each sample, ahead of each grid.
    numbers: Vec<[Vec<f32>; 2]>,
    grids: [Params; 2],
    runs: Mutex<usize>,
}

impl Stretch for Sum {
    fn grids(&self) -> Vec<usize> {
        vec![0, 1, 0]
    }

    fn samples(&self) -> usize {
        self.numbers.len()
    }

    fn errors(&self, changed: &[(usize, Params)], samples: &[usize]) -> Result<Vec<f64>> {
        *self.runs.lock().expect("nobody panicked") += 1;
        let mut grids = self.grids;
        changed.iter().for_each(|&(grid, params)| grids[grid] = params);
        let rounded = |x: f32, grid: usize| grids[grid].dequantize(grids[grid].quantize(x));
        let one = |&sample: &usize| {
            let [a, b] = &self.numbers[sample];
            a.iter().zip(b).map(|(&a, &b)| f64::from(a + b - rounded(a, 0) - rounded(b, 1)).powi(2)).sum()
        };
        Ok(samples.iter().map(one).collect())
    }
}

/// Small numbers, and those of the samples `far` one that reaches far beyond.
fn sum(far: impl Fn(usize) -> bool, free: &[Free; 2]) -> Sum {
    let numbers = |sample: usize, k: u32| {
        let mut all = crate::ir::build::noise(200, sample as u32 * 2 + k);
        if k == 0 && far(sample) {
            all[0] = 20.0;
        }
        all
    };
    let numbers = (0..16).map(|sample| [numbers(sample, 0), numbers(sample, 1)]).collect();
    let grids = free.map(|free| Params::from_range(free.ends.0, free.ends.1, free.scheme));
    Sum { numbers, grids, runs: Mutex::new(0) }
}

fn free() -> [Free; 2] {
    [(-1.0, 20.0), (-1.0, 1.0)].map(|ends| Free { ends, scheme: U8 })
}

fn ranging(of_grid: Vec<Option<usize>>) -> Ranging {
    Ranging::new(free().to_vec(), of_grid, Instant::now() + std::time::Duration::from_secs(600))
}

#[test]
fn an_end_that_nothing_needs_is_drawn_in_and_all_grids_of_the_range_with_it() {
    let mut ranging = ranging(vec![Some(0), Some(1)]);
    let changes = ranging.choose(&sum(|_| false, &free())).expect("runs");
    let (low, high) = ranging.found[&0];
    assert!(low <= -0.9 && high == 20.0 * 0.55, "{low} {high}");
    assert!(changes.contains(&(0, Params::from_range(low, high, U8))));
    let again = ranging.choose(&sum(|_| false, &free())).expect("runs");
    assert!(again.is_empty(), "a range is chosen once");
}

#[test]
fn samples_that_did_not_fit_decide() {
    let mut unsure = ranging(vec![Some(0), Some(1)]);
    let odd = |sample: usize| sample % 2 == 1;
    assert!(unsure.choose(&sum(odd, &free())).expect("runs").is_empty() && unsure.found.is_empty());
    assert!(
        is_sure(&[0.5, 0.4, 0.6]) && !is_sure(&[0.01, 0.01, 0.01]) && !is_sure(&[3.0, -2.5, 0.1]) && !is_sure(&[1.0])
    );
}

#[test]
fn ranges_that_are_not_free_and_blocks_without_time_stay_as_they_are() {
    let known = sum(|_| false, &free());
    assert!(ranging(vec![None, None]).choose(&known).expect("runs").is_empty());
    assert_eq!(*known.runs.lock().expect("nobody panicked"), 0);
    let mut late =
        Ranging::new(free().to_vec(), vec![Some(0), Some(1)], Instant::now() - std::time::Duration::from_secs(1));
    assert!(late.choose(&known).expect("runs").is_empty());
    assert_eq!((late.late, late.found.len()), (1, 0));
}

#[test]
fn a_symmetric_range_has_both_ends_moved_and_an_end_at_zero_stays() {
    let symmetric = Free { ends: (-3.0, 2.0), scheme: Scheme::new(GridType::Int8, true) };
    assert_eq!(symmetric.sides(), [true]);
    assert_eq!(symmetric.with(symmetric.ends, true, 0.5), (-1.5, 1.0));
    assert_eq!(Free { ends: (0.0, 2.0), scheme: U8 }.sides(), [true]);
    assert_eq!(Free { ends: (-1.0, 2.0), scheme: U8 }.with((-0.5, 1.0), false, 0.5), (-0.5, 1.0));
}
