//! Recorded outputs beside samples, and references that are written.

use super::tests::{folder, input, npy_f32, npz, open, samples};
use super::{Dataset, InputSpec, Meaning, Recorder};
use crate::error::Result;
use crate::quant::{GridType, Params};
use crate::tensor::{DataType, Tensor};
use std::path::Path;

fn x() -> InputSpec {
    input("x", DataType::Float32, &[0, 3])
}

fn tensor(shape: &[usize], first: f32) -> Tensor {
    let count = shape.iter().product::<usize>();
    Tensor::from_f32(shape.to_vec(), &(0..count).map(|k| first + k as f32).collect::<Vec<_>>())
}

fn with_outputs(path: &Path, inputs: &[InputSpec], outputs: &[&str]) -> Result<Dataset> {
    open(path, inputs)?.with_outputs(&outputs.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
}

/// Three samples with two outputs, one of which has no axis for samples.
fn record(path: &Path, widths: [usize; 3]) -> Result<()> {
    let mut recorder = Recorder::create(path, &[x()], &["y".to_owned(), "z".to_owned()])?;
    for (k, width) in widths.into_iter().enumerate() {
        let first = 10.0 * k as f32;
        let outputs = [tensor(&[1, width], first), tensor(&[2, 2], -first)];
        recorder.add(&format!("s{k}"), &[tensor(&[1, 3], first)], &outputs, Some(k as u32))?;
    }
    recorder.finish()
}

#[test]
fn what_is_recorded_is_read_again() {
    let dir = folder(&[]);
    for (name, labelled) in [("ref.npz", true), ("sets", false)] {
        let path = dir.path().join(name);
        record(&path, [4, 4, 4]).expect(name);
        let data = with_outputs(&path, &[x()], &["y", "z"]).expect(name);
        assert_eq!((data.len(), data.has_labels()), (3, labelled), "{name}");
        for (k, sample) in samples(&data).iter().enumerate() {
            let first = 10.0 * k as f32;
            assert_eq!(sample.inputs[0], tensor(&[1, 3], first), "{name}");
            assert_eq!(sample.recorded[0], tensor(&[1, 4], first), "{name}");
            // Where the first axis is not that of the samples, each row is a whole tensor.
            assert_eq!(sample.recorded[1].clone().reshaped(vec![2, 2]), tensor(&[2, 2], -first), "{name}");
        }
        let last = data.read(&[2]).next().expect("a sample").expect(name);
        assert_eq!(last.recorded[0], tensor(&[1, 4], 20.0), "{name}");
        // Without a wish for them there are none.
        assert!(samples(&open(&path, &[x()]).expect(name)).iter().all(|sample| sample.recorded.is_empty()));
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("a folder").collect();
    assert_eq!(left.len(), 2, "something was left behind");
}

#[test]
fn samples_of_unlike_shapes_go_into_a_folder_only() {
    let dir = folder(&[("full/file", b"")]);
    let said = record(&dir.path().join("ref.npz"), [4, 5, 4]).expect_err("refused").to_string();
    assert!(
        said.contains("ref.npz: array \"y\"") && said.contains("[1, 5] for s1") && said.contains("folder"),
        "{said}"
    );
    let sets = dir.path().join("sets");
    record(&sets, [4, 5, 4]).expect("a folder");
    let data = with_outputs(&sets, &[x()], &["y", "z"]).expect("read");
    assert_eq!(samples(&data)[1].recorded[0].shape(), [1, 5]);
    for (name, why) in
        [("full", "is there already"), ("sets", "is there already"), ("a.json", "no place for a reference")]
    {
        let said = record(&dir.path().join(name), [4; 3]).expect_err("refused").to_string();
        assert!(said.contains(name) && said.contains(why), "{said}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 2, "something was left behind");
}

#[test]
fn a_batch_that_the_model_fixes_is_stacked_along_it() {
    let dir = folder(&[]);
    let path = dir.path().join("ref.npz");
    let spec = input("x", DataType::Float32, &[2, 3]);
    let mut recorder = Recorder::create(&path, std::slice::from_ref(&spec), &["y".to_owned()]).expect("begun");
    for k in 0..3 {
        let inputs = [tensor(&[2, 3], k as f32)];
        recorder.add("s", &inputs, &[tensor(&[2, 5], -(k as f32))], None).expect("added");
    }
    recorder.finish().expect("written");
    let data = with_outputs(&path, &[spec], &["y"]).expect("read");
    let all = samples(&data);
    assert_eq!(all.len(), 3);
    assert_eq!((&all[2].inputs[0], &all[2].recorded[0]), (&tensor(&[2, 3], 2.0), &tensor(&[2, 5], -2.0)));
}

#[test]
fn what_lacks_the_axis_of_a_fixed_batch_stands_once_for_each_row() {
    let dir = folder(&[]);
    let path = dir.path().join("ref.npz");
    let spec = input("x", DataType::Float32, &[2, 3]);
    let outputs = ["loss".to_owned(), "z".to_owned()];
    let mut recorder = Recorder::create(&path, std::slice::from_ref(&spec), &outputs).expect("begun");
    for k in 0..3 {
        let made = [tensor(&[], k as f32), tensor(&[4], 10.0 * k as f32)];
        recorder.add("s", &[tensor(&[2, 3], k as f32)], &made, None).expect("added");
    }
    recorder.finish().expect("written");
    let all = samples(&with_outputs(&path, &[spec], &["loss", "z"]).expect("read"));
    assert_eq!(all.len(), 3);
    assert_eq!(all[2].recorded[0], Tensor::from_f32(vec![2], &[2.0; 2]));
    let row: Vec<f32> = (0..4).map(|k| 20.0 + k as f32).collect();
    assert_eq!(all[2].recorded[1], Tensor::from_f32(vec![2, 4], &[row.clone(), row].concat()));
}

#[test]
fn the_array_of_classes_is_nothing_that_a_model_makes() {
    let dir = folder(&[]);
    let names = ["y".to_owned(), "__labels__".to_owned()];
    let said =
        Recorder::create(&dir.path().join("r.npz"), &[x()], &names).map(|_| ()).expect_err("refused").to_string();
    assert!(said.contains("r.npz") && said.contains("\"__labels__\"") && said.contains("folder"), "{said}");
    Recorder::create(&dir.path().join("sets"), &[x()], &names).expect("a folder takes any name");
}

#[test]
fn a_first_axis_that_not_all_inputs_have_is_no_batch() {
    let dir = folder(&[]);
    let path = dir.path().join("ref.npz");
    let specs = [
        input("state", DataType::Float32, &[2, 3]),
        input("x", DataType::Float32, &[0, 4]),
        input("rate", DataType::Float32, &[]),
    ];
    let sample = |k: usize| [tensor(&[2, 3], k as f32), tensor(&[1, 4], 9.0 + k as f32), tensor(&[], k as f32)];
    let mut recorder = Recorder::create(&path, &specs, &["y".to_owned()]).expect("begun");
    for k in 0..3 {
        recorder.add("s", &sample(k), &[tensor(&[1, 5], k as f32)], None).expect("added");
    }
    recorder.finish().expect("written");
    let all = samples(&with_outputs(&path, &specs, &["y"]).expect("read"));
    assert_eq!(all.len(), 3);
    assert_eq!((all[2].inputs.as_slice(), &all[2].recorded[0]), (&sample(2)[..], &tensor(&[1, 5], 2.0)));
    // Each sample once.
    let arrays: u64 = 3 * (2 * 3 + 4 + 1 + 5) * 4;
    assert!(std::fs::metadata(&path).expect("a file").len() < arrays + 4 * 400);
}

#[test]
fn what_does_not_belong_together_is_named() {
    let x = x();
    let rows = npy_f32(&[2, 3], &[1.0; 6]);
    let bad = npy_f32(&[2, 2], &[1.0, 2.0, f32::NAN, 4.0]);
    let dir = folder(&[
        ("few.npz", &npz(&[("x", rows.clone()), ("y", npy_f32(&[3, 2], &[1.0; 6]))], false)),
        ("none.npz", &npz(&[("x", rows.clone())], false)),
        ("other.npz", &npz(&[("y", rows.clone())], false)),
        ("nan.npz", &npz(&[("x", rows.clone()), ("y", bad)], true)),
        ("x.npy", &rows),
    ]);
    let whole = npz(&[("x", rows.clone()), ("y", rows)], false);
    std::fs::write(dir.path().join("cut.npz"), &whole[..whole.len() / 2]).expect("a file");
    for (name, why) in [
        ("few.npz", "array \"y\": it has 3 rows, the inputs make 2 samples"),
        ("none.npz", "no array for the model's output \"y\"; the arrays are [\"x\"]"),
        ("other.npz", "no array for the model's input \"x\"; the arrays are [\"y\"]"),
        ("nan.npz", "array \"y\": "),
        ("cut.npz", "truncated"),
        ("x.npy", "holds no outputs"),
    ] {
        let read = with_outputs(&dir.path().join(name), std::slice::from_ref(&x), &["y"]);
        let read = read.and_then(|data| data.read(&[0, 1]).collect::<Result<Vec<_>>>());
        let said = read.expect_err(name).to_string();
        assert!(said.contains(name) && said.contains(why), "{said}");
    }
    // Test data: each output has its file.
    record(&dir.path().join("sets"), [4; 3]).expect("a folder");
    let said =
        with_outputs(&dir.path().join("sets"), &[x], &["y", "z", "w"]).map(|_| ()).expect_err("refused").to_string();
    assert!(
        said.contains("test_data_set_0") && said.contains("output_2.pb: missing; the model has 3 outputs"),
        "{said}"
    );
}

#[test]
fn integers_in_the_place_of_numbers_are_read_as_what_they_stand_for() {
    let grid = Params { dtype: GridType::Int8, scale: 0.5, zero_point: -3 };
    let spec = InputSpec { meaning: Some(Meaning::Grid(grid)), ..x() };
    let integers = super::tests::npy("|i1", &[1, 3], &[0xfd, 0, 1]);
    let dir = folder(&[
        ("x.npz", &npz(&[("x", integers)], false)),
        ("f.npz", &npz(&[("x", npy_f32(&[1, 3], &[1.0; 3]))], false)),
    ]);
    let read = |name: &str| {
        samples(&open(dir.path().join(name), std::slice::from_ref(&spec)).expect(name))[0].inputs[0].clone()
    };
    assert_eq!(read("x.npz"), Tensor::from_f32(vec![1, 3], &[0.0, 1.5, 2.0]));
    assert_eq!(read("f.npz"), Tensor::from_f32(vec![1, 3], &[1.0; 3]));
}
