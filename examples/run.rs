//! Runs a model on samples and saves what it puts out: `cargo run --example run -- MODEL INPUTS.npz OUTPUTS.npz`. The
//! array `3:scores` of OUTPUTS.npz is the output `scores` of sample 3: its shape may differ from sample to sample.
//! Samples may come as anything else that `tare quantize` takes without being told about preprocessing, too.
//!
//! `benches/models/agreement.py` uses it to hold the engine of validation against ONNX Runtime.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use tare::error::{Error, Result};
use tare::exec::{Session, Tract};
use tare::inputs::{Dataset, InputSpec, Source};
use tare::ir::Model;
use tare::tensor::{DataType, Tensor};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [model, inputs, outputs] = arguments.as_slice() else {
        eprintln!("usage: run MODEL INPUTS.npz OUTPUTS.npz");
        return ExitCode::from(2);
    };
    match run(model.as_ref(), inputs.as_ref(), outputs.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(model: &Path, inputs: &Path, outputs: &Path) -> Result<()> {
    let loaded = tare::file::load(model)?;
    let samples = Dataset::open(&Source::new(inputs), &specs(&loaded)?)?;
    let names: Vec<&str> = loaded.graph.outputs().map(|v| loaded.graph.value(v).name()).collect();
    let tract = Tract::default();
    let session = Session::new(&tract, &loaded, vec![])?;
    let mut archive = ZipWriter::new(BufWriter::new(File::create(outputs).map_err(|e| Error::file(outputs, e))?));
    let indices: Vec<usize> = (0..samples.len()).collect();
    for (index, sample) in samples.read(&indices).enumerate() {
        let found = session.run(&sample?.inputs, &mut |_, _, _| {}).map_err(|e| e.in_model(model))?;
        for (name, tensor) in names.iter().zip(&found) {
            save(&mut archive, &format!("{index}:{name}"), tensor)?;
        }
    }
    let written = archive.finish().map_err(std::io::Error::from).and_then(|mut file| file.flush());
    written.map_err(|e| Error::file(outputs, e))
}

/// What each input of the model wants.
fn specs(model: &Model) -> Result<Vec<InputSpec>> {
    let spec = |value| {
        let name = model.graph.value(value).name().to_owned();
        let ty = model.graph.stated_type(value);
        let ty = ty.ok_or_else(|| Error::value(&name, "is a graph input without a tensor type"))?;
        Ok(InputSpec { name, ty, meaning: None })
    };
    model.graph.inputs().map(spec).collect()
}

/// Writes one array as numpy would.
fn save(archive: &mut ZipWriter<BufWriter<File>>, name: &str, tensor: &Tensor) -> Result<()> {
    let descr = descr(tensor.dtype())
        .ok_or_else(|| Error::value(name, format!("is of type {}, which numpy does not have", tensor.dtype())))?;
    // A comma behind the last size makes a tuple of one.
    let shape: String = tensor.shape().iter().map(|size| format!("{size},")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // With the 10 bytes before it and the line's end, the header fills blocks of 64 bytes.
    let length = (header.len() + 11).next_multiple_of(64) - 10;
    let header = format!("{header:<0$}\n", length - 1);
    let length = u16::try_from(length).map_err(|_| Error::value(name, "has too many dimensions"))?;
    let bytes = [b"\x93NUMPY\x01\x00", length.to_le_bytes().as_slice(), header.as_bytes()].concat();
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut write = || {
        archive.start_file(format!("{name}.npy"), options.large_file(tensor.bytes().len() >= 1 << 31))?;
        archive.write_all(&bytes)?;
        archive.write_all(tensor.bytes())
    };
    write().map_err(|e| Error::value(name, format!("cannot be written: {e}")))
}

/// Numpy's name of an element type.
fn descr(dtype: DataType) -> Option<&'static str> {
    Some(match dtype {
        DataType::Bool => "|b1",
        DataType::Float16 => "<f2",
        DataType::Float32 => "<f4",
        DataType::Float64 => "<f8",
        DataType::Int8 => "|i1",
        DataType::Int16 => "<i2",
        DataType::Int32 => "<i4",
        DataType::Int64 => "<i8",
        DataType::Uint8 => "|u1",
        DataType::Uint16 => "<u2",
        DataType::Uint32 => "<u4",
        DataType::Uint64 => "<u8",
        _ => return None,
    })
}
