//! Numpy arrays as samples: matching, types, shapes, batches, labels, and files that are not what they claim.

use super::tests::{floats, folder, input, npy, npy_f32, npy_i64, npz, open, refused, samples};
use super::{Dataset, InputSpec, Kind, Layout, Meaning, Preprocess, Source};
use crate::quant::{GridType, Params};
use crate::tensor::DataType;

fn row(sample: usize) -> Vec<f32> {
    (0..3).map(|k| (sample * 10 + k) as f32).collect()
}

fn rows(count: usize) -> Vec<u8> {
    npy_f32(&[count, 3], &(0..count).flat_map(row).collect::<Vec<_>>())
}

fn x() -> InputSpec {
    input("x", DataType::Float32, &[0, 3])
}

#[test]
fn numbers_become_the_integers_that_stand_for_them() {
    let grid = Params { dtype: GridType::Uint8, scale: 0.5, zero_point: 3 };
    let spec = InputSpec { meaning: Some(Meaning::Grid(grid)), ..input("x", DataType::Uint8, &[0, 3]) };
    let dir = folder(&[
        ("numbers.npy", &npy_f32(&[2, 3], &[0.0, 1.0, -9.0, 100.0, 1e9, 0.6])),
        ("integers.npy", &npy_i64(&[1, 3], &[0, 200, 255])),
        ("bad.npy", &npy_f32(&[1, 3], &[0.0, f32::NAN, 1.0])),
    ]);
    let bytes = |name: &str, index| {
        let data = open(dir.path().join(name), std::slice::from_ref(&spec)).expect(name);
        let sample = data.read(&[index]).next().expect("a sample")?;
        assert_eq!(sample.inputs[0].dtype(), DataType::Uint8);
        Ok::<_, crate::error::Error>(sample.inputs[0].bytes().to_vec())
    };
    assert_eq!(bytes("numbers.npy", 0).expect("numbers"), [3, 5, 0]);
    assert_eq!(bytes("numbers.npy", 1).expect("numbers"), [203, 255, 4]);
    assert_eq!(bytes("integers.npy", 0).expect("integers"), [0, 200, 255]);
    let said = bytes("bad.npy", 0).expect_err("no number").to_string();
    assert!(said.contains("NaN") && said.contains("bad.npy[0]") && said.contains("\"x\""), "{said}");
    // Without a word on what they stand for, nothing can be made of numbers.
    assert!(refused(dir.path().join("numbers.npy"), &[input("x", DataType::Uint8, &[0, 3])]).contains("wants uint8"));
}

#[test]
fn rows_come_as_samples_stored_deflated_or_bare() {
    let count = 2000;
    let labels = npy_i64(&[count], &(0..2000).collect::<Vec<_>>());
    let arrays = [("x", rows(count)), ("__labels__", labels)];
    let dir = folder(&[
        ("stored.npz", &npz(&arrays, false)),
        ("deflated.npz", &npz(&arrays, true)),
        ("x.npy", &rows(count)),
        ("arrays/x.npy", &rows(count)),
    ]);
    for (name, labelled) in [("stored.npz", true), ("deflated.npz", true), ("x.npy", false), ("arrays", false)] {
        let data = open(dir.path().join(name), &[x()]).expect(name);
        assert_eq!((data.len(), data.has_labels()), (count, labelled), "{name}");
        let wanted = [0, 1, 7, 1000, 1999];
        let read: Vec<_> = data.read(&wanted).map(|sample| sample.expect(name)).collect();
        for (&index, sample) in wanted.iter().zip(&read) {
            assert_eq!(sample.inputs[0].shape(), [1, 3]);
            assert_eq!(floats(sample, 0), row(index), "{name}");
            assert_eq!(sample.name, format!("{}[{index}]", dir.path().join(name).display()));
            assert_eq!(sample.label, labelled.then_some(u32::try_from(index).expect("small")));
        }
        assert_eq!(samples(&data).len(), count);
    }
}

