//! Samples: the data that calibrates a model and on which the result is compared with it.
//!
//! Pictures, numpy arrays and ONNX's own test data all become the same thing, a [`Sample`] with one
//! tensor for every graph input. Everything is streamed: [`Dataset::open`] reads names and headers,
//! a [`Reader`] holds one sample at a time, so that memory does not grow with the number of samples.

mod arrays;
mod axes;
mod convert;
mod dataset;
mod integers;
mod jpeg;
mod labels;
mod levels;
mod listing;
mod npy;
mod npz;
mod parallel;
mod picture;
mod preprocess;
mod record;
mod recorded;
mod resize;
mod rows;
mod split;
mod tensor_proto;
mod test_data;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_arrays;
#[cfg(test)]
mod tests_pictures;
#[cfg(test)]
mod tests_recorded;
mod texts;

pub use dataset::{Dataset, Description, Kind, Reader};
pub use integers::{Meaning, note_grid, note_levels};
pub use levels::{Levels, TakenLevels, common_level};
pub use parallel::run_samples;
pub use preprocess::{Channels, Fit, Layout, PictureSettings, Preprocess};
pub use record::Recorder;
pub use split::{split, spread};
pub use tensor_proto::{load_tensor, save_tensor};

use crate::tensor::{Tensor, TensorType};
use std::path::PathBuf;

/// The most bytes that one tensor of one sample may take: 2 GiB, as much as ONNX's own file format could carry.
pub const MAX_TENSOR_BYTES: usize = 1 << 31;

/// One sample: a tensor for every graph input, in the graph's order.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Where it came from, for messages: `dir/cat.jpg`, `data.npz[3]`.
    pub name: String,
    /// The tensors, as many as the graph has inputs, of the inputs' element types.
    pub inputs: Vec<Tensor>,
    /// The class of the sample, where the data says it.
    pub label: Option<u32>,
    /// The text that the sample shows, where the data says it.
    pub text: Option<String>,
    /// Outputs that were recorded beside the inputs, in the graph's order: none unless [`Dataset::with_outputs`] asks for them.
    pub recorded: Vec<Tensor>,
}

impl Sample {
    /// The types of its tensors, with all dimensions.
    pub fn types(&self) -> Vec<TensorType> {
        let concrete = |t: &Tensor| TensorType { dtype: t.dtype(), dims: t.shape().iter().map(|&d| Some(d)).collect() };
        self.inputs.iter().map(concrete).collect()
    }
}

/// What one graph input wants.
#[derive(Debug, Clone, PartialEq)]
pub struct InputSpec {
    /// The input's name.
    pub name: String,
    /// Element type and dimensions; a dimension of `None` takes any size.
    pub ty: TensorType,
    /// What its integers stand for, if that is known: data may hold these numbers in their place. Of a float input, what
    /// integers stand for that data hold in the place of its numbers.
    pub meaning: Option<Meaning>,
}

/// What to do about a picture or a test data set that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadFile {
    /// Stop with an error that names it.
    #[default]
    Stop,
    /// Pass over it and remember it for the report: see [`Dataset::skipped`].
    Skip,
}

/// Where samples come from, as the user says it.
#[derive(Debug, Clone)]
pub struct Source {
    /// A folder of pictures, a picture, an `.npz`, an `.npy`, a folder of either, or a folder of ONNX test data.
    pub path: PathBuf,
    /// Labels beside the data: `.csv`, `.txt`, `.npy` or `.npz`.
    pub labels: Option<PathBuf>,
    /// How pictures become tensors; without effect on arrays.
    pub preprocess: Preprocess,
    /// What to do about a file that cannot be read.
    pub on_bad_file: OnBadFile,
}

impl Source {
    /// The data at `path`, with nothing said about labels or preprocessing, stopping at a bad file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), labels: None, preprocess: Preprocess::default(), on_bad_file: OnBadFile::default() }
    }
}
