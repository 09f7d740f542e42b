//! What the levels of a picture, 0 to 255, are to a model: the numbers that it reads are `(level - zero) * scale`.

use super::axes::find_axes;
use super::preprocess::{Layout, Preprocess};
use super::{InputSpec, Sample};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// How far the level of a 0 may lie from a whole one: what decimals of a policy were rounded by, not what a picture would
/// show.
const LEVEL_TOLERANCE: f64 = 0.02;
/// How much of a sample may lie beyond all levels: where a picture was resized, some of it does.
const MOST_BEYOND: f64 = 0.05;
/// The highest level.
const HIGHEST: f64 = 255.0;

/// `number = (level - zero) * scale`, for all channels or for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    /// What a level is worth: one number for all channels, or one for each. Finite, and none is 0.
    pub scale: Vec<f64>,
    /// The level of a 0, which need not be whole: as many as `scale`.
    pub zero: Vec<f64>,
    /// The axis of the channels, counted from the front. Without meaning where there is one scale.
    pub axis: usize,
}

impl Levels {
    /// The one byte that stands for 0 in every channel, if there is one.
    pub fn common_zero(&self) -> Option<i32> {
        common_level(&self.zero)
    }

    /// Scale and zero point of the uint8 grid on which each level is a point, if there is one.
    pub fn grid(&self) -> Option<(f32, i32)> {
        let &[scale] = self.scale.as_slice() else { return None };
        self.common_zero().filter(|_| scale > 0.0).map(|zero_point| (scale as f32, zero_point))
    }

    /// The levels, whole and from 0 to 255, that are nearest to the numbers of `tensor`, as float32; NaN stays NaN.
    ///
    /// # Errors
    /// When the tensor is not of floats, or has another number of channels.
    pub fn of(&self, tensor: &Tensor) -> Result<Tensor> {
        let whole = |level: f64| level.round_ties_even().clamp(0.0, HIGHEST) as f32;
        let levels: Vec<f32> = self.unrounded(tensor)?.into_iter().map(whole).collect();
        Ok(Tensor::from_f32(tensor.shape().to_vec(), &levels))
    }

    /// The share of the numbers of `tensor` that no level from 0 to 255 is nearest to; NaN does not count.
    ///
    /// # Errors
    /// As for [`Levels::of`].
    pub fn beyond(&self, tensor: &Tensor) -> Result<f64> {
        let levels = self.unrounded(tensor)?;
        let middle = HIGHEST / 2.0;
        let beyond = levels.iter().filter(|&&level| (level - middle).abs() > middle + 0.5).count();
        Ok(beyond as f64 / levels.len().max(1) as f64)
    }

    fn unrounded(&self, tensor: &Tensor) -> Result<Vec<f64>> {
        let shape = tensor.shape();
        let several = self.scale.len() > 1;
        if several && shape.get(self.axis) != Some(&self.scale.len()) {
            let (count, axis) = (self.scale.len(), self.axis);
            let message = format!("a sample of shape {shape:?} does not have {count} channels along axis {axis}");
            return Err(Error::other(message));
        }
        let inner: usize = if several { shape[self.axis + 1..].iter().product() } else { 1 };
        let channel = |index: usize| if several { index / inner % self.scale.len() } else { 0 };
        let level = |(index, &number): (usize, &f32)| {
            let c = channel(index);
            f64::from(number) / self.scale[c] + self.zero[c]
        };
        Ok(tensor.to_f32()?.iter().enumerate().map(level).collect())
    }
}

/// An input that takes levels, where the model at hand takes the numbers that they stand for.
#[derive(Debug, Clone)]
pub struct TakenLevels {
    /// What they are.
    pub levels: Levels,
    /// What is taken from each where the model reads levels, too; `None` where it reads the numbers.
    pub less: Option<i32>,
}

impl TakenLevels {
    /// A sample with levels in the place of numbers where they are read; `all` has an entry for each input.
    ///
    /// # Errors
    /// When a tensor has another number of channels, or much of it is no level.
    pub(super) fn all_of(mut sample: Sample, all: &[Option<Self>]) -> Result<Sample> {
        for (input, taken) in sample.inputs.iter_mut().zip(all) {
            let Some(taken) = taken else { continue };
            *input = taken.of(input).map_err(|e| Error::other(format!("sample {}: {e}", sample.name)))?;
        }
        Ok(sample)
    }