#[test]
fn a_folder_of_archives_is_one_after_the_other() {
    let part = |first: usize, count: usize| {
        let values: Vec<f32> = (first..first + count).flat_map(row).collect();
        let labels: Vec<i64> = (0..).skip(first).take(count).collect();
        npz(&[("x", npy_f32(&[count, 3], &values)), ("__labels__", npy_i64(&[count], &labels))], first == 0)
    };
    let dir = folder(&[("b.npz", &part(4, 3)), ("a.npz", &part(0, 4)), (".hidden.npz", b"")]);
    let data = open(dir.path(), &[x()]).expect("opens");
    assert_eq!((data.len(), data.describe().kind), (7, Kind::Npz));
    for (index, sample) in samples(&data).iter().enumerate() {
        assert_eq!((floats(sample, 0), sample.label), (row(index), u32::try_from(index).ok()));
    }
    let last = data.read(&[6]).next().expect("an item").expect("reads");
    assert!(last.name.ends_with("b.npz[2]"), "{}", last.name);
    let dir = folder(&[("a.npz", &part(0, 4)), ("b.npz", &npz(&[("x", rows(2))], false))]);
    assert!(refused(dir.path(), &[x()]).contains("b.npz: no usable __labels__"));
}

#[test]
fn inputs_get_the_arrays_of_their_names() {
    let ids = npy_i64(&[2, 2], &[1, 2, 3, 4]);
    let file =
        npz(&[("mask", npy("|b1", &[2, 2], &[1, 1, 1, 0])), ("ids", ids), ("rate", npy_i64(&[2], &[8, 16]))], true);
    let dir = folder(&[("d.npz", &file)]);
    let inputs = [
        input("ids", DataType::Int32, &[0, 0]),
        input("mask", DataType::Float32, &[0, 0]),
        input("rate", DataType::Int64, &[]),
    ];
    let all = samples(&open(dir.path().join("d.npz"), &inputs).expect("opens"));
    let second = &all[1].inputs;
    assert_eq!((second[0].dtype(), second[0].shape()), (DataType::Int32, [1, 2].as_slice()));
    assert_eq!(second[0].to_i64().expect("whole")[..], [3, 4]);
    assert_eq!(floats(&all[1], 1), [1.0, 0.0]);
    // No batch axis: the row is the scalar.
    assert_eq!((second[2].shape(), second[2].to_i64().expect("whole")[0]), ([].as_slice(), 16));
    let missing = [input("tokens", DataType::Int64, &[0, 0]), inputs[1].clone()];
    let message = refused(dir.path().join("d.npz"), &missing);
    assert!(
        message.contains(r#"no array for the model's input "tokens"; the arrays are ["mask", "ids", "rate"]"#),
        "{message}"
    );
}

#[test]
fn a_single_array_feeds_a_single_input_whatever_its_name() {
    let file = npz(&[("arr_0", rows(2)), ("__labels__", npy("<M8", &[2], &[0; 16]))], false);
    let dir = folder(&[("d.npz", &file), ("data.npy", &rows(2))]);
    let data = open(dir.path().join("d.npz"), &[x()]).expect("opens");
    assert_eq!((data.len(), data.has_labels()), (2, false));
    assert!(
        data.describe().notes[0].contains("__labels__ ignored: <M8[2] are neither one integer nor one text per sample")
    );
    assert_eq!(open(dir.path().join("data.npy"), &[x()]).expect("opens").len(), 2);
    let two = [x(), input("y", DataType::Float32, &[0, 3])];
    assert!(refused(dir.path().join("data.npy"), &two).contains("no array for the model's input \"x\""));
}

#[test]
fn shapes_and_types_that_do_not_fit_are_named() {
    let dir = folder(&[
        ("x.npy", &rows(4)),
        ("number.npy", &npy_f32(&[], &[1.0])),
        ("none.npy", &npy_f32(&[0, 3], &[])),
        ("text.npy", &npy("<U3", &[1, 3], &[0; 36])),
        ("big.npy", &npy(">f4", &[1, 3], &[0x3f, 0xc0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0])),
    ]);
    let with = |name: &str, dtype, dims: &[usize]| refused(dir.path().join(name), &[input("images", dtype, dims)]);
    let message = with("x.npy", DataType::Float32, &[0, 1, 28, 0]);
    assert!(message.contains(r#"x.npy: array "x": its shape is [4, 3], but the input "images" is"#), "{message}");
    assert!(message.contains("float32[?,1,28,?]: expected [N,1,28,?]"), "{message}");
    assert!(with("x.npy", DataType::Float32, &[0, 4]).contains("expected [N,4]"));
    assert!(
        with("x.npy", DataType::Int64, &[0, 3]).contains("its elements are float32, the input \"images\" wants int64")
    );
    assert!(with("number.npy", DataType::Float32, &[]).contains("single number"));
    assert!(with("none.npy", DataType::Float32, &[0, 3]).contains("empty"));
    assert!(with("text.npy", DataType::Float32, &[0, 3]).contains("its elements are <U3, expected numbers"));
    let big = open(dir.path().join("big.npy"), &[x()]).expect("opens");
    assert_eq!(floats(&samples(&big)[0], 0), [1.5, 0.0, 2.0]);
}

#[test]
fn a_value_that_does_not_fit_is_found_in_its_row() {
    let dir = folder(&[("x.npy", &npy_i64(&[3, 1], &[1, 2, 1 << 40]))]);
    let data = open(dir.path().join("x.npy"), &[input("x", DataType::Int32, &[0, 1])]).expect("opens");
    let read: Vec<_> = data.read(&[0, 1, 2]).collect();
    assert!(read[1].is_ok());
    let message = read[2].as_ref().expect_err("too large").to_string();
    assert!(message.contains("x.npy[2]: the value 1099511627776 cannot be held exactly as int32"), "{message}");
}

#[test]
fn fortran_order_is_refused_with_a_remedy() {
    let swapped = |shape: &[usize]| {
        let text = String::from_utf8_lossy(&npy_f32(shape, &[])).replace("False", "True ");
        // The magic number is not UTF-8.
        [b"\x93NUMPY", &text.as_bytes()["\u{fffd}NUMPY".len()..], &[0; 24]].concat()
    };
    let dir = folder(&[("x.npy", &swapped(&[2, 3])), ("flat.npy", &swapped(&[6]))]);
    assert!(refused(dir.path().join("x.npy"), &[x()]).contains("numpy.ascontiguousarray"));
    // With a single axis both orders are the same.
    assert_eq!(open(dir.path().join("flat.npy"), &[input("v", DataType::Float32, &[0])]).expect("opens").len(), 6);
}

#[test]
fn a_fixed_batch_takes_as_many_rows() {
    let rate = npy_i64(&[5], &[7, 7, 9, 9, 9]);
    let file = npz(&[("x", rows(5)), ("rate", rate), ("__labels__", npy_i64(&[5], &[0; 5]))], true);
    let dir = folder(&[("d.npz", &file), ("bad.npz", &npz(&[("x", rows(2)), ("rate", npy_i64(&[2], &[1, 2]))], true))]);
    let inputs = [input("x", DataType::Float32, &[2, 3]), input("rate", DataType::Int64, &[])];
    let data = open(dir.path().join("d.npz"), &inputs).expect("opens");
    assert_eq!((data.len(), data.has_labels()), (2, false));
    let notes = data.describe().notes.join("; ");
    assert!(notes.contains("2 consecutive rows") && notes.contains("last 1 rows"), "{notes}");
    assert!(notes.contains("__labels__ ignored"), "{notes}");
    let all = samples(&data);
    assert_eq!(all[1].inputs[0].shape(), [2, 3]);
    assert_eq!(floats(&all[1], 0), [row(2), row(3)].concat());
    assert_eq!(all[1].inputs[1].to_i64().expect("whole")[..], [9]);
    let differing = open(dir.path().join("bad.npz"), &inputs).expect("opens");
    assert!(
        differing.read(&[0]).next().expect("an item").expect_err("differ").to_string().contains("differ but share")
    );
    let six = [input("x", DataType::Float32, &[6, 3]), inputs[1].clone()];
    assert!(refused(dir.path().join("d.npz"), &six).contains("5 rows are too few for the model's fixed batch of 6"));
    let odd = [input("x", DataType::Float32, &[2, 3]), input("rate", DataType::Int64, &[3])];
    assert!(refused(dir.path().join("d.npz"), &odd).contains("which is the batch?"));
    let labels = Source { labels: Some(dir.path().join("d.npz")), ..Source::new(dir.path().join("d.npz")) };
    assert!(Dataset::open(&labels, &inputs).expect_err("refused").to_string().contains("no single label"));
}

#[test]
fn arrays_of_different_lengths_are_refused() {
    let dir = folder(&[("x.npy", &rows(5)), ("y.npy", &rows(4))]);
    let message = refused(dir.path(), &[x(), input("y", DataType::Float32, &[0, 3])]);
    assert!(message.contains("y.npy: array \"y\": it has 4 rows, the array for \"x\" has 5"), "{message}");
}

#[test]
fn truncated_and_damaged_files_are_named() {
    let good = npz(&[("x", rows(500))], true);
    let mut flipped = good.clone();
    // A value inside the data, which only the checksum protects.
    flipped[5000] ^= 1;
    let mut encrypted = npz(&[("x", rows(5))], true);
    let directory = encrypted.windows(4).position(|w| w == b"PK\x01\x02").expect("there");
    encrypted[directory + 8] |= 1;
    let dir = folder(&[
        ("short.npy", &rows(5)[..90]),
        ("short.npz", &good[..good.len() / 2]),
        ("flipped.npz", &flipped),
        ("encrypted.npz", &encrypted),
        ("twice.npz", &npz(&[("x", rows(5)), ("x", rows(5))], false)),
        ("claims.npy", &npy_f32(&[usize::MAX / 2, 3], &[0.0; 3])),
        ("wide.npy", &npy_f32(&[1, usize::MAX, usize::MAX], &[])),
        ("fat.npy", &npy_f32(&[1, 1 << 30], &[])),
        ("other.npz", b"hello"),
        ("empty.npy", b""),
    ]);
    let message = |name: &str| refused(dir.path().join(name), &[x()]);
    assert!(message("short.npy").contains("truncated: 5 rows of 12 bytes are promised"));
    assert!(message("short.npz").contains("truncated, or not an .npz"));
    assert!(message("encrypted.npz").contains("encrypted"));
    assert!(message("twice.npz").contains("twice"));
    assert!(message("claims.npy").contains("truncated"));
    assert!(message("wide.npy").contains("more than 2 GiB"));
    assert!(message("fat.npy").contains("more than 2 GiB"));
    assert!(message("other.npz").contains("not an .npz"));
    assert!(message("empty.npy").contains("truncated: it ends inside the header"));
    let data = open(dir.path().join("flipped.npz"), &[x()]).expect("the header is whole");
    let all: Vec<usize> = (0..500).collect();
    let read: Vec<_> = data.read(&all).collect();
    let message = read.last().expect("an item").as_ref().expect_err("the checksum is wrong").to_string();
    assert!(message.contains("flipped.npz: array \"x\": ") && message.contains("checksum"), "{message}");
}

#[test]
fn a_false_count_of_entries_is_not_believed() {
    let mut file = npz(&[("x", rows(5))], true);
    let end = file.len() - 22;
    // A 64-bit directory that claims a billion entries, and its locator.
    let mut directory = b"PK\x06\x06".to_vec();
    directory.resize(56, 0);
    directory[24..32].copy_from_slice(&1_000_000_000u64.to_le_bytes());
    directory[32..40].copy_from_slice(&1_000_000_000u64.to_le_bytes());
    let mut locator = b"PK\x06\x07\0\0\0\0".to_vec();
    locator.extend((end as u64).to_le_bytes());
    locator.extend(1u32.to_le_bytes());
    file.splice(end..end, [directory, locator].concat());
    let dir = folder(&[("x.npz", &file)]);
    assert!(refused(dir.path().join("x.npz"), &[x()]).contains("claims to hold 1000000000 arrays"));
}

#[test]
fn labels_may_be_texts() {
    let letters = |text: &str| text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect::<Vec<u8>>();
    let labels = npy("<U2", &[2], &[letters("Ä\0"), letters("b中")].concat());
    for compressed in [false, true] {
        let dir = folder(&[("d.npz", &npz(&[("x", rows(2)), ("__labels__", labels.clone())], compressed))]);
        let data = open(dir.path().join("d.npz"), &[x()]).expect("data");
        assert!(!data.has_labels());
        let read: Vec<_> = data.read(&[0, 1]).map(|sample| sample.expect("a sample").text).collect();
        assert_eq!(read, [Some("Ä".to_owned()), Some("b中".to_owned())]);
    }
    let dir = folder(&[("d.npz", &npz(&[("x", rows(3)), ("__labels__", labels)], false))]);
    assert!(refused(dir.path().join("d.npz"), &[x()]).contains("2 labels for 3 rows"));
}

#[test]
fn labels_beside_arrays() {
    let dir = folder(&[
        ("x.npy", &rows(3)),
        ("good.txt", b"2\n0\n\n1\n"),
        ("few.csv", b"label\n2\n0\n"),
        ("named.csv", b"file,label\na,1\n"),
        ("word.txt", b"2\ncat\n1\n"),
        ("negative.npy", &npy_i64(&[3], &[0, -1, 2])),
        ("column.npy", &npy("|u1", &[3, 1], &[5, 6, 255])),
        ("floats.npy", &rows(3)),
        ("set.npz", &npz(&[("other", rows(3)), ("y", npy_i64(&[3], &[7, 8, 9]))], true)),
        ("unclear.npz", &npz(&[("a", rows(3)), ("b", rows(3))], true)),
        ("labels.json", b"[]"),
    ]);
    let read = |labels: &str| {
        let labels = Some(dir.path().join(labels));
        let data = Dataset::open(&Source { labels, ..Source::new(dir.path().join("x.npy")) }, &[x()]);
        data.map(|data| samples(&data).iter().map(|sample| sample.label.expect("labelled")).collect::<Vec<_>>())
    };
    assert_eq!(read("good.txt").expect("good"), [2, 0, 1]);
    assert_eq!(read("column.npy").expect("good"), [5, 6, 255]);
    assert_eq!(read("set.npz").expect("good"), [7, 8, 9]);
    let message = |labels: &str| read(labels).expect_err("refused").to_string();
    assert!(message("few.csv").contains("holds 2 labels for 3 samples"));
    assert!(message("named.csv").contains("names files, but the data are no pictures"));
    assert!(message("word.txt").contains("line 2: expected an integer"));
    assert!(message("negative.npy").contains("row 1: -1 is no label"));
    assert!(message("floats.npy").contains("no labels"));
    assert!(message("unclear.npz").contains(r#"["a", "b"]"#));
    assert!(message("labels.json").contains(".csv, .txt, .npy or .npz"));
    assert!(message("absent.txt").contains("absent.txt"));
}

#[test]
fn preprocessing_of_arrays_is_noted_as_without_effect() {
    let dir = folder(&[("x.npy", &rows(3))]);
    let preprocess = Preprocess { layout: Some(Layout::Nchw), ..Preprocess::default() };
    let source = Source { preprocess, ..Source::new(dir.path().join("x.npy")) };
    let data = Dataset::open(&source, &[x()]).expect("opens");
    assert!(data.describe().to_string().contains("data.preprocess has no effect"));
}
