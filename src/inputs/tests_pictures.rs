//! Pictures as samples: folders, formats, what comes out for a model, labels by file name, and bad files.

use super::tests::{floats, folder, input, npy_i64, open, refused, samples};
use super::{Channels, Dataset, Fit, InputSpec, Kind, OnBadFile, Preprocess, Source};
use crate::error::Result;
use crate::tensor::DataType;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, RgbImage};
use std::io::Cursor;
use std::path::Path;

const RGB: [[u8; 3]; 4] = [[0, 51, 255], [10, 20, 30], [40, 50, 60], [255, 0, 102]];

/// Two by two pixels.
fn small() -> DynamicImage {
    RgbImage::from_raw(2, 2, RGB.concat()).expect("2x2").into()
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

fn png(picture: &DynamicImage) -> Vec<u8> {
    encoded(picture, ImageFormat::Png)
}

fn even(level: u8) -> Vec<u8> {
    png(&RgbImage::from_pixel(3, 3, image::Rgb([level; 3])).into())
}

fn rgb(dims: &[usize]) -> Vec<InputSpec> {
    vec![input("images", DataType::Float32, dims)]
}

fn with(path: &Path, preprocess: Preprocess, inputs: &[InputSpec]) -> Result<Dataset> {
    Dataset::open(&Source { preprocess, ..Source::new(path) }, inputs)
}

/// Channel `c` of the four pixels through `value`.
fn plane(c: usize, value: impl Fn(f32) -> f32) -> Vec<f32> {
    RGB.iter().map(|pixel| value(f32::from(pixel[c]))).collect()
}

#[test]
fn levels_become_numbers_in_the_order_of_the_model() {
    let dir = folder(&[("a.png", &png(&small()))]);
    let unit = |v: f32| v * (1.0 / 255.0);
    let first = |preprocess: Preprocess, dims: &[usize]| {
        let data = with(dir.path(), preprocess, &rgb(dims)).expect("opens");
        let sample = samples(&data).remove(0);
        assert_eq!(sample.inputs[0].shape().len(), dims.len());
        floats(&sample, 0)
    };
    let plain = Preprocess::default();
    let planes = [plane(0, unit), plane(1, unit), plane(2, unit)];
    assert_eq!(first(plain.clone(), &[0, 3, 2, 2]), planes.concat());
    let interleaved: Vec<f32> = RGB.iter().flatten().map(|&v| unit(v.into())).collect();
    assert_eq!(first(plain.clone(), &[0, 2, 2, 3]), interleaved);
    assert_eq!(first(plain.clone(), &[3, 2, 2]), planes.concat());
    assert_eq!(first(plain.clone(), &[3, 3, 2, 2]), [planes.concat(), planes.concat(), planes.concat()].concat());
    let bgr =
        Preprocess { channels: Some(Channels::Bgr), scale: Some(1.0), mean: vec![1.0, 2.0, 3.0], ..plain.clone() };
    let reversed = [plane(2, |v| v - 1.0), plane(1, |v| v - 2.0), plane(0, |v| v - 3.0)].concat();
    assert_eq!(first(bgr, &[0, 3, 2, 2]), reversed);
    let normal = Preprocess { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225], ..plain.clone() };
    let expected = [
        plane(0, |v| (unit(v) - 0.485) / 0.229),
        plane(1, |v| (unit(v) - 0.456) / 0.224),
        plane(2, |v| (unit(v) - 0.406) / 0.225),
    ];
    assert_eq!(first(normal, &[0, 3, 2, 2]), expected.concat());
    // Pillow's mode L of the four pixels.
    assert_eq!(first(Preprocess { scale: Some(1.0), ..plain }, &[0, 1, 2, 2]), [59.0, 18.0, 48.0, 88.0]);
}

