//! What is said of grids: too wide, too narrow, and what calibrators cut off.

use super::super::error::{LayerError, LayerSums};
use super::super::grid::Grid;
use super::super::places::Place;
use super::super::{Cause, RARELY_CUT};
use crate::ir::build;
use crate::quant::{GridType, Params};
use crate::tensor::Tensor;

const ALL: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

/// A grid of eight bits from `low` to `high`, both of which may be reached.
fn over(low: f32, high: f32) -> Grid {
    let scale = (high - low) / 255.0;
    let params = Params { dtype: GridType::Uint8, scale, zero_point: (-low / scale).round() as i32 };
    Grid { params, bounds: ALL, fixed: None }
}

/// What is said of a value that is `numbers` in both models, on `grid`.
fn said(numbers: &[f32], grid: Grid) -> LayerError {
    let place = Place {
        name: "v".to_owned(),
        node: "n".to_owned(),
        op_type: "Conv".to_owned(),
        is_inner: false,
        has_bodies: false,
        axis: 0,
        steps: vec![],
        grid: Some(grid),
    };
    let tensor = Some(Tensor::from_f32(vec![numbers.len()], numbers));
    let sums = LayerSums::of(&place, tensor.as_ref(), [&tensor, &tensor, &tensor]).expect("sums");
    LayerError::of(&place, &[&sums], None)
}

/// A thousand numbers from -1 to 1.
fn numbers() -> Vec<f32> {
    build::noise(1000, 7)
}

#[test]
fn a_grid_that_fits_is_none_that_is_suspect() {
    let said = said(&numbers(), over(-1.0, 1.01));
    assert!(said.suspect.is_none() && said.rarely_cut().is_none(), "{said:?}");
    assert!(said.steps_excess_db.is_some_and(|db| db.abs() < 1.0) && said.grid_excess_db.is_some(), "{said:?}");
}

#[test]
fn four_times_the_scale_is_suspect_even_of_a_range_that_was_cut() {
    let whole = said(&numbers(), over(-4.0, 4.1));
    let found = whole.suspect.expect("a suspect");
    assert!(found.cause == Cause::Steps && (11.0..13.0).contains(&found.excess_db), "{whole:?}");
    assert_eq!(whole.why().expect("words"), "its grid is off by 12 dB more than its type explains");
    // Four times a grid over a little more than half of the range.
    let half = said(&build::noise(20_000, 7), over(-2.15, 2.2));
    assert!(half.suspect.is_some_and(|found| found.cause == Cause::Steps), "{half:?}");
    // Few numbers do not reach as far as those that calibrated.
    let few = said(&numbers(), over(-2.15, 2.2));
    assert!(few.suspect.is_none() && few.steps_excess_db.is_some_and(|db| db > 6.0), "{few:?}");
}

#[test]
fn what_is_rare_may_be_cut_off_and_what_is_common_may_not() {
    let mut numbers = numbers();
    numbers[500] = 4.0;
    let rare = said(&numbers, over(-1.2, 1.21));
    assert!(rare.suspect.is_none(), "{rare:?}");
    assert!(rare.grid_excess_db.is_some_and(|db| db > 20.0), "{rare:?}");
    let cut = rare.rarely_cut().expect("something cut off");
    assert!((cut.share - 0.001).abs() < 1e-6 && cut.reach.is_some_and(|reach| (3.2..3.4).contains(&reach)), "{cut:?}");
    let words = cut.to_string();
    assert!(
        words.starts_with("0.1 % of its numbers lie beyond it, up to 3.31 times as far; that alone leaves"),
        "{words}"
    );
    assert!(RARELY_CUT.contains("calibrator: minmax"));
    let common = said(&numbers, over(-0.3, 0.31));
    assert!(
        common.suspect.is_some_and(|found| found.cause == Cause::Range) && common.rarely_cut().is_none(),
        "{common:?}"
    );
    assert!(common.why().is_some_and(|why| why.starts_with("its grid cuts off too much: ")), "{common:?}");
    // Many numbers that lie hardly beyond lose nothing to speak of.
    let little = said(&numbers.iter().map(|v| v.min(1.0)).collect::<Vec<_>>(), over(-0.95, 1.0));
    let cut = little.cut_off.expect("something cut off");
    assert!(little.suspect.is_none() && cut.share > 0.01 && cut.sqnr_db > 30.0, "{little:?}");
}

#[test]
fn a_symmetric_grid_may_waste_half_of_it_and_a_fixed_one_what_the_operator_leaves() {
    let positive: Vec<f32> = numbers().iter().map(|v| v.abs()).collect();
    let symmetric = Params { dtype: GridType::Uint8, scale: 1.0 / 127.0, zero_point: 128 };
    let symmetric = said(&positive, Grid { params: symmetric, bounds: ALL, fixed: None });
    assert!(symmetric.steps_excess_db.is_some_and(|db| db.abs() < 1.0), "{symmetric:?}");
    let small: Vec<f32> = positive.iter().map(|v| v * 0.2).collect();
    assert!(said(&small, over(0.0, 1.0)).is_suspect());
    let fixed = said(&small, Grid { fixed: Some((0.0, 1.0)), ..over(0.0, 1.0) });
    assert!(!fixed.is_suspect() && fixed.grid_excess_db.is_some(), "{fixed:?}");
}

#[test]
fn beyond_the_bounds_of_clamps_nothing_is_looked_at() {
    let wide: Vec<f32> = numbers().iter().map(|v| v * 3.0).collect();
    let grid = Grid { bounds: (0.0, 1.0), ..over(0.0, 1.0) };
    let good = said(&wide, grid);
    assert!(good.cut_off.is_none() && !good.is_suspect() && good.alone_db.is_some_and(|db| db > 40.0), "{good:?}");
    assert!(said(&wide, over(0.0, 1.0)).is_suspect());
    // Within them its steps count.
    let coarse = said(&wide, Grid { bounds: (0.0, 1.0), ..over(0.0, 4.0) });
    assert!(coarse.suspect.is_some_and(|found| found.cause == Cause::Steps), "{coarse:?}");
}
