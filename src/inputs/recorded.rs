//! Outputs that were recorded beside the inputs of samples.

use super::InputSpec;
use super::arrays::public_names;
use super::convert::convert;
use super::rows::{Array, RowStream, slots};
use super::test_data::read_any;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use std::path::{Path, PathBuf};

/// Where outputs are, and how they belong to samples.
pub(super) enum Outputs {
    /// Arrays, each with as many rows of a sample.
    Arrays(Vec<(Array, usize)>),
    /// The `output_J.pb` of sets, so many of each.
    Sets(Vec<PathBuf>, usize),
}

/// How far a reader has come.
#[derive(Default)]
pub(super) struct Place(Vec<RowStream>);

impl Outputs {
    /// The arrays called `names` in the archive `file`, which belong to `samples` samples of the model's `inputs`.
    ///
    /// # Errors
    /// When one is missing, damaged, or its rows are not as many for each sample.
    pub(super) fn of_archive(file: &Path, inputs: &[InputSpec], names: &[String], samples: usize) -> Result<Self> {
        let slots = slots(file)?;
        let find = |what: &str, name: &String| {
            slots.iter().find(|slot| slot.name == *name).ok_or_else(|| {
                let names = public_names(&slots);
                Error::file(file, format!("no array for the model's {what} {name:?}; the arrays are {names:?}"))
            })
        };
        // The only array of an archive feeds an only input whatever it is called; here it may be an output.
        for input in inputs {
            let array = find("input", &input.name)?.open()?;
            if input.ty.dtype.is_float() && input.meaning.is_none() && !array.number.dtype.is_float() {
                let (dtype, name) = (array.number.dtype, &input.name);
                let why = format!(
                    "holds {dtype}, and what they stand for at the float input {name:?} is not known here; compare the \
                     quantized model with it afterwards, by tare validate"
                );
                return Err(array.error(why));
            }
        }
        let array = |name: &String| {
            let array = find("output", name)?.open()?;
            match array.rows.checked_div(samples) {
                Some(each) if each > 0 && array.rows.is_multiple_of(samples) => Ok((array, each)),
                _ => Err(array.error(format!("it has {} rows, the inputs make {samples} samples", array.rows))),
            }
        };
        Ok(Self::Arrays(names.iter().map(array).collect::<Result<_>>()?))
    }

    /// The outputs of the sets in `folders`, as many as `names`.
    ///
    /// # Errors
    /// When a file is missing.
    pub(super) fn of_sets(folders: &[PathBuf], names: &[String]) -> Result<Self> {
        let mut files = folders.iter().flat_map(|folder| (0..names.len()).map(|k| output(folder, k)));
        if let Some(file) = files.find(|file| !file.is_file()) {
            return Err(Error::file(
                file,
                format!("missing; the model has {} outputs, one file for each", names.len()),
            ));
        }
        Ok(Self::Sets(folders.to_vec(), names.len()))
    }

    /// The outputs of sample `index`, which is called `sample`; `place` is where the same reader left off.
    ///
    /// # Errors
    /// When a file is damaged or a number is NaN.
    pub(super) fn read(&self, index: usize, sample: &str, place: &mut Place) -> Result<Vec<Tensor>> {
        match self {
            Self::Arrays(arrays) => {
                if place.0.is_empty() {
                    place.0 = arrays.iter().map(|(array, _)| array.stream()).collect::<Result<_>>()?;
                }
                let all = arrays.iter().zip(&mut place.0);
                all.map(|((array, each), stream)| rows(array, *each, stream, index, sample)).collect()
            }
            Self::Sets(folders, count) => {
                let folder = folders.get(index).ok_or_else(|| Error::other(format!("there is no sample {index}")))?;
                let one = |k| {
                    let file = output(folder, k);
                    let tensor = read_any(&file)?;
                    no_nan(&tensor).map_err(|why| Error::file(file, why))?;
                    Ok(tensor)
                };
                (0..*count).map(one).collect()
            }
        }
    }
}

fn output(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("output_{index}.pb"))
}

/// The `each` rows of sample `index`, as one tensor with them along its first axis.
fn rows(array: &Array, each: usize, stream: &mut RowStream, index: usize, sample: &str) -> Result<Tensor> {
    let mut bytes = Vec::with_capacity(array.row_bytes.saturating_mul(each).min(super::MAX_TENSOR_BYTES));
    for row in index * each..(index + 1) * each {
        stream.read(array, row, &mut bytes)?;
    }
    let shape = [&[each], array.row_shape.as_slice()].concat();
    let tensor = convert(bytes, array.number, array.number.dtype, shape);
    let tensor = tensor.map_err(|why| array.error(format!("{sample}: {why}")))?;
    no_nan(&tensor).map_err(|why| array.error(format!("{sample}: {why}")))?;
    Ok(tensor)
}

/// A recording with NaN in it tells nothing.
fn no_nan(tensor: &Tensor) -> std::result::Result<(), String> {
    let numbers = tensor.to_f32().map_err(|why| why.to_string())?;
    match numbers.iter().any(|v| v.is_nan()) {
        true => Err("holds NaN, which can be compared with nothing; record it anew".to_owned()),
        false => Ok(()),
    }
}