#[test]
fn element_types() {
    let dir = folder(&[("a.png", &png(&small()))]);
    let tensor = |dtype| {
        let data = open(dir.path(), &[input("images", dtype, &[0, 2, 2, 3])]).expect("opens");
        samples(&data).remove(0).inputs.remove(0)
    };
    assert_eq!(tensor(DataType::Uint8).bytes()[..], RGB.concat());
    assert_eq!(tensor(DataType::Float16).to_f32().expect("real")[2..3], [1.0]);
    assert_eq!(tensor(DataType::Float64).dtype(), DataType::Float64);
    assert!(refused(dir.path(), &[input("images", DataType::Int64, &[0, 2, 2, 3])]).contains("not of int64"));
}

#[test]
fn every_format_and_kind_of_pixel_becomes_rgb() {
    let picture = small();
    let grey = picture.to_luma8();
    let wide: DynamicImage = picture.to_rgb16().into();
    let mut clear = picture.to_rgba8();
    clear.pixels_mut().for_each(|pixel| pixel.0[3] = 9);
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("a.PNG", png(&picture)),
        ("b.bmp", encoded(&picture, ImageFormat::Bmp)),
        ("c.webp", encoded(&picture, ImageFormat::WebP)),
        ("d.png", png(&clear.into())),
        ("e.png", png(&wide)),
        // Named as one format, written as another.
        ("f.jpg", png(&picture)),
    ];
    let mut all: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let grey_png = png(&grey.clone().into());
    all.push(("g.png", &grey_png));
    all.push(("notes.txt", b"not a picture"));
    let dir = folder(&all);
    let data = open(dir.path(), &[input("images", DataType::Uint8, &[0, 2, 2, 3])]).expect("opens");
    let all = samples(&data);
    assert_eq!(all.len(), 7);
    for sample in &all[..6] {
        assert_eq!(sample.inputs[0].bytes()[..], RGB.concat(), "{}", sample.name);
    }
    let repeated: Vec<u8> = grey.iter().flat_map(|&level| [level; 3]).collect();
    assert_eq!(all[6].inputs[0].bytes()[..], repeated);
}

#[test]
fn a_picture_lying_on_its_side_is_turned_upright() {
    // A TIFF header and one entry: orientation 6, a quarter turn to the right.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    encoder.set_exif_metadata(exif).expect("png has exif");
    encoder.write_image(&RGB.concat()[..6], 2, 1, ExtendedColorType::Rgb8).expect("encoded");
    let dir = folder(&[("a.png", &bytes)]);
    // Two pixels side by side become two on top of each other.
    let data = open(dir.path(), &[input("images", DataType::Uint8, &[0, 2, 1, 3])]).expect("opens");
    assert_eq!(samples(&data)[0].inputs[0].bytes()[..], [RGB[0], RGB[1]].concat());
}

#[test]
fn a_crop_keeps_proportions_and_the_centre() {
    // Left half black, right half white, twice as wide as high.
    let picture = RgbImage::from_fn(80, 40, |x, _| image::Rgb([if x < 40 { 0 } else { 255 }; 3]));
    let dir = folder(&[("a.png", &png(&picture.into()))]);
    let levels = |fit| {
        let preprocess = Preprocess { fit, ..Preprocess::default() };
        let data = with(dir.path(), preprocess, &[input("images", DataType::Uint8, &[0, 1, 10, 10])]).expect("opens");
        samples(&data).remove(0).inputs.remove(0).bytes()[..10].to_vec()
    };
    // Bilinear over the edge: the sharper the edge, the less was squeezed together.
    assert_eq!(levels(Fit::Stretch), [0, 0, 0, 0, 32, 223, 255, 255, 255, 255]);
    assert_eq!(levels(Fit::Crop), [0, 0, 0, 0, 32, 223, 255, 255, 255, 255]);
}

