//! What has to be done to a picture so that it fits the model's input: what the policy says, completed by what
//! the input itself says. All of it is settled before the first picture is opened.

use super::axes::{Axes, find_axes};
use super::{InputSpec, MAX_TENSOR_BYTES, Meaning};
use crate::error::{Error, Result};
use crate::tensor::{DataType, element_count};
use std::fmt;

/// How a picture comes to the wanted size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fit {
    /// Both sides to the size, whatever that does to the proportions.
    #[default]
    Stretch,
    /// In proportion until the picture covers the size, then the centre is cut out.
    Crop,
}

/// The order of a picture tensor's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Channels before height and width.
    Nchw,
    /// Channels last.
    Nhwc,
}

/// What the channels hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Luma after ITU-R 601.
    Grey,
}

impl Channels {
    /// How many there are: 3 or 1.
    pub fn count(self) -> usize {
        if self == Self::Grey { 1 } else { 3 }
    }
}

/// How pictures become tensors, as the policy says it; every `None` is derived from the model's input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preprocess {
    /// Height and width in pixels. Needed where the model leaves them open.
    pub size: Option<[usize; 2]>,
    /// How a picture comes to that size.
    pub fit: Fit,
    /// Order of the axes. Needed only where the input's dimensions do not show which axis has 1 or 3 channels.
    pub layout: Option<Layout>,
    /// RGB where there are three channels and nothing is said.
    pub channels: Option<Channels>,
    /// Factor for the 8-bit levels, 1/255 where nothing is said; applied before mean and std.
    pub scale: Option<f32>,
    /// Subtracted after scaling: none, one for all channels, or one per channel in the order of `channels`.
    pub mean: Vec<f32>,
    /// Divisor after that; as many as `mean` may be.
    pub std: Vec<f32>,
}

/// [`Preprocess`] with nothing left open: `(level * scale - mean) / std`, in float32.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureSettings {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// How a picture comes to that size.
    pub fit: Fit,
    /// Order of the axes.
    pub layout: Layout,
    /// What the channels hold.
    pub channels: Channels,
    /// Factor for the 8-bit levels; `None` where a uint8 input takes them as they are.
    pub scale: Option<f32>,
    /// One per channel; empty where none was given.
    pub mean: Vec<f32>,
    /// One per channel; empty where none was given.
    pub std: Vec<f32>,
    /// The element type of what is made of the picture.
    pub dtype: DataType,
    /// What the input takes in its place, where it takes integers that stand for numbers.
    pub meaning: Option<Meaning>,
    /// The sample's shape, with the batch axis where the input has one.
    pub shape: Vec<usize>,
    /// How often the picture is repeated to fill a batch that the model fixes; otherwise 1.
    pub repeats: usize,
}

impl Preprocess {
    /// Completes the settings from `input`, the model's only input.
    ///
    /// # Errors
    /// When a picture cannot feed the input, the settings contradict it, or something that it leaves open is not given.
    pub(super) fn resolve(&self, input: &InputSpec) -> Result<PictureSettings> {
        self.settle(input).map_err(|message| Error::value(&input.name, message))
    }

