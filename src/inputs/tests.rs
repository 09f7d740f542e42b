//! What holds for every kind of data, and the small files that the other tests of the room are made of.

use super::{Dataset, InputSpec, Kind, OnBadFile, Sample, Source};
use crate::error::Result;
use crate::tensor::{DataType, TensorType};
use prost::Message;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An input called `name`; a size of 0 stands for a dimension that varies.
pub(super) fn input(name: &str, dtype: DataType, dims: &[usize]) -> InputSpec {
    let dims = dims.iter().map(|&d| (d > 0).then_some(d)).collect();
    InputSpec { name: name.into(), ty: TensorType { dtype, dims }, meaning: None }
}

/// A folder with these files in it.
pub(super) fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, bytes).expect("written");
    }
    dir
}

pub(super) fn open(path: impl Into<PathBuf>, inputs: &[InputSpec]) -> Result<Dataset> {
    Dataset::open(&Source::new(path), inputs)
}

/// The message of the error that opening must end in.
pub(super) fn refused(path: impl Into<PathBuf>, inputs: &[InputSpec]) -> String {
    open(path, inputs).expect_err("should be refused").to_string()
}

pub(super) fn samples(data: &Dataset) -> Vec<Sample> {
    let all: Vec<usize> = (0..data.len()).collect();
    data.read(&all).collect::<Result<_>>().expect("all samples can be read")
}

pub(super) fn floats(sample: &Sample, input: usize) -> Vec<f32> {
    sample.inputs[input].to_f32().expect("numbers").to_vec()
}

/// A numpy file: `descr` as numpy writes it, and the bytes of the elements.
pub(super) fn npy(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let shape: Vec<String> = shape.iter().map(|size| format!("{size},")).collect();
    let shape = shape.join(" ");
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    let length = u16::try_from(header.len()).expect("short").to_le_bytes();
    [b"\x93NUMPY\x01\x00", length.as_slice(), header.as_bytes(), data].concat()
}

pub(super) fn npy_f32(shape: &[usize], values: &[f32]) -> Vec<u8> {
    npy("<f4", shape, bytemuck::cast_slice(values))
}

pub(super) fn npy_i64(shape: &[usize], values: &[i64]) -> Vec<u8> {
    npy("<i8", shape, bytemuck::cast_slice(values))
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    };
    !bytes.iter().fold(!0, step)
}

/// A deflate stream of blocks that are not compressed, which is as valid as any other.
fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for block in bytes.chunks(1000) {
        let length = u16::try_from(block.len()).expect("short");
        out.push(0);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    // An empty last block.
    out.extend([1, 0, 0, 0xff, 0xff]);
    out
}

/// An archive of `.npy` files, stored or deflated.
pub(super) fn npz(arrays: &[(&str, Vec<u8>)], deflated: bool) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in arrays {
        let name = format!("{name}.npy");
        let data = if deflated { deflate(bytes) } else { bytes.clone() };
        // Version, flags, method, time and date, checksum, two sizes, two lengths.
        let mut common: Vec<u8> = vec![20, 0, 0, 0, if deflated { 8 } else { 0 }, 0, 0, 0, 0, 0];
        common.extend(crc32(bytes).to_le_bytes());
        for size in [data.len(), bytes.len()] {
            common.extend(u32::try_from(size).expect("small").to_le_bytes());
        }
        common.extend(u16::try_from(name.len()).expect("short").to_le_bytes());
        common.extend([0, 0]);
        let offset = u32::try_from(file.len()).expect("small").to_le_bytes();
        file.extend([b"PK\x03\x04", common.as_slice(), name.as_bytes(), &data].concat());
        let unused = [0; 10];
        directory.extend([b"PK\x01\x02\x14\x00", common.as_slice(), &unused, &offset, name.as_bytes()].concat());
    }
    let count = u16::try_from(arrays.len()).expect("few").to_le_bytes();
    let sizes = [directory.len(), file.len()].map(|size| u32::try_from(size).expect("small").to_le_bytes()).concat();
    [file.as_slice(), &directory, b"PK\x05\x06\0\0\0\0", &count, &count, &sizes, &[0, 0]].concat()
}

/// A `TensorProto` of raw bytes.
fn proto(dtype: DataType, dims: &[i64], raw: &[u8]) -> Vec<u8> {
    let raw_data = Some(raw.to_vec().into());
    let message = super::tensor_proto::TensorProto {
        dims: dims.to_vec(),
        data_type: dtype.onnx(),
        raw_data,
        ..Default::default()
    };
    message.encode_to_vec()
}

