//! Stretches of a program that run again and again on what was made before them, on one choice of grids after the other, until one
//! is taken: that is what the stretches behind them read.

use super::super::{Chooser, Stretch};
use super::failure::{Failure, guarded};
use super::switched::{Table, Twofold, Values};
use crate::error::Result;
use crate::quant::Params;
use crate::tensor::Tensor;
use crate::threads;
use std::collections::HashSet;
use std::ops::Range;
use tract_onnx::prelude::*;

/// A stretch ends where a single value goes on, once it has so many grids, and anywhere ahead of a grid once it has so many.
const FEWEST: usize = 4;
const MOST: usize = 12;

/// One sample, with what is needed yet of what it made: in float and rounded.
struct Lane {
    inputs: Vec<TValue>,
    float: Table,
    rounded: Table,
}

/// Some steps of a program, ahead of which all samples stand on the rounded side, and behind which in float.
struct Steps<'a> {
    of: &'a Twofold,
    lanes: &'a [Lane],
    steps: Range<usize>,
    grids: &'a [Params],
    /// What it leaves for the steps behind.
    made: Vec<usize>,
}

impl Stretch for Steps<'_> {
    fn grids(&self) -> Vec<usize> {
        self.steps.clone().filter_map(|step| self.of.grid_at(step)).collect()
    }

    fn samples(&self) -> usize {
        self.lanes.len()
    }

    fn errors(&self, changed: &[(usize, Params)], samples: &[usize]) -> Result<Vec<f64>> {
        let mut grids = self.grids.to_vec();
        changed.iter().for_each(|&(index, params)| grids[index] = params);
        let mut errors: Vec<Result<f64>> = samples.iter().map(|_| Ok(0.0)).collect();
        threads::for_each(samples.iter().zip(&mut errors), |(&sample, error)| {
            *error = self.lanes.get(sample).map_or(Ok(0.0), |lane| {
                guarded(|| {
                    let mut table = lane.rounded.clone();
                    let run = self.of.stretch(&mut table, &lane.inputs, Some(&grids), self.steps.clone());
                    run.map_err(|error| Failure::of(&error, &self.of.labels))?;
                    Ok(self.made.iter().map(|&id| distance(&lane.float[id], &table[id])).sum())
                })
            });
        });
        errors.into_iter().collect()
    }
}

impl Twofold {
    /// See [`Switched::choose`](super::super::Switched::choose).
    pub(super) fn chosen(&self, samples: &[Vec<Tensor>], chooser: &mut dyn Chooser) -> Result<()> {
        let failed = |error: TractError| Failure::of(&error, &self.labels);
        let count = self.plans[0].model().nodes().len();
        let lane = |inputs: &Vec<Tensor>| {
            let inputs = Self::inputs(inputs).map_err(failed)?;
            Ok(Lane { inputs, float: vec![None; count], rounded: vec![None; count] })
        };
        let mut lanes: Vec<Lane> = samples.iter().map(|inputs| guarded(|| lane(inputs))).collect::<Result<_>>()?;
        let mut grids = self.grids.clone();
        for (steps, made) in self.stretches() {
            let mut before: Vec<Result<()>> = lanes.iter().map(|_| Ok(())).collect();
            threads::for_each(lanes.iter_mut().zip(&mut before), |(lane, result)| {
                let Lane { inputs, float, .. } = lane;
                *result = guarded(|| self.stretch(float, inputs, None, steps.clone()).map_err(failed));
            });
            before.into_iter().collect::<Result<()>>()?;
            let (of, steps) = (self, steps.clone());
            let chosen = chooser.choose(&Steps { of, lanes: &lanes, steps: steps.clone(), grids: &grids, made })?;
            chosen.into_iter().for_each(|(index, params)| grids[index] = params);
            let mut after: Vec<Result<()>> = lanes.iter().map(|_| Ok(())).collect();
            threads::for_each(lanes.iter_mut().zip(&mut after), |(lane, result)| {
                let Lane { inputs, rounded, .. } = lane;
                *result = guarded(|| self.stretch(rounded, inputs, Some(&grids), steps.clone()).map_err(failed));
            });
            after.into_iter().collect::<Result<()>>()?;
        }
        Ok(())
    }

    /// The grid that a step rounds on.
    fn grid_at(&self, step: usize) -> Option<usize> {
        self.switch[self.order()[step]].filter(|&switch| switch < self.grids.len())
    }

    /// The stretches of the program, with what each leaves for others.
    fn stretches(&self) -> Vec<(Range<usize>, Vec<usize>)> {
        let (order, mut live) = (self.order(), Vec::<usize>::new());
        let (mut found, mut from, mut inside) = (Vec::new(), 0, HashSet::new());
        for step in 0..order.len() {
            inside.extend(self.grid_at(step));
            live.push(order[step]);
            live.retain(|id| !self.done[step].contains(id));
            let end = step + 1 == order.len();
            let ahead = !end && self.grid_at(step + 1).is_some();
            let closed = live.len() == 1 && inside.len() >= FEWEST || inside.len() >= MOST;
            if end || ahead && closed && self.grid_at(step).is_none() {
                let own: HashSet<usize> = order[from..=step].iter().copied().collect();
                let made = live.iter().copied().filter(|id| own.contains(id)).collect();
                found.push((from..step + 1, made));
                (from, inside) = (step + 1, HashSet::new());
            }
        }
        found
    }

    /// Runs some steps on a sample, in float or with everything rounded on these grids.
    fn stretch(
        &self,
        table: &mut Table,
        inputs: &[TValue],
        grids: Option<&[Params]>,
        steps: Range<usize>,
    ) -> TractResult<()> {
        let last = steps.end - 1;
        let mut walk = self.walk_on(inputs, grids.unwrap_or(&self.grids));
        walk.advance(table, grids.is_some(), steps, |_, _| Ok(()))?;
        self.let_go(table, last, None);
        Ok(())
    }
}

/// The squares of what lies between numbers of float32, as a share of those in float.
fn distance(float: &Option<Values>, rounded: &Option<Values>) -> f64 {
    let (Some(float), Some(rounded)) = (float, rounded) else { return 0.0 };
    let one = |(float, rounded): (&TValue, &TValue)| {
        let (Ok(float), Ok(rounded)) = (float.try_as_plain_ram(), rounded.try_as_plain_ram()) else { return 0.0 };
        let (Ok(float), Ok(rounded)) = (float.as_slice::<f32>(), rounded.as_slice::<f32>()) else { return 0.0 };
        let (mut signal, mut noise) = (0f64, 0f64);
        for (&float, &rounded) in float.iter().zip(rounded) {
            let (float, rounded) = (f64::from(float), f64::from(rounded));
            signal += float * float;
            noise += (float - rounded) * (float - rounded);
        }
        if signal > 0.0 { noise / signal } else { 0.0 }
    };
    float.iter().zip(rounded).map(one).sum()
}