    fn of(&self, numbers: &Tensor) -> Result<Tensor> {
        let beyond = self.levels.beyond(numbers)?;
        if beyond > MOST_BEYOND {
            return Err(Error::other(format!(
                "{:.0} % of its numbers are what data.preprocess makes of no level from 0 to 255; correct that, or leave out \
                 io.fold_normalization, which is for inputs that take pictures",
                beyond * 100.0
            )));
        }
        let Some(less) = self.less else { return Ok(numbers.clone()) };
        let levels = self.levels.of(numbers)?;
        let read: Vec<f32> = levels.to_f32()?.iter().map(|level| level - less as f32).collect();
        Ok(Tensor::from_f32(levels.shape().to_vec(), &read))
    }
}

/// The whole level from 0 to 255 that all of `zeros` come to, if there is one.
pub fn common_level(zeros: &[f64]) -> Option<i32> {
    let level = zeros.first()?.round();
    let near = zeros.iter().all(|zero| (zero - level).abs() <= LEVEL_TOLERANCE);
    (near && (0.0..=255.0).contains(&level)).then_some(level as i32)
}

impl Preprocess {
    /// What levels are to the input `input`: `(level * scale - mean) / std` is `(level - mean / scale) * (scale / std)`.
    ///
    /// # Errors
    /// Why that is not so: a number is not finite or 0, or the channels differ and it cannot be told which axis is theirs.
    pub fn levels(&self, input: &InputSpec) -> std::result::Result<Levels, String> {
        let same = |numbers: &[f32]| numbers.iter().all(|&v| v == numbers[0]);
        let several = !same(&self.mean) || !same(&self.std);
        let count = if several { self.mean.len().max(self.std.len()) } else { 1 };
        let axis = if several { self.channel_axis(input, count)? } else { 0 };
        // One number is that of every channel.
        let of = |numbers: &[f32], channel: usize, otherwise: f64| {
            let own = numbers.get(channel).filter(|_| numbers.len() > 1).or(numbers.first());
            own.map_or(otherwise, |&v| f64::from(v))
        };
        let factor = f64::from(self.scale.unwrap_or(1.0 / 255.0));
        let scale: Vec<f64> = (0..count).map(|c| factor / of(&self.std, c, 1.0)).collect();
        let zero: Vec<f64> = (0..count).map(|c| of(&self.mean, c, 0.0) / factor).collect();
        if let Some(bad) = scale.iter().find(|v| !(**v as f32).is_normal()) {
            return Err(format!("a level is worth {bad} of what the model reads, which is no number to multiply with"));
        }
        if let Some(bad) = zero.iter().find(|v| !v.is_finite()) {
            return Err(format!("a number of 0 has the level {bad}"));
        }
        Ok(Levels { scale, zero, axis })
    }