#[test]
fn folders_are_read_in_the_order_of_names() {
    let dir = folder(&[
        ("b.png", &even(2)),
        ("B.png", &even(1)),
        ("a10.png", &even(20)),
        ("a9.png", &even(30)),
        (".hidden.png", b""),
        ("deeper/c.png", &even(4)),
    ]);
    let inputs = [input("images", DataType::Uint8, &[0, 1, 2, 2])];
    let data = open(dir.path(), &inputs).expect("opens");
    assert_eq!(data.describe().kind, Kind::Pictures);
    let levels: Vec<u8> = samples(&data).iter().map(|sample| sample.inputs[0].bytes()[0]).collect();
    assert_eq!(levels, [1, 20, 30, 2]);
    let single = open(dir.path().join("a9.png"), &inputs).expect("opens");
    assert_eq!(samples(&single)[0].name, dir.path().join("a9.png").display().to_string());
    // One folder per class.
    let dir =
        folder(&[("dog/1.png", &even(3)), ("cat/2.png", &even(2)), ("cat/1.png", &even(1)), ("cat/x/9.png", b"")]);
    let data = open(dir.path(), &inputs).expect("opens");
    let levels: Vec<u8> = samples(&data).iter().map(|sample| sample.inputs[0].bytes()[0]).collect();
    assert_eq!((levels, data.has_labels()), (vec![1, 2, 3], false));
}

#[test]
fn pictures_need_a_model_of_one_input() {
    let dir = folder(&[("a.png", &even(1))]);
    let two = [rgb(&[0, 3, 2, 2]), rgb(&[0, 3, 2, 2])].concat();
    assert!(refused(dir.path(), &two).contains("this one has 2"));
    assert!(refused(dir.path(), &rgb(&[0, 3, 0, 0])).contains("--size HxW"));
}

#[test]
fn the_report_says_what_was_done() {
    let dir = folder(&[("a.png", &even(1))]);
    let text = open(dir.path(), &rgb(&[0, 3, 2, 2])).expect("opens").describe().to_string();
    assert!(text.starts_with("1 pictures from "), "{text}");
    assert!(text.ends_with("stretched to 2x2, rgb, nchw; scaled to 0..1; no mean or std was given"), "{text}");
    let large = Preprocess { mean: vec![127.0], ..Preprocess::default() };
    let text = with(dir.path(), large, &rgb(&[0, 3, 2, 2])).expect("opens").describe().to_string();
    assert!(text.contains("set data.preprocess.scale to 1"), "{text}");
}

#[test]
fn a_bad_picture_stops_or_is_skipped() {
    let good = png(&small());
    // A BMP header that claims 100 000 x 100 000 pixels.
    let mut bomb = encoded(&small(), ImageFormat::Bmp);
    bomb[18..26].copy_from_slice(&[0xa0, 0x86, 1, 0, 0xa0, 0x86, 1, 0]);
    let dir = folder(&[
        ("a.png", &good),
        ("b.png", b"no picture at all"),
        ("c.png", &good[..good.len() / 2]),
        ("d.bmp", &bomb),
        ("e.png", &good),
    ]);
    let inputs = rgb(&[0, 3, 2, 2]);
    let stopping = open(dir.path(), &inputs).expect("opens");
    for (index, name) in [(1, "b.png"), (2, "c.png"), (3, "d.bmp")] {
        let message = stopping.read(&[index]).next().expect("an item").expect_err(name).to_string();
        assert!(message.contains(name) && message.contains("not a readable picture: "), "{message}");
    }
    assert_eq!(stopping.read(&[0, 1, 4]).count(), 2, "it ends after the error");
    let labels = dir.path().join("labels.txt");
    std::fs::write(&labels, "5\n6\n7\n8\n9\n").expect("written");
    let source = Source { on_bad_file: OnBadFile::Skip, labels: Some(labels), ..Source::new(dir.path()) };
    let skipping = Dataset::open(&source, &inputs).expect("opens");
    let read = samples(&skipping);
    // The labels stay with their pictures.
    assert_eq!(read.iter().map(|sample| sample.label).collect::<Vec<_>>(), [Some(5), Some(9)]);
    let skipped = skipping.skipped();
    assert_eq!((skipping.len(), skipped.len()), (5, 3));
    assert!(skipped[0].contains("b.png") && skipped[2].contains("d.bmp"));
}

