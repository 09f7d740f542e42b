//! Samples for which a value is NaN or infinite, and dimensions given by flags.

use super::*;

/// The example's first test picture as an array of four samples, the third of which is all `bad`.
fn samples(folder: &Path, bad: f32) {
    let mut bytes = Vec::new();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 1, 28, 28), }";
    let padded = format!("{header:<117}\n");
    bytes.extend(b"\x93NUMPY\x01\x00");
    bytes.extend((padded.len() as u16).to_le_bytes());
    bytes.extend(padded.as_bytes());
    for sample in 0..4 {
        for pixel in 0..28 * 28 {
            let value = if sample == 2 { bad } else { (pixel * (sample + 3) % 97) as f32 / 50.0 - 0.8 };
            bytes.extend(value.to_le_bytes());
        }
    }
    std::fs::write(folder.join("samples.npy"), bytes).expect("a file");
}

fn quantize(folder: &Path, more: &str) -> Output {
    let model = model();
    let model = model.display();
    let data = "path: samples.npy, samples: 4";
    let text = format!(
        "version: 1\nmodel: {model}\ndata: {{ calibration: {{ {data}{more} }}, validation: {{ path: good.npy }} }}\n"
    );
    std::fs::write(folder.join("p.yaml"), text).expect("a file");
    tare(folder, ["quantize", "-c", "p.yaml", "-o", "out.onnx"])
}

#[test]
fn d10_a_sample_that_is_not_finite_stops_or_is_skipped() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let folder = folder();
        let folder = folder.path();
        samples(folder, 0.5);
        std::fs::rename(folder.join("samples.npy"), folder.join("good.npy")).expect("a file");
        samples(folder, bad);
        let stopped = quantize(folder, "");
        ends(&stopped, 2);
        let error = text(&stopped.stderr);
        for word in ["NaN or infinite", "input \"image\"", "on_bad_value: skip"] {
            assert!(error.contains(word), "{word:?} is not in {error}");
        }
        assert!(!folder.join("out.onnx").exists());
        let skipped = quantize(folder, ", on_bad_value: skip");
        let printed = ends(&skipped, 0);
        assert!(printed.contains("skipped, 1 in all"), "{printed}");
        assert!(printed.contains("3 samples"), "{printed}");
        let with = read(folder.join("out.onnx"));
        assert!(!with.is_empty());
    }
}

#[test]
fn a_dimension_is_fixed_by_a_flag() {
    let folder = folder();
    let config = policy(folder.path(), "");
    let config = config.to_str().expect("a name");
    let flags = ["quantize", "-c", config, "-o", "out.onnx"];
    let open = tare(folder.path(), ["inspect", "-c", config]);
    let name = ends(&open, 0).lines().find(|l| l.starts_with("input")).expect("an input").to_owned();
    assert!(name.contains('?'), "{name}");
    ends(&tare(folder.path(), [&flags[..], &["--dim", "image[0]=1"]].concat()), 0);
    let fixed = tare(folder.path(), ["inspect", "out.onnx"]);
    assert!(ends(&fixed, 0).contains("float32[1,1,28,28]"), "{}", ends(&fixed, 0));
    let wrong = tare(folder.path(), [&flags[..], &["--dim", "height=1"]].concat());
    ends(&wrong, 2);
    assert!(text(&wrong.stderr).contains("no dimension is called height"), "{}", text(&wrong.stderr));
    let no_size = tare(folder.path(), [&flags[..], &["--dim", "image[0]"]].concat());
    ends(&no_size, 2);
    assert!(text(&no_size.stderr).contains("NAME=N"), "{}", text(&no_size.stderr));
}
