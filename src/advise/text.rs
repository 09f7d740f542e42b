//! A choice as a policy: YAML with a comment for each line that could be another.

use super::network::Kind;
use super::yaml::{comment, string};
use super::{Choice, Data, Facts};
use crate::inputs::{Channels, Kind as DataKind, Layout, PictureSettings};
use crate::policy::{HELD_BACK_SAMPLES, HalfInput, Mode, VALIDATION_SAMPLES};
use crate::report::size;
use std::fmt::Write;

/// Fewer samples than this calibrate badly, by experience.
const FEW: usize = 32;
/// The fall of top-1 accuracy that eight bits are usually allowed.
const TOP1_DROP: &str = "0.02";

/// The policy for what `facts` tell and `choice` chose.
pub fn text(facts: &Facts, choice: &Choice) -> String {
    let mut out = String::new();
    head(&mut out, facts, choice.mode);
    mode(&mut out, facts, choice);
    data(&mut out, facts, choice.mode);
    dims(&mut out, facts);
    numbers(&mut out, facts, choice.mode);
    thresholds(&mut out, facts);
    out
}

fn head(out: &mut String, facts: &Facts, mode: Mode) {
    let (bytes, opset, network) = (size(facts.bytes), facts.opset, facts.network);
    comment(out, 0, &format!("By `tare init`, of a model of {bytes} and opset {opset}. It is {network}."));
    facts.inputs.iter().for_each(|input| comment(out, 0, &format!("Input {input}.")));
    if let Some(half) = facts.half {
        let what = match mode {
            _ if HalfInput::of_mode(mode) == HalfInput::Keep => {
                format!("What stays float stays {half}, and so are the scales; half.input: widen makes it float32.")
            }
            Mode::Float16 | Mode::Bfloat16 => {
                "They are widened first, and what is computed in 16 bits is chosen anew.".to_owned()
            }
            _ => format!(
                "They are widened to float32 for kernels that multiply integers, which want float32 scales; half.input: keep leaves \
                 what stays float in {half}."
            ),
        };
        comment(out, 0, &format!("Its numbers are {half} already. {what} Its inputs and outputs keep their types."));
    }
    comment(
        out,
        0,
        "docs/policy.md describes every key, docs/modes.md says when to take which mode. Paths are relative to this file.",
    );
    let kind = match mode {
        Mode::WeightOnly => "weights".to_owned(),
        Mode::Static => "int8".to_owned(),
        other => other.to_string(),
    };
    let written = |extension: &str| string(&format!("{}.{kind}.{extension}", facts.stem));
    let _ = writeln!(out, "version: 1\nmodel: {}", string(&facts.model));
    comment(out, 0, "Whose integer kernels decide what becomes integers: ONNX Runtime's on a CPU.");
    out.push_str("target: onnxruntime\n");
    let _ = write!(out, "output: {}\nreport: {}\n\n", written("onnx"), written("json"));
}

fn mode(out: &mut String, facts: &Facts, choice: &Choice) {
    comment(out, 0, choice.why);
    comment(out, 0, "Instead:");
    choice.instead.iter().for_each(|other| comment(out, 0, &format!("- {other}")));
    let _ = writeln!(out, "mode: {}", choice.mode);
    if choice.mode == Mode::Static {
        comment(
            out,
            0,
            "Float operators between QuantizeLinear and DequantizeLinear, which runtimes put together themselves. For those that \
             put nothing together there is qoperator: operators on integers.",
        );
        out.push_str("format: qdq\n");
    }
    let on_signals = facts.network.along_signal > 0 && choice.mode == Mode::Dynamic;
    if on_signals {
        comment(
            out,
            0,
            "Convolutions along a signal stay float; `rules: [{ match: { op_type: Conv }, quantize: true }]` insists on integers.",
        );
    }
    out.push('\n');
}