#[test]
fn says_what_is_accepted_where_there_is_nothing() {
    let inputs = [input("x", DataType::Float32, &[0, 2])];
    let dir = folder(&[("readme.md", b"hello"), ("deeper/notes.txt", b"hello")]);
    let message = refused(dir.path(), &inputs);
    assert!(message.contains("no data among 1 files and 1 folders; accepted are a folder of pictures"), "{message}");
    assert!(refused(dir.path().join("readme.md"), &inputs).contains("accepted are"));
    assert!(refused(dir.path().join("absent"), &inputs).contains("accepted are"));
}

#[test]
fn refuses_to_guess_between_kinds() {
    let dir = folder(&[("a.png", b""), ("x.npz", b""), ("y.npy", b"")]);
    let message = refused(dir.path(), &[input("x", DataType::Float32, &[0, 2])]);
    assert!(message.contains("1 pictures, 1 .npz and 1 .npy"), "{message}");
}

#[test]
fn test_data_sets_are_samples_in_the_order_of_their_numbers() {
    let value = |v: f32| proto(DataType::Float32, &[1, 2], bytemuck::cast_slice(&[v, v + 0.5]));
    let steps = proto(DataType::Int64, &[], &7i64.to_le_bytes());
    let dir = folder(&[
        ("model.onnx", b""),
        ("test_data_set_10/input_0.pb", &value(10.0)),
        ("test_data_set_10/input_1.pb", &steps),
        ("test_data_set_9/input_0.pb", &value(9.0)),
        ("test_data_set_9/input_1.pb", &steps),
        ("test_data_set_9/output_0.pb", b"not looked at"),
    ]);
    let inputs = [input("x", DataType::Float32, &[0, 2]), input("steps", DataType::Int64, &[])];
    let data = open(dir.path(), &inputs).expect("opens");
    assert_eq!((data.len(), data.describe().kind, data.has_labels()), (2, Kind::TestData, false));
    let all = samples(&data);
    assert_eq!(floats(&all[0], 0), [9.0, 9.5]);
    assert_eq!(floats(&all[1], 0), [10.0, 10.5]);
    assert_eq!(all[1].inputs[1].to_i64().expect("whole")[..], [7]);
    assert!(all[0].name.ends_with("test_data_set_9"));
    // One set by itself.
    assert_eq!(open(dir.path().join("test_data_set_10"), &inputs).expect("opens").len(), 1);
    let three = [inputs.as_slice(), &[input("z", DataType::Float32, &[])]].concat();
    assert!(refused(dir.path(), &three).contains("input_2.pb: missing; the model has 3 inputs"));
}

#[test]
fn a_bad_test_data_set_stops_or_is_skipped() {
    let good = proto(DataType::Float32, &[2], bytemuck::cast_slice(&[1.0f32, 2.0]));
    let files: &[(&str, &[u8], &str)] = &[
        ("test_data_set_1/input_0.pb", &proto(DataType::Float64, &[2], &[0; 16]), "holds float64[2], the model's"),
        ("test_data_set_2/input_0.pb", &proto(DataType::Float32, &[3], &[0; 12]), "holds float32[3]"),
        ("test_data_set_3/input_0.pb", &proto(DataType::Float32, &[2], &[0; 7]), "needs 8 bytes, found 7"),
        ("test_data_set_4/input_0.pb", &proto(DataType::Float32, &[-2], &[0; 8]), "negative"),
        ("test_data_set_5/input_0.pb", &proto(DataType::Float32, &[i64::MAX, 9], &[]), "larger than memory"),
        ("test_data_set_6/input_0.pb", b"\xff\xff\xff\xff\xff\xff", "not an ONNX tensor"),
        ("test_data_set_7/input_0.pb", b"\x10\x63", "no data type 99"),
    ];
    let mut all: Vec<(&str, &[u8])> = files.iter().map(|&(name, bytes, _)| (name, bytes)).collect();
    all.push(("test_data_set_0/input_0.pb", &good));
    let dir = folder(&all);
    let inputs = [input("x", DataType::Float32, &[2])];
    let stopping = open(dir.path(), &inputs).expect("opens");
    for (index, (name, _, expected)) in (1..).zip(files) {
        let mut reader = stopping.read(&[index, 0]);
        let message = reader.next().expect("an item").expect_err(name).to_string();
        assert!(message.contains(expected) && message.contains("input_0.pb"), "{message}");
        assert!(reader.next().is_none(), "a reader ends after an error");
    }
    let source = Source { on_bad_file: OnBadFile::Skip, ..Source::new(dir.path()) };
    let skipping = Dataset::open(&source, &inputs).expect("opens");
    assert_eq!(samples(&skipping).len(), 1);
    // Read twice, named once.
    assert_eq!(samples(&skipping).len(), 1);
    assert_eq!(skipping.skipped().len(), files.len());
    assert!(skipping.skipped()[0].contains("test_data_set_1"));
}

