//! An `.npz` made of samples: each array grows in a file of its own that has no name, until all are put together.

use super::super::InputSpec;
use super::super::arrays::LABELS;
use crate::error::{Error, Result};
use crate::file;
use crate::tensor::{DataType, Tensor};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime};

pub(super) struct Archive {
    path: PathBuf,
    /// How many inputs there are.
    inputs: usize,
    /// Rows in a sample: the batch that the model fixes, or 1.
    batch: usize,
    columns: Vec<Column>,
    labels: Vec<u32>,
    samples: usize,
}

/// One array.
struct Column {
    name: String,
    descr: &'static str,
    /// What each sample adds, and whether these are rows along the tensor's own first axis. If not, a row is the whole tensor.
    shape: Vec<usize>,
    stacked: bool,
    /// Rows that each sample adds.
    rows: usize,
    file: BufWriter<File>,
}

impl Archive {
    /// Begins an archive of the arrays of `inputs` and `outputs`.
    ///
    /// # Errors
    /// When the file cannot be written, or one of them has the name of the array of classes.
    pub(super) fn create(path: &Path, inputs: &[InputSpec], outputs: &[String]) -> Result<Self> {
        if inputs.iter().map(|input| &input.name).chain(outputs).any(|name| name == LABELS) {
            let why =
                format!("the model has an input or output {LABELS:?}, which in an .npz are the classes; name a folder");
            return Err(Error::file(path, why));
        }
        file::check_writable(path)?;
        let fixed = inputs.iter().find_map(|input| input.ty.dims.first().copied().flatten());
        let batch = fixed.unwrap_or(1).max(1);
        Ok(Self { path: path.to_path_buf(), inputs: inputs.len(), batch, columns: vec![], labels: vec![], samples: 0 })
    }

    pub(super) fn add<'a>(
        &mut self,
        sample: &str,
        named: impl Iterator<Item = (&'a String, &'a Tensor)>,
        label: Option<u32>,
    ) -> Result<()> {
        let mut seen = BTreeSet::new();
        let named: Vec<_> = named.collect();
        // It is no batch where inputs do not agree on it: each is then a tensor for itself.
        if named.iter().take(self.inputs).any(|(_, tensor)| tensor.shape().first() != Some(&self.batch)) {
            self.batch = 1;
        }
        // An output that is an input, too, is one array.
        for (at, (name, tensor)) in named.into_iter().filter(|(name, _)| seen.insert(name.as_str())).enumerate() {
            let tensor = storable(tensor).map_err(|e| Error::file(&self.path, format!("array {name:?}: {e}")))?;
            if at == self.columns.len() {
                self.columns.push(self.column(name, &tensor)?);
            }
            let failed = |e: io::Error| Error::file(&self.path, format!("cannot be written: {e}"));
            let column = &mut self.columns[at];
            if column.shape != tensor.shape() || Some(column.descr) != descr(tensor.dtype()) {
                let (found, first) = (tensor.shape(), &column.shape);
                let why = format!(
                    "array {name:?}: its shape is {found:?} for {sample} and {first:?} before; name a folder, which holds each \
                     sample for itself"
                );
                return Err(Error::file(&self.path, why));
            }
            let times = if column.stacked { 1 } else { column.rows };
            (0..times).try_for_each(|_| column.file.write_all(tensor.bytes())).map_err(failed)?;
        }
        self.labels.extend(label);
        self.samples += 1;
        Ok(())
    }

    fn column(&self, name: &str, tensor: &Tensor) -> Result<Column> {
        let failed = |e: io::Error| Error::file(&self.path, format!("cannot be written: {e}"));
        let (shape, batch) = (tensor.shape().to_vec(), self.batch);
        Ok(Column {
            name: name.to_owned(),
            descr: descr(tensor.dtype()).unwrap_or_default(),
            stacked: shape.first() == Some(&batch),
            rows: batch,
            shape,
            file: BufWriter::new(tempfile::tempfile_in(file::folder_of(&self.path)).map_err(failed)?),
        })
    }

    pub(super) fn finish(self) -> Result<()> {
        let Self { path, columns, labels, samples, .. } = self;
        file::write_atomically_with(&path, |file| {
            let mut zip = ZipWriter::new(file);
            // No time of day: the same samples give the same bytes.
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .last_modified_time(DateTime::default())
                .large_file(true);
            for column in columns {
                let own = if column.stacked { &column.shape[1..] } else { &column.shape };
                let shape = [&[samples * column.rows], own].concat();
                let mut data = column.file.into_inner()?;
                data.rewind()?;
                zip.start_file(format!("{}.npy", column.name), options)?;
                zip.write_all(&header(column.descr, &shape))?;
                io::copy(&mut BufReader::new(data), &mut zip)?;
            }
            if !labels.is_empty() && labels.len() == samples {
                zip.start_file(format!("{LABELS}.npy"), options)?;
                zip.write_all(&header("<i8", &[samples]))?;
                let bytes: Vec<u8> = labels.iter().flat_map(|&label| i64::from(label).to_le_bytes()).collect();
                io::copy(&mut bytes.as_slice().by_ref(), &mut zip)?;
            }
            zip.finish()?;
            Ok(())
        })
    }
}

/// What numpy calls a type, where it has it.
fn descr(dtype: DataType) -> Option<&'static str> {
    Some(match dtype {
        DataType::Float32 => "<f4",
        DataType::Float64 => "<f8",
        DataType::Float16 => "<f2",
        DataType::Int8 => "|i1",
        DataType::Uint8 => "|u1",
        DataType::Int16 => "<i2",
        DataType::Uint16 => "<u2",
        DataType::Int32 => "<i4",
        DataType::Uint32 => "<u4",
        DataType::Int64 => "<i8",
        DataType::Uint64 => "<u8",
        DataType::Bool => "|b1",
        _ => return None,
    })
}

/// The tensor itself, or its numbers as float32 where numpy does not have its type.
fn storable(tensor: &Tensor) -> Result<Tensor> {
    match descr(tensor.dtype()) {
        Some(_) => Ok(tensor.clone()),
        None => Ok(Tensor::from_f32(tensor.shape().to_vec(), &tensor.to_f32()?)),
    }
}

/// A numpy header of version 1, padded as numpy does it.
fn header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let sizes: Vec<String> = shape.iter().map(|size| format!("{size},")).collect();
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", sizes.join(" "));
    const BEFORE: usize = 10;
    while !(BEFORE + text.len() + 1).is_multiple_of(64) {
        text.push(' ');
    }
    text.push('\n');
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes();
    [b"\x93NUMPY\x01\x00", length.as_slice(), text.as_bytes()].concat()
}