fn data(out: &mut String, facts: &Facts, mode: Mode) {
    let Some(data) = &facts.data else { return no_data(out, facts) };
    if mode == Mode::Static && data.count < FEW {
        let count = data.count;
        comment(
            out,
            0,
            &format!("Only {count} samples: a hundred that are like what the model will meet are usually enough."),
        );
    }
    out.push_str("data:\n");
    if mode == Mode::Static {
        let used = data.samples;
        comment(out, 2, &format!("{} {} there; {used} at most are used, spread evenly.", data.count, what(data.kind)));
        let _ = writeln!(out, "  calibration: {{ path: {}, samples: {used} }}", string(&data.path));
    }
    validation(out, data, mode);
    if let Some(pictures) = &data.pictures {
        preprocess(out, data, pictures);
    }
    out.push('\n');
}

fn validation(out: &mut String, data: &Data, mode: Mode) {
    let path = match (&data.validation, mode) {
        (Some(path), _) => path,
        (None, Mode::Static) => {
            comment(
                out,
                2,
                &format!(
                    "Every fifth sample, {HELD_BACK_SAMPLES} at most, does not calibrate but compares both models. Samples of their \
                     own, and the true classes:"
                ),
            );
            comment(out, 2, "validation: { path: test/, labels: test.csv }");
            return;
        }
        (None, _) => {
            comment(out, 2, "Nothing is calibrated: all samples compare both models.");
            &data.path
        }
    };
    let labels = data.labels.as_ref().map(|labels| format!(", labels: {}", string(labels))).unwrap_or_default();
    let _ = writeln!(out, "  validation: {{ path: {}, samples: {VALIDATION_SAMPLES}{labels} }}", string(path));
}

fn preprocess(out: &mut String, data: &Data, pictures: &PictureSettings) {
    comment(
        out,
        2,
        "Pictures have to become what the model was trained on: (level * scale - mean) / std, levels from 0 to 255. A wrong scale, \
         mean or std gives wrong ranges, and nothing notices, since both models are compared on the same tensors.",
    );
    out.push_str("  preprocess:\n");
    let [height, width] = pictures.size;
    if data.size_is_guessed {
        comment(out, 4, "A guess: the model leaves height and width open. Take the size of training.");
    } else {
        comment(out, 4, "Height and width, as the model's input has them.");
    }
    let _ = writeln!(out, "    size: [{height}, {width}]");
    comment(out, 4, "Or crop: the short side to the size, then the centre.");
    let _ = writeln!(out, "    fit: {}", lower(&pictures.fit));
    let layout = if pictures.layout == Layout::Nchw { "nchw" } else { "nhwc" };
    let _ = writeln!(out, "    layout: {layout}");
    let (channels, other) = match pictures.channels {
        Channels::Rgb => ("rgb", "A guess, unless it was told. Networks trained with OpenCV or Caffe want bgr."),
        Channels::Bgr => ("bgr", "Networks trained with anything but OpenCV or Caffe mostly want rgb."),
        Channels::Grey => ("grey", "The model's input has one channel."),
    };
    comment(out, 4, other);
    let _ = writeln!(out, "    channels: {channels}");
    let Some(scale) = pictures.scale else {
        comment(out, 4, "The input is uint8: levels are taken as they are.");
        return;
    };
    if data.scale_is_told {
        let _ = writeln!(out, "    scale: {scale:?}");
    } else {
        comment(
            out,
            4,
            "1/255, a guess: levels from 0 to 1. Where mean and std are those of levels from 0 to 255, scale is 1.",
        );
        let _ = writeln!(out, "    scale: {}", 1.0 / 255.0);
    }
    if pictures.mean.is_empty() && pictures.std.is_empty() {
        comment(out, 4, "Those of training, if there were any. For networks of ImageNet they mostly are:");
        match pictures.channels {
            Channels::Grey => comment(out, 4, "mean: 0.449, std: 0.226"),
            Channels::Rgb => comment(out, 4, "mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]"),
            Channels::Bgr => comment(out, 4, "mean: [0.406, 0.456, 0.485], std: [0.225, 0.224, 0.229]"),
        }
    }
    for (key, numbers) in [("mean", &pictures.mean), ("std", &pictures.std)] {
        if !numbers.is_empty() {
            let _ = writeln!(out, "    {key}: {numbers:?}");
        }
    }
}

