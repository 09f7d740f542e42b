//! What the weights of a layer are multiplied with, as rows: the patches of a convolution, or the rows of a matrix.

use super::Reach;
use std::ops::Range;

/// Patches of one tensor, for one group of its channels.
#[derive(Debug)]
pub struct Patches<'a> {
    numbers: &'a [f32],
    /// Numbers in a patch.
    pub length: usize,
    /// How many there are in each of the batch.
    pub each: usize,
    /// How many items the batch has.
    pub batch: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Rows,
    Window { taps: Vec<Tap>, item: usize, made: Vec<usize>, strides: Vec<usize>, read: Vec<usize> },
}

/// One number of a patch: its channel, and where it is beside the first tap.
#[derive(Debug)]
struct Tap {
    /// Where its channel begins in an item.
    channel: usize,
    /// By how much it lies behind the position times the stride along each axis; below zero in the padding.
    offsets: Vec<isize>,
}

impl<'a> Patches<'a> {
    /// Those of `group` of `groups` that `reach` meets in a tensor of `shape`, where the layer makes one of shape `made`. `None`
    /// where the shapes do not go together.
    pub fn new(
        reach: &Reach,
        (shape, numbers): (&[usize], &'a [f32]),
        made: &[usize],
        (group, groups): (usize, usize),
    ) -> Option<Self> {
        match reach {
            Reach::Rows => {
                let length = *shape.last().filter(|&&length| length > 0 && groups == 1)?;
                Some(Self { numbers, length, each: numbers.len() / length, batch: 1, kind: Kind::Rows })
            }
            Reach::Window(window) => {
                let axes = window.taps.len();
                let (read, made) = (shape.get(2..)?.to_vec(), made.get(2..)?.to_vec());
                let channels = (shape[1] / groups.max(1)).max(1);
                if read.len() != axes || made.len() != axes || shape[1] != channels * groups {
                    return None;
                }
                let space: usize = read.iter().product();
                let count: usize = window.taps.iter().product();
                let tap = |index: usize| {
                    let (channel, mut rest) = (group * channels + index / count, index % count);
                    let mut offsets = vec![0isize; axes];
                    for axis in (0..axes).rev() {
                        let at = rest % window.taps[axis];
                        rest /= window.taps[axis];
                        let before = isize::try_from(window.before[axis]).ok()?;
                        let offset = isize::try_from(at.checked_mul(window.dilations[axis])?).ok()? - before;
                        // Added to a position it is still a number.
                        offsets[axis] = Some(offset).filter(|offset| offset.unsigned_abs() <= usize::MAX >> 2)?;
                    }
                    Some(Tap { channel: channel * space, offsets })
                };
                let taps: Vec<Tap> = (0..channels * count).map(tap).collect::<Option<_>>()?;
                let (each, item) = (made.iter().product(), shape[1] * space);
                let kind = Kind::Window { item, made, strides: window.strides.clone(), read, taps };
                Some(Self { numbers, length: channels * count, each, batch: shape[0], kind })
            }
        }
    }

    /// Positions `positions` of item `at` of the batch, every `step`-th of them, one row after the other.
    pub fn rows(&self, at: usize, positions: Range<usize>, step: usize) -> Vec<f32> {
        let count = positions.len().div_ceil(step);
        match &self.kind {
            Kind::Rows => {
                let row = |position: usize| &self.numbers[position * self.length..(position + 1) * self.length];
                positions.step_by(step).flat_map(row).copied().collect()
            }
            Kind::Window { taps, item, made, strides, read } => {
                let numbers = &self.numbers[at * item..(at + 1) * item];
                let mut rows = vec![0f32; count * self.length];
                let mut place = vec![0usize; made.len()];
                for (row, position) in rows.chunks_exact_mut(self.length).zip(positions.step_by(step)) {
                    let mut rest = position;
                    for axis in (0..made.len()).rev() {
                        place[axis] = rest % made[axis] * strides[axis];
                        rest /= made[axis];
                    }
                    for (number, tap) in row.iter_mut().zip(taps) {
                        let mut index = 0;
                        let mut inside = true;
                        for axis in 0..place.len() {
                            let along = place[axis] as isize + tap.offsets[axis];
                            inside &= along >= 0 && (along as usize) < read[axis];
                            index = index * read[axis] + along.max(0) as usize;
                        }
                        if inside {
                            *number = numbers[tap.channel + index];
                        }
                    }
                }
                rows
            }
        }
    }
}
