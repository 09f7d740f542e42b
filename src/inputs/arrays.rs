//! Numpy arrays as samples: which array feeds which input, and one sample out of the rows that belong together.

use super::convert::{allowed, convert};
use super::labels::Embedded;
use super::listing::Found;
use super::rows::{Array, RowStream, Slot, slots};
use super::{InputSpec, MAX_TENSOR_BYTES, Meaning, labels};
use crate::error::{Error, Result};
use crate::tensor::{DataType, Tensor};
use std::path::{Path, PathBuf};

/// Arrays whose names begin so are not inputs.
const PRIVATE: &str = "__";
/// The array that holds the classes.
pub(super) const LABELS: &str = "__labels__";

/// A set of arrays, one per graph input, in one `.npz` or several files.
struct Part {
    /// For the names of samples: the file, or the folder of the files.
    path: PathBuf,
    /// Rows in the parts before this.
    first: usize,
    rows: usize,
    /// In the order of the graph's inputs.
    arrays: Vec<Array>,
}

/// Samples out of numpy arrays.
pub(super) struct Arrays {
    inputs: Vec<InputSpec>,
    /// For each input whether its rows are stacked along the model's first axis; if not, a row is the whole tensor.
    stacked: Vec<bool>,
    /// Rows in a sample: the batch that the model fixes, or 1.
    batch: usize,
    parts: Vec<Part>,
    rows: usize,
    /// Class of every row, from [`LABELS`].
    pub labels: Option<Vec<u32>>,
    /// Text of every row, from the same, where it holds strings.
    pub texts: Option<Vec<String>>,
    /// What the report should say.
    pub notes: Vec<String>,
}

/// How far a reader has come.
#[derive(Default)]
pub(super) struct Cursor {
    next_row: usize,
    open: Option<(usize, Vec<RowStream>)>,
}

impl Arrays {
    /// Matches the arrays that were found with `inputs`; reads headers and labels only.
    ///
    /// # Errors
    /// When an array is missing, of a type or shape that does not fit its input, or its file is damaged.
    pub(super) fn open(found: &Found, inputs: &[InputSpec]) -> Result<Self> {
        let mut this = Self {
            inputs: inputs.to_vec(),
            stacked: Vec::new(),
            batch: 1,
            parts: Vec::new(),
            rows: 0,
            labels: None,
            texts: None,
            notes: Vec::new(),
        };
        match found {
            Found::Npz(files) => {
                for file in files {
                    this.add_part(file.clone(), &slots(file)?)?;
                }
            }
            Found::Npy { path, files } => {
                let all: Vec<Vec<Slot>> = files.iter().map(|file| slots(file)).collect::<Result<_>>()?;
                this.add_part(path.clone(), &all.concat())?;
            }
            _ => return Err(Error::other("no arrays were found")),
        }
        this.settle_batch()?;
        Ok(this)
    }

    /// Number of samples.
    pub(super) fn len(&self) -> usize {
        self.rows / self.batch
    }

    /// The file that holds all of them, where it is one.
    pub(super) fn only_file(&self) -> Option<&Path> {
        match self.parts.as_slice() {
            [part] => Some(&part.path),
            _ => None,
        }
    }

    /// What the model wants.
    pub(super) fn inputs(&self) -> &[InputSpec] {
        &self.inputs
    }

    /// Rows in a sample.
    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    fn add_part(&mut self, path: PathBuf, slots: &[Slot]) -> Result<()> {
        let mut arrays: Vec<Array> = Vec::with_capacity(self.inputs.len());
        for (k, input) in self.inputs.iter().enumerate() {
            let slot = choose(slots, input, self.inputs.len() == 1).map_err(|message| Error::file(&path, message))?;
            let array = slot.open()?;
            let stacked = check(&array, input)?;
            if *self.stacked.get(k).unwrap_or(&stacked) != stacked {
                return Err(array.error("it has another number of axes than in the files before"));
            }
            if self.stacked.len() == k {
                self.stacked.push(stacked);
            }
            if let Some(other) = arrays.first().filter(|other| other.rows != array.rows) {
                let (first, rows) = (&self.inputs[0].name, other.rows);
                return Err(array.error(format!("it has {} rows, the array for {first:?} has {rows}", array.rows)));
            }
            arrays.push(array);
        }
        let Some(rows) = arrays.first().map(|array| array.rows) else {
            return Err(Error::file(path, "the model has no inputs that samples could feed"));
        };
        let labels = slots.iter().find(|slot| slot.name == LABELS);
        let (classes, texts) =
            match labels.map(|slot| labels::embedded(slot, rows, &mut self.notes)).transpose()?.flatten() {
                None => (None, None),
                Some(Embedded::Classes(classes)) => (Some(classes), None),
                Some(Embedded::Texts(texts)) => (None, Some(texts)),
            };
        let is_first = self.parts.is_empty();
        add_labels(&path, is_first, &mut self.labels, classes)?;
        add_labels(&path, is_first, &mut self.texts, texts)?;
        let first = self.rows;
        self.rows = first.checked_add(rows).ok_or_else(|| Error::file(&path, "too many rows"))?;
        self.parts.push(Part { path, first, rows, arrays });
        Ok(())
    }