#[test]
fn elements_outside_raw_data_are_read_too() {
    use super::tensor_proto::{TensorProto, decode};
    let base = |dtype: DataType| TensorProto { dims: vec![2], data_type: dtype.onnx(), ..Default::default() };
    let floats = TensorProto { float_data: vec![1.5, 2.5], ..base(DataType::Float32) };
    let small = TensorProto { int32_data: vec![-1, 255], ..base(DataType::Int8) };
    let wide = TensorProto { uint64_data: vec![3, 1 << 31], ..base(DataType::Uint32) };
    let read = |proto: TensorProto| decode(proto.encode_to_vec().into());
    assert_eq!(read(floats).expect("reads").to_f32().expect("real")[..], [1.5, 2.5]);
    assert_eq!(read(small).expect("reads").to_i64().expect("whole")[..], [-1, -1]);
    assert_eq!(read(wide).expect("reads").to_i64().expect("whole")[..], [3, 1 << 31]);
    let few = TensorProto { int64_data: vec![1], ..base(DataType::Int64) };
    assert!(read(few).expect_err("too few").contains("needs 16 bytes, found 8"));
    let elsewhere = TensorProto { data_location: 1, ..base(DataType::Int64) };
    assert!(read(elsewhere).expect_err("refused").contains("another file"));
}

#[test]
fn indices_that_are_not_there_are_errors() {
    let dir = folder(&[("x.npy", &npy_f32(&[3, 2], &[0.0; 6])), ("p/a.bmp", b"")]);
    let inputs = [input("x", DataType::Float32, &[0, 2])];
    let data = open(dir.path().join("x.npy"), &inputs).expect("opens");
    assert!(data.read(&[3]).next().expect("an item").is_err());
    let mut backwards = data.read(&[1, 0]);
    assert!(backwards.next().expect("an item").is_ok());
    assert!(backwards.next().expect("an item").expect_err("backwards").to_string().contains("out of order"));
    let pictures = open(dir.path().join("p"), &[input("x", DataType::Float32, &[0, 3, 2, 2])]).expect("opens");
    assert!(pictures.read(&[usize::MAX]).next().expect("an item").is_err());
    assert!(pictures.read(&[]).next().is_none());
}

/// Prefixes and single-byte changes of good files: an error or a sample, never a panic.
#[test]
fn damaged_files_never_panic() {
    let array = npy_f32(&[4, 2], &[1.0; 8]);
    let good = [
        ("x.npy", array.clone()),
        ("x.npz", npz(&[("x", array.clone()), ("__labels__", npy_i64(&[4], &[1, 2, 3, 4]))], false)),
        ("x.npz", npz(&[("x", array), ("y", npy("<U1", &[4], &[0; 16]))], true)),
        ("input_0.pb", proto(DataType::Float32, &[1, 2], bytemuck::cast_slice(&[1.0f32, 2.0]))),
    ];
    let dir = folder(&[]);
    let inputs = [input("x", DataType::Float32, &[0, 2])];
    let try_all = |path: &Path, open_at: &Path, bytes: &[u8]| {
        fs::write(path, bytes).expect("written");
        if let Ok(data) = open(open_at, &inputs) {
            let all: Vec<usize> = (0..data.len().min(8)).collect();
            return data.read(&all).flatten().count();
        }
        0
    };
    for (name, bytes) in good {
        let path = dir.path().join(name);
        let open_at = if name.ends_with("pb") { dir.path() } else { &path };
        assert!(try_all(&path, open_at, &bytes) > 0, "{name} is good before it is damaged");
        // Every byte of a short file, every few of a longer one.
        let step = 1 + bytes.len() / 200;
        for length in (0..bytes.len()).step_by(step) {
            try_all(&path, open_at, &bytes[..length]);
        }
        for at in (0..bytes.len()).step_by(step) {
            for change in [0xff, 0x01] {
                let mut damaged = bytes.clone();
                damaged[at] ^= change;
                try_all(&path, open_at, &damaged);
            }
        }
        fs::remove_file(&path).expect("removed");
    }
}