fn no_data(out: &mut String, facts: &Facts) {
    comment(
        out,
        0,
        "Without samples nothing is measured: the report says what was done, not what it cost. With some, both models are compared:",
    );
    let path = if facts.takes_pictures { "photos/" } else { "samples.npz" };
    out.push_str("# data:\n");
    let _ = writeln!(out, "#   validation: {{ path: {path} }}");
    if facts.takes_pictures {
        out.push_str("#   preprocess: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }\n");
    }
    out.push('\n');
}

fn dims(out: &mut String, facts: &Facts) {
    if facts.open.is_empty() {
        return;
    }
    comment(
        out,
        0,
        "The model leaves these dimensions open, and so does what is written. Runtimes on phones and DSPs often \
         take fixed ones only (with numbers in the place of N); all samples must then have these sizes.",
    );
    let sizes = facts.open.iter().map(|dim| {
        let size = dim.size.map_or("N".to_owned(), |size| size.to_string());
        format!("{}: {size}", serde_json::Value::from(dim.name.as_str()))
    });
    let _ = write!(out, "# dims: {{ {} }}\n\n", sizes.collect::<Vec<_>>().join(", "));
}

fn numbers(out: &mut String, facts: &Facts, mode: Mode) {
    if mode == Mode::Static {
        comment(
            out,
            0,
            "uint8 is what ONNX Runtime has the most kernels for on x86 and ARM; int8 for runtimes that want it, uint16 for DSPs.",
        );
        let calibrators = match facts.network.kind() {
            Kind::Transformer => {
                "mse is near the best on each network and bad on none. On transformers percentile has been a decibel better."
            }
            _ => {
                "mse is near the best on each network and bad on none. The others: minmax, percentile, entropy, moving_average."
            }
        };
        comment(out, 0, calibrators);
        if facts.network.kind() == Kind::Transformer {
            comment(
                out,
                0,
                "A few columns of what a transformer's layers read are far larger than the others, and would decide the step of \
                 all: those that pass this magnitude run in float beside the integer rest. The report lists them.",
            );
            out.push_str("activations: { type: uint8, calibrator: mse, outlier_threshold: 6 }\n");
        } else {
            out.push_str("activations: { type: uint8, calibrator: mse }\n");
        }
    }
    comment(
        out,
        0,
        match mode {
            Mode::WeightOnly => {
                "One scale for each output channel. int4 and uint4, with granularity: per_block, are for large products with \
                 matrices, and raise the model to opset 21."
            }
            _ => "One scale for each output channel; per_tensor only for runtimes that take nothing else.",
        },
    );
    out.push_str("weights: { type: int8, granularity: per_channel }\n\n");
}

fn thresholds(out: &mut String, facts: &Facts) {
    if facts.data.is_none() {
        return comment(out, 0, "Limits (thresholds) can be set where there are samples to measure on.");
    }
    comment(out, 0, "Where a limit is broken, `tare quantize` ends with exit code 1.");
    if facts.labelled {
        let _ = writeln!(out, "thresholds:\n  top1_drop: {TOP1_DROP}");
        comment(out, 2, "top1_agreement: 0.95");
        comment(out, 2, "sqnr_db: 15");
    } else {
        out.push_str("# thresholds:\n");
        out.push_str("#   top1_agreement: 0.95\n#   sqnr_db: 15\n");
    }
}

fn what(kind: DataKind) -> &'static str {
    match kind {
        DataKind::Pictures => "pictures are",
        DataKind::Npz | DataKind::Npy => "rows of arrays are",
        DataKind::TestData => "test data sets are",
    }
}

/// A unit variant as the policy spells it.
fn lower(word: &impl std::fmt::Debug) -> String {
    format!("{word:?}").to_lowercase()
}