    /// Finds the batch that the model fixes, and whether the rows can fill it.
    fn settle_batch(&mut self) -> Result<()> {
        let mut fixed: Option<(&InputSpec, usize)> = None;
        for (input, _) in self.inputs.iter().zip(&self.stacked).filter(|(_, stacked)| **stacked) {
            let Some(Some(batch)) = input.ty.dims.first().copied() else { continue };
            match fixed {
                Some((other, size)) if size != batch => {
                    return Err(Error::value(
                        &input.name,
                        format!("its first axis has {batch}, that of {:?} has {size}: which is the batch?", other.name),
                    ));
                }
                _ => fixed = Some((input, batch)),
            }
        }
        self.batch = fixed.map_or(1, |(_, batch)| batch.max(1));
        if self.batch == 1 {
            return Ok(());
        }
        let batch = self.batch;
        self.notes.push(format!("the model fixes its batch: {batch} consecutive rows make one sample"));
        if self.len() == 0 {
            let path = self.parts.first().map(|part| part.path.clone()).unwrap_or_default();
            let rows = self.rows;
            return Err(Error::file(path, format!("{rows} rows are too few for the model's fixed batch of {batch}")));
        }
        if !self.rows.is_multiple_of(batch) {
            self.notes.push(format!("the last {} rows do not fill a batch and are left out", self.rows % batch));
        }
        if self.labels.take().is_some() | self.texts.take().is_some() {
            self.notes.push(format!("{LABELS} ignored: a sample of {batch} rows has no single one"));
        }
        for (k, input) in self.inputs.iter().enumerate() {
            let Some(first) = self.parts.first().and_then(|part| part.arrays.get(k)) else { continue };
            if first.row_bytes.checked_mul(batch).is_none_or(|bytes| bytes > MAX_TENSOR_BYTES) {
                return Err(first.error(format!("{batch} rows take more than 2 GiB")));
            }
            let arrays = self.parts.iter().filter_map(|part| part.arrays.get(k));
            if let Some(odd) = arrays.into_iter().find(|a| a.row_shape != first.row_shape || a.number != first.number) {
                return Err(odd.error(format!(
                    "rows of another type or shape than in {}; they cannot share a batch for {:?}",
                    first.path().display(),
                    input.name
                )));
            }
        }
        Ok(())
    }

    /// Name and tensors of sample `index`; `cursor` is where the same reader left off.
    ///
    /// # Errors
    /// When a file is damaged, a value does not fit the input's type, or `index` is not past the last one.
    pub(super) fn sample(&self, index: usize, cursor: &mut Cursor) -> Result<(String, Vec<Tensor>)> {
        let unordered = || Error::other(format!("sample {index} was asked for out of order"));
        let start = index.checked_mul(self.batch).filter(|&row| row >= cursor.next_row).ok_or_else(unordered)?;
        let end = start.checked_add(self.batch).filter(|&end| end <= self.rows).ok_or_else(unordered)?;
        let mut buffers: Vec<Vec<u8>> = vec![Vec::new(); self.inputs.len()];
        let mut name = String::new();
        for row in start..end {
            let (at, part) = self.part_of(row).ok_or_else(unordered)?;
            if cursor.open.as_ref().is_none_or(|(open, _)| *open != at) {
                cursor.open = Some((at, part.arrays.iter().map(Array::stream).collect::<Result<_>>()?));
            }
            let streams = cursor.open.iter_mut().flat_map(|(_, streams)| streams);
            for ((array, stream), buffer) in part.arrays.iter().zip(streams).zip(&mut buffers) {
                stream.read(array, row - part.first, buffer)?;
            }
            if row == start {
                name = format!("{}[{}]", part.path.display(), row - part.first);
            }
        }
        cursor.next_row = end;
        let (_, part) = self.part_of(start).ok_or_else(unordered)?;
        let tensors = buffers.into_iter().enumerate().map(|(k, bytes)| self.tensor(k, part, bytes, &name));
        Ok((name.clone(), tensors.collect::<Result<_>>()?))
    }

    fn part_of(&self, row: usize) -> Option<(usize, &Part)> {
        let at = self.parts.partition_point(|part| part.first <= row).checked_sub(1)?;
        let part = self.parts.get(at)?;
        (row - part.first < part.rows).then_some((at, part))
    }

