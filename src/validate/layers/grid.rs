//! How well a grid serves the numbers on it: how fine it is, and what it cuts off.

use crate::quant::Params;
use serde::Serialize;
use std::fmt;

/// Calibrators cut off what is rare to round all else finer, and other samples reach further than theirs. From this share of the
/// numbers on it is no longer rare,
const COMMON: f64 = 0.005;
/// and below this SQNR in dB what is cut off is much. Where both hold the range is wrong.
const MUCH_DB: f64 = 24.0;

/// What it means that a grid cuts off what is rare.
pub const RARELY_CUT: &str = "which is no fault by itself: calibrators cut off what costs less than rounding all else coarser, and other \
    samples reach further than those that calibrated; more of these, or calibrator: minmax, widen the grids";

/// The grid of a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    pub params: Params,
    /// Beyond these bounds nobody reads its numbers as they are: clamps do.
    pub bounds: (f32, f32),
    /// Where its operator makes numbers of a fixed range, and the grid is that of the range: the range.
    pub fixed: Option<(f32, f32)>,
}

impl Grid {
    /// `number` as those see it that read it.
    pub fn read(&self, number: f32) -> f32 {
        // Unlike clamp it lets NaN pass, and any bounds.
        if number < self.bounds.0 {
            self.bounds.0
        } else if number > self.bounds.1 {
            self.bounds.1
        } else {
            number
        }
    }

    /// The same rounded to the grid.
    pub fn rounded(&self, number: f32) -> f32 {
        self.read(self.params.dequantize(self.params.quantize(number)))
    }

    /// The step of the narrowest grid of this type over the range: a symmetric one where this is.
    fn narrowest(&self, (low, high): (f32, f32)) -> f64 {
        let (bottom, top) = self.params.dtype.limits();
        let (low, high) = (f64::from(low), f64::from(high));
        let middle = (bottom + top + 1) / 2;
        if self.params.zero_point == middle {
            return high.max(-low) / f64::from(top - middle);
        }
        (high - low) / f64::from(top - bottom)
    }
}

/// What a grid cuts off of the numbers of a value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CutOff {
    /// The share of its numbers, zeros aside, that lie beyond the ends of its grid, from 0 to 1.
    pub share: f64,
    /// How far the furthest of them reaches, as a multiple of what the grid has on that side of zero; `None` where it has nothing.
    pub reach: Option<f64>,
    /// SQNR in dB of the value where nothing but this is wrong.
    pub sqnr_db: f64,
}

impl CutOff {
    /// Whether so much is cut off that the range is wrong.
    pub(super) fn is_fault(&self) -> bool {
        self.share >= COMMON && self.sqnr_db < MUCH_DB
    }
}

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of its numbers lie beyond it", share(self.share))?;
        if let Some(reach) = self.reach {
            write!(f, ", up to {reach:.2} times as far")?;
        }
        write!(f, "; that alone leaves {:.1} dB", self.sqnr_db)
    }
}

/// A share as a percentage, of two digits where it is small.
fn share(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.1.. => format!("{percent:.1} %"),
        0.001.. => format!("{percent:.3} %"),
        _ => "less than 0.001 %".to_owned(),
    }
}

/// Sums over the numbers of a value, to judge its grid.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct GridSums {
    /// Squared error of what lies within the ends of the grid, and beyond.
    rounding: f64,
    cut: f64,
    signal: f64,
    /// Elements that are not 0, which every grid has, nor cut off by clamps; those of them beyond the ends.
    count: u64,
    beyond: u64,
    low: f32,
    high: f32,
}

impl GridSums {
    pub fn of(grid: &Grid, numbers: &[f32]) -> Self {
        let (bottom, top) = grid.params.real_range();
        let half = grid.params.scale / 2.0;
        let mut sums = Self::default();
        for &number in numbers {
            let read = grid.read(number);
            let error = Some(f64::from(read - grid.rounded(number)).powi(2)).filter(|e| e.is_finite()).unwrap_or(0.0);
            let beyond = read > top + half || read < bottom - half;
            *(if beyond { &mut sums.cut } else { &mut sums.rounding }) += error;
            sums.signal += Some(f64::from(read).powi(2)).filter(|s| s.is_finite()).unwrap_or(0.0);
            sums.count += u64::from(number != 0.0 && grid.bounds.0 < number && number < grid.bounds.1);
            sums.beyond += u64::from(beyond);
            (sums.low, sums.high) = (sums.low.min(read), sums.high.max(read));
        }
        sums
    }

    pub fn and(self, other: Self) -> Self {
        Self {
            rounding: self.rounding + other.rounding,
            cut: self.cut + other.cut,
            signal: self.signal + other.signal,
            count: self.count + other.count,
            beyond: self.beyond + other.beyond,
            low: self.low.min(other.low),
            high: self.high.max(other.high),
        }
    }

    /// The squared error within the ends of the grid, all of it, and what the narrowest grid over all numbers makes.
    pub fn errors(&self, grid: &Grid) -> [f64; 3] {
        let range = grid.fixed.map_or((self.low, self.high), |(low, high)| (self.low.min(low), self.high.max(high)));
        [self.rounding, self.rounding + self.cut, self.count as f64 * grid.narrowest(range).powi(2) / 12.0]
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn signal(&self) -> f64 {
        self.signal
    }

    /// What is cut off; `None` for nothing.
    pub fn cut_off(&self, grid: &Grid) -> Option<CutOff> {
        if self.beyond == 0 || self.cut <= 0.0 {
            return None;
        }
        let (bottom, top) = grid.params.real_range();
        let reach = |end: f32, of: f32| (of != 0.0).then(|| f64::from(end) / f64::from(of));
        // Only a side on which something lies beyond counts.
        let sides = [(self.high, top, self.high > top), (self.low, bottom, self.low < bottom)];
        let reach = sides.into_iter().filter(|side| side.2).map(|(end, of, _)| reach(end, of));
        let reach: Option<Vec<f64>> = reach.collect();
        Some(CutOff {
            share: self.beyond as f64 / self.count.max(1) as f64,
            reach: reach.map(|reach| reach.into_iter().fold(1.0, f64::max)),
            sqnr_db: 10.0 * (self.signal / self.cut).log10(),
        })
    }
}