#[test]
fn a_jpeg_has_to_be_whole() {
    let picture: DynamicImage = RgbImage::from_pixel(16, 16, image::Rgb([90, 10, 200])).into();
    let whole = encoded(&picture, ImageFormat::Jpeg);
    // A decoder would fill what is cut off, or claimed without being there, with grey.
    let cut = &whole[..whole.len() - 8];
    let mut bomb = whole.clone();
    let frame = bomb.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame header");
    bomb[frame + 5..frame + 9].copy_from_slice(&[39, 15, 39, 15]);
    let dir = folder(&[("a.jpg", &whole), ("b.jpg", cut), ("c.jpg", &bomb)]);
    let data = open(dir.path(), &rgb(&[0, 3, 2, 2])).expect("opens");
    let read = |index: usize| data.read(&[index]).next().expect("an item");
    assert!(read(0).is_ok());
    for (index, word) in [(1, "truncated"), (2, "cannot hold the 9999x9999 pixels")] {
        let message = read(index).expect_err("damaged").to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn labels_by_file_name() {
    let files: [(&str, &[u8]); 3] = [("cat/1.png", &even(1)), ("cat/2.png", &even(2)), ("dog/1.png", &even(3))];
    let dir = folder(&files);
    let read = |name: &str, text: &[u8]| {
        let beside = folder(&[(name, text)]);
        let labels = Some(beside.path().join(name));
        let data = Dataset::open(&Source { labels, ..Source::new(dir.path()) }, &rgb(&[0, 3, 2, 2]));
        data.map(|data| samples(&data).iter().map(|sample| sample.label.expect("labelled")).collect::<Vec<_>>())
    };
    let good = b"\xef\xbb\xbffile,label\r\ndog/1.png,30\r\n\"cat/1.png\",10\r\n2.png,20\r\n";
    assert_eq!(read("l.csv", good).expect("good"), [10, 20, 30]);
    assert_eq!(read("l.txt", b"./cat/1.png 1\ncat/2.png\t2\ndog\\1.png;3\n").expect("good"), [1, 2, 3]);
    assert_eq!(read("l.txt", b"1\n2\n3").expect("good"), [1, 2, 3]);
    assert_eq!(read("l.npy", &npy_i64(&[3], &[4, 5, 6])).expect("good"), [4, 5, 6]);
    let message = |text: &[u8]| read("l.csv", text).expect_err("refused").to_string();
    assert!(message(b"1.png,1\n2.png,2\n").contains("several pictures are called \"1.png\""));
    assert!(message(b"cat/1.png,1\n2.png,2\n").contains("no label for 1 of 3 pictures"));
    let extra = b"cat/1.png,1\n2.png,2\ndog/1.png,3\nbird.png,4\nfox.png,5\n";
    assert!(message(extra).contains("2 of 5 lines name no picture that is there, first \"bird.png\""));
    assert!(message(b"2.png,2\ncat/2.png,3\n").contains("another label"));
    assert!(message(b"2.png,2\n7\n").contains("keep one form"));
    assert!(message(b"2.png,2\ncat/1.png,cat\n").contains("line 2: expected an integer"));
    assert!(message(b"1\n2\n").contains("holds 2 labels for 3 samples"));
    assert!(message(b"\xff\xfe\n").contains("line 1"));
}

#[test]
fn labels_in_the_same_folder_are_not_data() {
    let dir = folder(&[("a.png", &even(1)), ("classes.npy", &npy_i64(&[1], &[3]))]);
    assert!(refused(dir.path(), &rgb(&[0, 3, 2, 2])).contains("1 .npy in one folder"));
    let source = Source { labels: Some(dir.path().join("classes.npy")), ..Source::new(dir.path()) };
    let data = Dataset::open(&source, &rgb(&[0, 3, 2, 2])).expect("opens");
    assert_eq!(samples(&data)[0].label, Some(3));
}