    fn channel_axis(&self, input: &InputSpec, count: usize) -> std::result::Result<usize, String> {
        let ty = &input.ty;
        let axes = find_axes(&ty.dims, self.layout).map_err(|why| {
            format!("mean and std differ from channel to channel, and which axis of {ty} is theirs: {why}")
        })?;
        let lens = [self.mean.len(), self.std.len()];
        if axes.channels.is_some_and(|channels| channels != count) || lens.iter().any(|&n| n > 1 && n != count) {
            return Err(format!("mean and std are for {count} channels, and the input is {ty}"));
        }
        Ok(match axes.layout {
            Layout::Nchw => usize::from(axes.batch.is_some()),
            Layout::Nhwc => ty.dims.len() - 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{DataType, TensorType};

    fn input(dims: &[usize]) -> InputSpec {
        let dims = dims.iter().map(|&d| (d > 0).then_some(d)).collect();
        InputSpec { name: "x".into(), ty: TensorType { dtype: DataType::Float32, dims }, meaning: None }
    }

    fn imagenet() -> Preprocess {
        Preprocess { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225], ..Preprocess::default() }
    }

    #[test]
    fn numbers_beyond_all_levels_are_counted() {
        let levels = Preprocess::default().levels(&input(&[1, 8])).expect("levels");
        let share =
            |numbers: &[f32]| levels.beyond(&Tensor::from_f32(vec![1, numbers.len()], numbers)).expect("a share");
        assert_eq!(share(&[0.0, 1.0, 0.3, -0.001]), 0.0);
        assert_eq!(share(&[-0.01, 1.01, 0.5, 0.5]), 0.5);
        assert_eq!(share(&[f32::NAN, 0.5]), 0.0);
        assert_eq!(share(&[]), 0.0);
    }

    #[test]
    fn numbers_of_pictures_are_their_levels_again() {
        for (dims, axis, inner) in [([0, 3, 2, 128], 1, 256), ([0, 2, 128, 3], 3, 1)] {
            let levels = imagenet().levels(&input(&dims)).expect("levels");
            assert_eq!(levels.axis, axis);
            let shape: Vec<usize> = dims.iter().map(|&d| d.max(1)).collect();
            let (mean, std) = (imagenet().mean, imagenet().std);
            let whole: Vec<f32> = (0..768).map(|i| (i % 256) as f32).collect();
            let number = |(i, level): (usize, &f32)| (level * (1.0 / 255.0) - mean[i / inner % 3]) / std[i / inner % 3];
            let numbers: Vec<f32> = whole.iter().enumerate().map(number).collect();
            let found = levels.of(&Tensor::from_f32(shape, &numbers)).expect("levels");
            assert_eq!(*found.to_f32().expect("floats"), whole);
        }
    }

    #[test]
    fn one_mean_and_std_need_no_axis() {
        let grey = Preprocess { mean: vec![0.286], std: vec![0.353, 0.353, 0.353], ..Preprocess::default() };
        let levels = grey.levels(&input(&[0, 784])).expect("levels");
        assert_eq!(levels.scale.len(), 1);
        assert!((levels.zero[0] - 72.93).abs() < 1e-4 && levels.common_zero().is_none());
        let found = levels.of(&Tensor::from_f32(vec![1, 3], &[f32::NAN, 100.0, -100.0])).expect("levels");
        let found = found.to_f32().expect("floats").into_owned();
        assert!(found[0].is_nan() && found[1..] == [255.0, 0.0]);
    }

    #[test]
    fn a_whole_zero_may_be_written_with_few_decimals() {
        let centred = Preprocess { mean: vec![0.498, 0.498, 0.498], std: vec![0.5, 0.4, 0.3], ..Preprocess::default() };
        assert_eq!(centred.levels(&input(&[1, 3, 8, 8])).expect("levels").common_zero(), Some(127));
        assert_eq!(imagenet().levels(&input(&[1, 3, 8, 8])).expect("levels").common_zero(), None);
        assert_eq!(common_level(&[-3.0]), None);
        assert_eq!(common_level(&[]), None);
    }

    #[test]
    fn what_is_no_factor_or_axis_is_refused() {
        let wrong = |preprocess: &Preprocess, dims: &[usize]| preprocess.levels(&input(dims)).expect_err("refused");
        assert!(wrong(&imagenet(), &[0, 784]).contains("which axis of float32[?,784] is theirs"));
        assert!(wrong(&imagenet(), &[0, 1, 8, 8]).contains("are for 3 channels"));
        let flat = Preprocess { std: vec![f32::INFINITY], ..Preprocess::default() };
        assert!(wrong(&flat, &[0, 3, 8, 8]).contains("a level is worth 0"));
        let samples = imagenet().levels(&input(&[0, 3, 8, 8])).expect("levels");
        assert!(samples.of(&Tensor::from_f32(vec![1, 1, 1, 1], &[0.0])).is_err());
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let levels = Preprocess::default().levels(&input(&[1, 4])).expect("levels");
        let taken = |less| TakenLevels { levels: levels.clone(), less };
        let picture = Tensor::from_f32(vec![1, 4], &[0.0, 0.2, 0.4, 1.0]);
        assert_eq!(taken(None).of(&picture).expect("numbers").to_f32().expect("floats")[..], [0.0, 0.2, 0.4, 1.0]);
        assert_eq!(
            taken(Some(51)).of(&picture).expect("levels").to_f32().expect("floats")[..],
            [-51.0, 0.0, 51.0, 204.0]
        );
        let sound = Tensor::from_f32(vec![1, 4], &[-0.5, 0.2, 0.4, 1.0]);
        for less in [None, Some(0)] {
            let error = taken(less).of(&sound).expect_err("refused").to_string();
            assert!(error.contains("25 %") && error.contains("io.fold_normalization"), "{error}");
        }
    }
}
