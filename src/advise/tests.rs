//! What is chosen for which network, and that what is written is a policy that says so.

use super::*;
use crate::inputs::{Channels, Fit, Layout};
use crate::policy::{Mode, Raw, Settings, Validation};
use crate::tensor::DataType;
use std::path::Path;

fn facts(network: Network) -> Facts {
    Facts {
        model: "a model: 1.onnx".to_owned(),
        stem: "a model: 1".to_owned(),
        bytes: 12_345,
        opset: 13,
        network,
        half: None,
        inputs: vec!["x float32[?,3,8,8]".to_owned()],
        takes_pictures: true,
        open: Vec::new(),
        data: None,
        labelled: false,
    }
}

fn pictures() -> Data {
    let settings = PictureSettings {
        size: [8, 9],
        fit: Fit::Crop,
        layout: Layout::Nhwc,
        channels: Channels::Bgr,
        scale: Some(1.0),
        mean: vec![103.5, 116.25, 123.75],
        std: vec![],
        dtype: DataType::Float32,
        meaning: None,
        shape: vec![1, 8, 9, 3],
        repeats: 1,
    };
    Data {
        path: "photos, all".to_owned(),
        kind: DataKind::Pictures,
        count: 40,
        samples: 30,
        pictures: Some(settings),
        size_is_guessed: false,
        scale_is_told: true,
        validation: None,
        labels: None,
    }
}

/// A convolutional network, a detector, a transformer, a recurrent network and plain layers.
fn networks() -> [Network; 5] {
    let none = Network::default();
    [
        Network { convolutions: 9, products: 1, ..none },
        Network { convolutions: 9, last_joins: 2, attention: 1, ..none },
        Network { convolutions: 1, products: 8, attention: 2, normalizations: 4, ..none },
        Network { convolutions: 9, recurrent: 1, with_bodies: 1, ..none },
        Network { products: 3, ..none },
    ]
}

fn settings(facts: &Facts, choice: &Choice) -> Settings {
    let text = text(facts, choice);
    let read = Raw::parse(&text, Path::new("p.yaml")).and_then(|raw| raw.settings());
    read.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn the_mode_follows_the_network_and_the_data() {
    let without = networks().map(|network| choices(&facts(network))[0].mode);
    use Mode::{Dynamic, Static, WeightOnly};
    assert_eq!(without, [WeightOnly, WeightOnly, Dynamic, Dynamic, Dynamic]);
    let with = networks().map(|network| choices(&Facts { data: Some(pictures()), ..facts(network) })[0].mode);
    assert_eq!(with, [Static, Static, Static, Dynamic, Static]);
    // Where nothing is observed, since all layers stand in bodies, the next is one that reaches these.
    let next = networks().map(|network| choices(&Facts { data: Some(pictures()), ..facts(network) })[1].mode);
    assert_eq!(next, [Dynamic, Dynamic, Dynamic, WeightOnly, Dynamic]);
}

#[test]
fn every_choice_is_written_as_a_policy_that_says_the_same() {
    for network in networks() {
        for data in [None, Some(pictures())] {
            let facts = Facts { data, ..facts(network) };
            for choice in choices(&facts) {
                let settings = settings(&facts, &choice);
                assert_eq!(settings.mode, choice.mode);
                assert_eq!(settings.model.as_deref(), Some(Path::new("a model: 1.onnx")));
                let has = (settings.calibration.is_some(), settings.validation.samples().is_some());
                let data = facts.data.is_some();
                assert_eq!(has, (data && choice.mode == Mode::Static, data && choice.mode != Mode::Static));
                assert_eq!(settings.thresholds, crate::policy::Thresholds::default());
            }
        }
    }
}

#[test]
fn pictures_are_prepared_as_was_said() {
    let facts = Facts { data: Some(pictures()), ..facts(networks()[0]) };
    let settings = settings(&facts, &choices(&facts)[0]);
    let data = settings.calibration.expect("samples");
    assert_eq!((data.samples, data.source.path.as_path()), (30, Path::new("photos, all")));
    let done = data.source.preprocess;
    assert_eq!(
        (done.size, done.fit, done.layout, done.channels),
        (Some([8, 9]), Fit::Crop, Some(Layout::Nhwc), Some(Channels::Bgr))
    );
    assert_eq!(
        (done.scale, done.mean.as_slice(), done.std.as_slice()),
        (Some(1.0), [103.5, 116.25, 123.75].as_slice(), [].as_slice())
    );
}

#[test]
fn a_guess_is_called_one() {
    let mut data = pictures();
    let settings_of = data.pictures.as_mut().expect("pictures");
    settings_of.mean.clear();
    settings_of.scale = Some(1.0 / 255.0);
    (data.size_is_guessed, data.scale_is_told) = (true, false);
    let facts = Facts { data: Some(data), ..facts(networks()[0]) };
    let text = text(&facts, &choices(&facts)[0]);
    for said in ["the model leaves height and width open", "1/255, a guess", "[0.406, 0.456, 0.485]"] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    let scale = settings(&facts, &choices(&facts)[0]).calibration.and_then(|data| data.source.preprocess.scale);
    assert_eq!(scale, Some(1.0 / 255.0));
}

#[test]
fn labels_make_a_limit() {
    let data = Data { validation: Some("test".to_owned()), labels: Some("test.csv".to_owned()), ..pictures() };
    let facts = Facts { data: Some(data), labelled: true, ..facts(networks()[0]) };
    let settings = settings(&facts, &choices(&facts)[0]);
    assert_eq!(settings.thresholds.top1_drop, Some(0.02));
    let Validation::Samples(data) = settings.validation else { panic!("samples of their own") };
    assert_eq!(data.source.labels.as_deref(), Some(Path::new("test.csv")));
}

#[test]
fn open_dimensions_are_told_with_the_sizes_of_the_first_sample() {
    let open = |name: &str, size| OpenDimension { name: name.to_owned(), size };
    let facts = Facts { open: vec![open("height", Some(48)), open("x[3]", None)], ..facts(networks()[0]) };
    let text = text(&facts, &choices(&facts)[0]);
    assert!(text.contains("\n# dims: { \"height\": 48, \"x[3]\": N }\n"), "{text}");
}