    fn settle(&self, input: &InputSpec) -> std::result::Result<PictureSettings, String> {
        let axes = find_axes(&input.ty.dims, self.layout)
            .map_err(|why| format!("a picture cannot feed an input of {}: {why}", input.ty))?;
        let size = self.settle_size(&axes, input)?;
        let channels = self.settle_channels(&axes, input)?;
        let repeats = axes.batch.unwrap_or(1);
        let [height, width] = size;
        let mut shape: Vec<usize> = axes.batch.into_iter().collect();
        shape.extend(match (axes.has_channel_axis, axes.layout) {
            (false, _) => vec![height, width],
            (true, Layout::Nchw) => vec![channels.count(), height, width],
            (true, Layout::Nhwc) => vec![height, width, channels.count()],
        });
        let bytes = element_count(&shape).and_then(|n| n.checked_mul(size_of::<f32>()));
        if shape.contains(&0) || bytes.is_none_or(|b| b > MAX_TENSOR_BYTES) {
            return Err(format!("a picture tensor of shape {shape:?} is empty or larger than 2 GiB"));
        }
        // Of a picture about which nothing is said, an input that takes levels takes those.
        let plain = self.scale.is_none() && self.mean.is_empty() && self.std.is_empty();
        let meaning = input.meaning.clone().filter(|meaning| !plain || matches!(meaning, Meaning::Grid(_)));
        let dtype = if meaning.is_some() { DataType::Float32 } else { input.ty.dtype };
        let scale = self.settle_scale(dtype)?;
        let mean = per_channel("mean", &self.mean, channels.count())?;
        let std = per_channel("std", &self.std, channels.count())?;
        if std.contains(&0.0) {
            return Err("data.preprocess.std holds a 0, by which nothing can be divided".to_owned());
        }
        let (fit, layout) = (self.fit, axes.layout);
        Ok(PictureSettings { size, fit, layout, channels, scale, mean, std, dtype, meaning, shape, repeats })
    }

    fn settle_size(&self, axes: &Axes, input: &InputSpec) -> std::result::Result<[usize; 2], String> {
        match (axes.height, axes.width, self.size) {
            (Some(height), Some(width), None) => Ok([height, width]),
            (height, width, Some(size)) => {
                let [h, w] = size;
                if height.is_some_and(|fixed| fixed != h) || width.is_some_and(|fixed| fixed != w) {
                    return Err(format!("data.preprocess.size is {h}x{w}, but the model's input is {}", input.ty));
                }
                Ok(size)
            }
            (_, _, None) => Err(format!(
                "the height and width of {} vary: give data.preprocess.size in the policy, or --size HxW",
                input.ty
            )),
        }
    }

    fn settle_channels(&self, axes: &Axes, input: &InputSpec) -> std::result::Result<Channels, String> {
        let wanted = axes.channels.unwrap_or(self.channels.map_or(3, Channels::count));
        match (wanted, self.channels) {
            (1, None | Some(Channels::Grey)) => Ok(Channels::Grey),
            (3, None) => Ok(Channels::Rgb),
            (3, Some(channels @ (Channels::Rgb | Channels::Bgr))) => Ok(channels),
            (1 | 3, Some(other)) => Err(format!(
                "data.preprocess.channels is {}, but {} has {wanted} channel{}",
                Lower(other),
                input.ty,
                if wanted == 1 { "" } else { "s" }
            )),
            _ => Err(format!("a picture has 1 or 3 channels, {} has {wanted}", input.ty)),
        }
    }

    fn settle_scale(&self, dtype: DataType) -> std::result::Result<Option<f32>, String> {
        if dtype == DataType::Uint8 {
            if self.scale.is_some() || !self.mean.is_empty() || !self.std.is_empty() {
                return Err("the input is uint8 and takes the picture's levels as they are: \
                            remove scale, mean and std from data.preprocess"
                    .to_owned());
            }
            return Ok(None);
        }
        if !dtype.is_float() {
            return Err(format!("a picture can feed an input of float or uint8, not of {dtype}"));
        }
        let scale = self.scale.unwrap_or(1.0 / 255.0);
        if !scale.is_finite() || scale == 0.0 {
            return Err(format!("data.preprocess.scale is {scale}, expected a finite number other than 0"));
        }
        Ok(Some(scale))
    }

    /// What is allowed but was perhaps not meant.
    pub(super) fn doubts(&self) -> Option<String> {
        let past_one = self.mean.iter().chain(&self.std).any(|v| v.abs() > 1.0);
        (self.scale.is_none() && past_one).then(|| {
            "mean or std is above 1 although the levels are first scaled to 0..1: \
             if they belong to levels of 0..255, set data.preprocess.scale to 1"
                .to_owned()
        })
    }
}

