//! Whether what was found brings the model nearer to the float one, on samples that it was not found on.

use super::{FEWEST, Fitting, TOO_FEW};
use crate::error::Result;
use crate::exec::{Correction, Side, Switched};
use crate::inputs;
use crate::report::Trial;
use crate::sensitivity::Parts;
use crate::tune::Nearness;

/// A program, and the corrections of what its layers make.
type Repaired<'a> = (&'a dyn Switched, &'a [(usize, Correction)]);

/// So many samples are looked at first, then as many as before again and again, while these leave a doubt.
const FIRST: usize = 8;

impl Fitting<'_> {
    /// What samples at the places `few` say of a `trial`, by the programs ahead of what was found and with it: how near these are to the
    /// float model, and why nothing is kept where that does not pass the `bar`, which is `missed` then. The work has ended with it.
    ///
    /// # Errors
    /// When a sample cannot be read, or the engine fails on it.
    pub fn decide(
        &self,
        trial: Trial,
        parts: &Parts,
        programs: [Repaired<'_>; 2],
        (few, bar, missed): (&[usize], f64, &str),
    ) -> Result<Trial> {
        let near = self.nearness(parts, programs, (few, bar))?;
        self.context.progress.finish();
        let Some([before, after]) = near else { return Ok(Trial::default().because(TOO_FEW)) };
        let trial = Trial { sqnr_db: Some((before.sqnr_db(), after.sqnr_db())), ..trial };
        Ok(if after.passes(&before, bar) { trial } else { trial.because(missed) })
    }

    /// How near to the float model the programs are, on as many samples as tell whether the second passes the `bar`. `None` where too few
    /// of these are as the programs want them.
    fn nearness(
        &self,
        parts: &Parts,
        programs: [Repaired<'_>; 2],
        (few, bar): (&[usize], f64),
    ) -> Result<Option<[Nearness; 2]>> {
        let mut near = [Nearness::default(), Nearness::default()];
        for places in looks(few) {
            let run = inputs::run_samples(
                self.samples.read(&places),
                self.context.threads,
                self.context.progress,
                Vec::new,
                |all: &mut Vec<(usize, [Nearness; 2])>, index, sample| {
                    let inputs = parts.inputs(&sample.inputs)?;
                    let float = programs[0].0.outputs(&inputs, Side::Float)?;
                    let near = programs.map(|(program, corrections)| {
                        let made = program.outputs(&inputs, Side::Rounded(corrections))?;
                        Ok(Nearness::of(&float, &made))
                    });
                    let [before, after] = near;
                    all.push((index, [before?, after?]));
                    Ok(())
                },
            );
            let mut all: Vec<_> = run?.into_iter().flatten().collect();
            all.sort_by_key(|(index, _)| *index);
            for (_, [before, after]) in all {
                near[0].extend(before);
                near[1].extend(after);
            }
            if near[1].is_settled(&near[0], bar, few.len()) {
                break;
            }
        }
        Ok((near[0].samples() >= FEWEST).then_some(near))
    }
}

/// The places in the order in which they are looked at, each look from all of the data, and as large as all before it.
fn looks(few: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..few.len()).collect();
    order.sort_by_key(|at| at.reverse_bits());
    let (mut rest, mut looks, mut seen) = (&order[..], Vec::new(), 0);
    while !rest.is_empty() {
        let (look, behind) = rest.split_at(seen.max(FIRST).min(rest.len()));
        let mut places: Vec<usize> = look.iter().map(|&at| few[at]).collect();
        places.sort_unstable();
        (rest, seen) = (behind, seen + look.len());
        looks.push(places);
    }
    looks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_look_is_from_all_of_the_data_and_none_is_looked_at_twice() {
        let few: Vec<usize> = (0..64).map(|at| 10 * at).collect();
        let looks = looks(&few);
        assert_eq!(looks.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 16, 32]);
        assert_eq!(looks[0], [0, 80, 160, 240, 320, 400, 480, 560]);
        let mut all = looks.concat();
        all.sort_unstable();
        assert_eq!(all, few);
        assert_eq!(super::looks(&few[..7]), [&few[..7]]);
        assert_eq!(super::looks(&few[..20]).iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 4]);
        assert!(super::looks(&[]).is_empty());
    }
}