    /// The tensor for input `k` from the rows of one sample.
    fn tensor(&self, k: usize, part: &Part, mut bytes: Vec<u8>, sample: &str) -> Result<Tensor> {
        let (Some(array), Some(input)) = (part.arrays.get(k), self.inputs.get(k)) else {
            return Err(Error::other(format!("sample {sample} has no input {k}")));
        };
        let mut shape = array.row_shape.clone();
        if self.stacked.get(k) == Some(&true) {
            shape.insert(0, self.batch);
        } else {
            // The tensor has no batch axis: the rows of a fixed batch must agree on it.
            if bytes.chunks_exact(array.row_bytes).any(|row| row != &bytes[..array.row_bytes]) {
                return Err(array.error(format!("the {} rows from {sample} differ but share one tensor", self.batch)));
            }
            bytes.truncate(array.row_bytes);
        }
        let of_type = |bytes, wanted| {
            convert(bytes, array.number, wanted, shape)
                .map_err(|why| array.error(format!("{sample}: {why}, the type of the input {:?}", input.name)))
        };
        if let Some(meaning) = integers(array, input) {
            return meaning.dequantize(of_type(bytes, array.number.dtype)?);
        }
        match numbers(array, input) {
            None => of_type(bytes, input.ty.dtype),
            Some(meaning) => meaning
                .quantize(&of_type(bytes, DataType::Float32)?)
                .map_err(|why| array.error(format!("{sample}: for the input {:?}: {why}", input.name))),
        }
    }
}

/// Appends the labels of one more part to `all`; all parts have them or none.
fn add_labels<T>(path: &Path, is_first: bool, all: &mut Option<Vec<T>>, more: Option<Vec<T>>) -> Result<()> {
    match (all.as_mut(), more) {
        (None, Some(more)) if is_first => *all = Some(more),
        (Some(all), Some(more)) => all.extend(more),
        (None, None) => {}
        (Some(_), None) => {
            return Err(Error::file(path, format!("no usable {LABELS}, but the files before have labels")));
        }
        (None, Some(_)) => {
            return Err(Error::file(path, format!("holds {LABELS}, but the files before have no labels")));
        }
    }
    Ok(())
}

/// The array that feeds `input`: the one of its name or, for a model of one input, the only one there is.
fn choose<'a>(slots: &'a [Slot], input: &InputSpec, only: bool) -> std::result::Result<&'a Slot, String> {
    if let Some(slot) = slots.iter().find(|slot| slot.name == input.name) {
        return Ok(slot);
    }
    let public: Vec<&Slot> = slots.iter().filter(|slot| !slot.name.starts_with(PRIVATE)).collect();
    match public.as_slice() {
        [single] if only => Ok(single),
        _ => Err(format!("no array for the model's input {:?}; the arrays are {:?}", input.name, public_names(slots))),
    }
}

/// The names of arrays that may feed inputs, for messages.
pub(super) fn public_names(slots: &[Slot]) -> Vec<&str> {
    slots.iter().map(|slot| slot.name.as_str()).filter(|name| !name.starts_with(PRIVATE)).collect()
}

/// What the integers of `input` stand for, where the array holds these numbers in their place.
fn numbers<'a>(array: &Array, input: &'a InputSpec) -> Option<&'a Meaning> {
    input.meaning.as_ref().filter(|_| array.number.dtype.is_float() && !input.ty.dtype.is_float())
}

/// What the array's integers stand for, where `input` reads the numbers.
fn integers<'a>(array: &Array, input: &'a InputSpec) -> Option<&'a Meaning> {
    let of_grid =
        |meaning: &&Meaning| matches!(meaning, Meaning::Grid(grid) if grid.dtype.data_type() == array.number.dtype);
    input.meaning.as_ref().filter(of_grid).filter(|_| input.ty.dtype == DataType::Float32)
}

/// Whether the rows are stacked along the input's first axis (true) or are the whole tensor (false).
///
/// # Errors
/// When neither fits, or the element type does not.
fn check(array: &Array, input: &InputSpec) -> Result<bool> {
    let (found, wanted) = (array.number.dtype, input.ty.dtype);
    if !allowed(found, wanted) && numbers(array, input).is_none() {
        return Err(array.error(format!("its elements are {found}, the input {:?} wants {wanted}", input.name)));
    }
    let dims = &input.ty.dims;
    let stacked = array.row_shape.len() + 1 == dims.len();
    let row_dims = if stacked { &dims[1..] } else { dims.as_slice() };
    let fits = row_dims.len() == array.row_shape.len()
        && row_dims.iter().zip(&array.row_shape).all(|(dim, &size)| dim.is_none_or(|dim| dim == size));
    if fits {
        return Ok(stacked);
    }
    let wanted: Vec<String> =
        dims.iter().skip(1).map(|dim| dim.map_or("?".to_owned(), |dim| dim.to_string())).collect();
    let wanted = [vec!["N".to_owned()], wanted].concat().join(",");
    Err(array.error(format!(
        "its shape is {:?}, but the input {:?} is {}: expected [{wanted}], N samples along the first axis",
        array.shape(),
        input.name,
        input.ty
    )))
}