/// `values` for each of `channels`: none, one for all, or one each.
fn per_channel(what: &str, values: &[f32], channels: usize) -> std::result::Result<Vec<f32>, String> {
    if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
        return Err(format!("data.preprocess.{what} holds {bad}, which is not a finite number"));
    }
    match values {
        [] => Ok(Vec::new()),
        [one] => Ok(vec![*one; channels]),
        _ if values.len() == channels => Ok(values.to_vec()),
        _ => Err(format!("data.preprocess.{what} has {} numbers for {channels} channel(s)", values.len())),
    }
}

/// A unit variant as the policy spells it.
struct Lower<T>(T);

impl<T: fmt::Debug> fmt::Display for Lower<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{:?}", self.0).to_lowercase())
    }
}

impl fmt::Display for PictureSettings {
    /// One line for the report: what was done to every picture, and what was not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width] = self.size;
        let fit = if self.fit == Fit::Stretch { "stretched" } else { "scaled and cropped" };
        write!(f, "{fit} to {height}x{width}, {}, {}", Lower(self.channels), Lower(self.layout))?;
        let Some(scale) = self.scale else { return write!(f, "; levels 0..255 as they are") };
        if (scale * 255.0 - 1.0).abs() < f32::EPSILON {
            write!(f, "; scaled to 0..1")?;
        } else {
            write!(f, "; scaled by {scale}")?;
        }
        match (self.mean.as_slice(), self.std.as_slice()) {
            ([], []) => write!(f, "; no mean or std was given"),
            (mean, []) => write!(f, "; mean {mean:?}, no std was given"),
            ([], std) => write!(f, "; std {std:?}, no mean was given"),
            (mean, std) => write!(f, "; mean {mean:?}, std {std:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Levels;
    use super::*;
    use crate::quant::{GridType, Params};
    use crate::tensor::TensorType;

    fn input(dtype: DataType, dims: &[usize]) -> InputSpec {
        // 0 stands for a dimension that varies.
        let dims = dims.iter().map(|&d| (d > 0).then_some(d)).collect();
        InputSpec { name: "images".into(), ty: TensorType { dtype, dims }, meaning: None }
    }

    fn float(dims: &[usize]) -> InputSpec {
        input(DataType::Float32, dims)
    }

    fn fails(preprocess: &Preprocess, input: &InputSpec) -> String {
        preprocess.resolve(input).expect_err("should be refused").to_string()
    }

    #[test]
    fn layout_follows_the_channel_axis() {
        let plain = Preprocess::default();
        let shape = |dims: &[usize]| {
            let s = plain.resolve(&float(dims)).expect("resolves");
            (s.layout, s.channels, s.shape, s.repeats)
        };
        assert_eq!(shape(&[0, 3, 8, 9]), (Layout::Nchw, Channels::Rgb, vec![1, 3, 8, 9], 1));
        assert_eq!(shape(&[1, 8, 9, 3]), (Layout::Nhwc, Channels::Rgb, vec![1, 8, 9, 3], 1));
        assert_eq!(shape(&[4, 1, 8, 9]), (Layout::Nchw, Channels::Grey, vec![4, 1, 8, 9], 4));
        assert_eq!(shape(&[3, 8, 9]), (Layout::Nchw, Channels::Rgb, vec![3, 8, 9], 1));
        assert_eq!(shape(&[8, 9, 1]), (Layout::Nhwc, Channels::Grey, vec![8, 9, 1], 1));
        assert_eq!(shape(&[0, 8, 9]), (Layout::Nchw, Channels::Grey, vec![1, 8, 9], 1));
        assert_eq!(shape(&[8, 9]), (Layout::Nchw, Channels::Grey, vec![8, 9], 1));
    }

    #[test]
    fn what_the_model_leaves_open_is_asked_for() {
        let plain = Preprocess::default();
        let message = fails(&plain, &float(&[0, 3, 0, 0]));
        assert!(message.contains("give data.preprocess.size in the policy, or --size HxW"), "{message}");
        assert!(fails(&plain, &float(&[0, 0, 0, 0])).contains("data.preprocess.layout"));
        assert!(fails(&plain, &float(&[1, 3, 8, 3])).contains("two axes"));
        assert!(fails(&plain, &float(&[1, 10])).contains("4 dimensions"));
        assert!(fails(&plain, &float(&[0, 10])).contains("4 dimensions"));
        assert!(fails(&plain, &float(&[0])).contains("4 dimensions"));
        let given = Preprocess { size: Some([6, 7]), layout: Some(Layout::Nchw), ..Preprocess::default() };
        assert_eq!(given.resolve(&float(&[0, 0, 0, 0])).expect("all given").shape, [1, 3, 6, 7]);
    }

    #[test]
    fn contradictions_are_refused() {
        let sized = Preprocess { size: Some([6, 7]), ..Preprocess::default() };
        assert!(fails(&sized, &float(&[0, 3, 6, 8])).contains("size is 6x7"));
        let grey = Preprocess { channels: Some(Channels::Grey), ..Preprocess::default() };
        assert!(fails(&grey, &float(&[0, 3, 6, 8])).contains("has 3 channels"));
        let first = Preprocess { layout: Some(Layout::Nchw), ..Preprocess::default() };
        assert!(fails(&first, &float(&[0, 6, 8, 3])).contains("has 6"));
        let means = Preprocess { mean: vec![0.0, 1.0], ..Preprocess::default() };
        assert!(fails(&means, &float(&[0, 3, 6, 8])).contains("2 numbers for 3"));
        let zero = Preprocess { std: vec![0.0], ..Preprocess::default() };
        assert!(fails(&zero, &float(&[0, 3, 6, 8])).contains("holds a 0"));
        let nan = Preprocess { scale: Some(f32::NAN), ..Preprocess::default() };
        assert!(fails(&nan, &float(&[0, 3, 6, 8])).contains("finite"));
        let huge = Preprocess { size: Some([usize::MAX, 2]), ..Preprocess::default() };
        assert!(fails(&huge, &float(&[0, 3, 0, 0])).contains("2 GiB"));
        assert!(fails(&Preprocess::default(), &input(DataType::Int64, &[0, 3, 6, 8])).contains("int64"));
    }

    #[test]
    fn bytes_stay_bytes() {
        let bytes = input(DataType::Uint8, &[0, 6, 8, 3]);
        assert_eq!(Preprocess::default().resolve(&bytes).expect("resolves").scale, None);
        let scaled = Preprocess { mean: vec![0.5], ..Preprocess::default() };
        assert!(fails(&scaled, &bytes).contains("uint8"));
    }

    #[test]
    fn an_input_of_integers_that_stand_for_numbers_is_fed_these_numbers() {
        let dims = &[0, 6, 8, 3];
        let with = |meaning| InputSpec { meaning: Some(meaning), ..input(DataType::Uint8, dims) };
        let levels = with(Meaning::Levels(Levels { scale: vec![0.5], zero: vec![3.0], axis: 0 }));
        let grid = with(Meaning::Grid(Params { dtype: GridType::Uint8, scale: 0.5, zero_point: 3 }));
        let plain = Preprocess::default();
        let said = Preprocess { mean: vec![0.5], ..Preprocess::default() };
        for (preprocess, spec, as_numbers) in
            [(&plain, &levels, false), (&said, &levels, true), (&plain, &grid, true), (&said, &grid, true)]
        {
            let settings = preprocess.resolve(spec).expect("resolves");
            assert_eq!((settings.scale.is_some(), settings.meaning.is_some()), (as_numbers, as_numbers));
            assert_eq!(settings.dtype == DataType::Float32, as_numbers);
        }
    }

    #[test]
    fn says_what_was_done() {
        let text = Preprocess::default().resolve(&float(&[0, 3, 8, 9])).expect("resolves").to_string();
        assert_eq!(text, "stretched to 8x9, rgb, nchw; scaled to 0..1; no mean or std was given");
        let mean = Preprocess { mean: vec![127.0], ..Preprocess::default() };
        assert!(mean.doubts().is_some());
        assert!(Preprocess { scale: Some(1.0), ..mean }.doubts().is_none());
    }
}
