//! Whether what was found brings the model nearer to the float one, on samples that it was not found on.

use super::super::Context;
use super::samples::Samples;
use crate::error::Result;
use crate::exec::Switched;
use crate::heap;
use crate::inputs;
use crate::progress::Silent;
use crate::tensor::Tensor;
use crate::tune::Nearness;

/// Makes a program.
type Make<'a> = dyn Fn() -> Result<Box<dyn Switched>> + 'a;

/// What decides.
pub(in crate::pipeline) struct Deciding<'a> {
    pub samples: &'a Samples,
    /// What the programs take for the inputs of a sample.
    pub inputs: &'a (dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + Sync),
    pub context: &'a Context<'a>,
}

impl Deciding<'_> {
    /// How near what `program` was made of is to the float model with all it rounds, and how near what was repaired: on half of the
    /// samples `few`, and on the others if these leave a doubt. `makes` make the program again, and the repaired one. There is never
    /// more than one at once, which has the weights twice.
    pub fn nearness(&self, program: Box<dyn Switched>, makes: [&Make<'_>; 2], few: &[usize]) -> Result<[Nearness; 2]> {
        let mut near = [Nearness::default(), Nearness::default()];
        let (first, rest) = few.split_at(few.len().div_ceil(2));
        let known = self.run(program, first, &[false, true])?;
        let program = makes[1]()?;
        if rest.is_empty() {
            add(&mut near, &known, &self.run(program, first, &[true])?);
            return Ok(near);
        }
        add(&mut near, &known, &self.run_on(&*program, first, &[true])?);
        if near[1].is_clear(&near[0]) {
            return Ok(near);
        }
        let repaired = self.run(program, rest, &[true])?;
        let known = self.run(makes[0]()?, rest, &[false, true])?;
        add(&mut near, &known, &repaired);
        Ok(near)
    }

    /// [`run_on`](Self::run_on), and lets go of the program.
    fn run(&self, program: Box<dyn Switched>, few: &[usize], sides: &[bool]) -> Result<Vec<Vec<Vec<Tensor>>>> {
        let made = self.run_on(&*program, few, sides);
        drop(program);
        heap::give_back();
        made
    }

    /// What a program makes of each sample, with everything on or nothing as `sides` say.
    fn run_on(&self, program: &dyn Switched, few: &[usize], sides: &[bool]) -> Result<Vec<Vec<Vec<Tensor>>>> {
        // Where there is one side, the sample came before.
        let progress = if sides.len() > 1 { self.context.progress } else { &Silent };
        let run = inputs::run_samples(
            self.samples.read(few),
            self.context.threads,
            progress,
            Vec::new,
            |all: &mut Vec<(usize, Vec<Vec<Tensor>>)>, index, sample| {
                let inputs = (self.inputs)(&sample.inputs)?;
                all.push((index, sides.iter().map(|&on| program.outputs(&inputs, on)).collect::<Result<_>>()?));
                Ok(())
            },
        );
        let mut all: Vec<_> = run?.into_iter().flatten().collect();
        all.sort_by_key(|(index, _)| *index);
        Ok(all.into_iter().map(|(_, made)| made).collect())
    }
}

/// Adds samples of which it is `known` what is made in float and rounded, and what once that was `repaired`.
fn add([before, after]: &mut [Nearness; 2], known: &[Vec<Vec<Tensor>>], repaired: &[Vec<Vec<Tensor>>]) {
    for (known, repaired) in known.iter().zip(repaired) {
        if let ([float, plain], [repaired]) = (&known[..], &repaired[..]) {
            before.add(float, plain);
            after.add(float, repaired);
        }
    }
}
