//! Samples: what runs them, what they are compared with, and crash tests.

use super::*;

#[test]
fn what_runs_the_samples_is_read_and_the_engine_that_calibrates_counts() {
    let of = |data: &str| settings(&format!("version: 1\ndata: {{ {data} }}")).unwrap();
    let (plain, engine, reference) = (of("engine: tract"), of("engine: onnxruntime"), of("reference: onnxruntime"));
    assert_eq!((plain.engine, plain.reference), (Engine::Tract, None));
    assert_eq!((engine.engine, engine.reference), (Engine::Onnxruntime, None));
    assert_eq!((reference.engine, reference.reference), (Engine::Tract, Some(Reference::Onnxruntime)));
    assert_eq!(plain.canonical(), of("").canonical());
    assert_eq!(engine.canonical()["engine"], "onnxruntime");
    assert_eq!(reference.canonical(), plain.canonical());
    let off = "data: { reference: onnxruntime, validation: { samples: 0 } }";
    fails(off, 2, 20, "reference is a part of validation, and data.validation.samples is 0; leave one of the two out");
    let mut raw = Raw::parse("version: 1\ndata: { engine: onnxruntime }", Path::new("p.yaml")).unwrap();
    let reference = vec!["onnxruntime".into()];
    raw.override_with(&Overrides { engine: Some(Engine::Tract), reference, ..Overrides::default() });
    let over = raw.settings().unwrap();
    assert_eq!((over.engine, over.reference), (Engine::Tract, Some(Reference::Onnxruntime)));
}

#[test]
fn crash_tests_are_all_or_some_and_no_part_of_the_output() {
    let of = |data: &str| settings(&format!("version: 1\ndata: {{ {data} }}")).unwrap();
    assert_eq!(of("stress: all").stress, Some(StressCases::All));
    assert_eq!(of("stress: [nan, all]").stress, Some(StressCases::All));
    let some = of("stress: [nan, x=0]");
    assert_eq!(some.stress, Some(StressCases::Named(vec!["nan".to_owned(), "x=0".to_owned()])));
    assert_eq!((of("").stress, some.canonical()), (None, of("").canonical()));
    fails("data: { stress: [] }", 2, 17, "stress is all, or the names of crash tests; found none");
    let off = "data: { stress: all, validation: { samples: 0 } }";
    fails(off, 2, 17, "stress is a part of validation, and data.validation.samples is 0; leave one of the two out");
    let mut raw = Raw::parse("version: 1\ndata: { stress: all }", Path::new("p.yaml")).unwrap();
    raw.override_with(&Overrides { stress: vec!["nan".to_owned()], ..Overrides::default() });
    assert_eq!(raw.settings().unwrap().stress, Some(StressCases::Named(vec!["nan".to_owned()])));
}

#[test]
fn a_recording_is_a_reference_that_brings_the_samples() {
    let of = |data: &str| settings(&format!("version: 1\ndata: {{ {data} }}")).unwrap();
    let path = |s: &Settings| s.validation.samples().map(|data| data.source.path.clone());
    let one = of("reference: r.npz");
    assert_eq!((one.reference, &one.recorded), (None, &path(&one)));
    assert!(one.recorded.as_ref().is_some_and(|path| path.ends_with("r.npz")));
    let both = of("reference: [onnxruntime, sets], validation: { samples: 7 }");
    assert_eq!((both.reference, &both.recorded), (Some(Reference::Onnxruntime), &path(&both)));
    assert_eq!(both.validation.samples().map(|data| data.samples), Some(7));
    // All samples calibrate.
    assert_eq!(one.canonical()["held_back"], false);
    fails(
        "data: { reference: [a.npz, b.npz] }",
        2,
        20,
        "reference is onnxruntime, one recording (an .npz, or a folder of ONNX test data), or one of each",
    );
    fails(
        "data: { reference: onnxruntim, validation: { path: x } }",
        2,
        20,
        "there is no dir/onnxruntim; reference is onnxruntime, or a recording: an .npz, or a folder of ONNX test data",
    );
    fails(
        &format!("data: {{ reference: '{}', validation: {{ path: x }} }}", env!("CARGO_MANIFEST_DIR")),
        2,
        20,
        "a recording brings its own samples; leave out either data.reference or data.validation.path (--data of validate)",
    );
    fails(
        "data: { reference: a.npz, validation: { samples: 0 } }",
        2,
        20,
        "reference is a part of validation, and data.validation.samples is 0; leave one of the two out",
    );
    fails("data: { reference: '' }", 2, 20, "data.reference is an empty path; name a file, or remove the key");
    // A flag takes the place of the policy's samples, and of its reference.
    let mut raw = Raw::parse("version: 1\ndata: { validation: { path: x, labels: y } }", Path::new("p.yaml")).unwrap();
    raw.override_with(&Overrides { reference: vec!["r.npz".into()], ..Overrides::default() });
    let over = raw.settings().unwrap();
    assert_eq!((path(&over), &over.recorded), (Some("r.npz".into()), &Some("r.npz".into())));
    assert!(over.validation.samples().is_some_and(|data| data.source.labels.is_none()));
    // Other samples take the place of the policy's recording, and a runtime stays.
    let text = "version: 1\ndata: { reference: [onnxruntime, r.npz] }";
    let mut raw = Raw::parse(text, Path::new("p.yaml")).unwrap();
    raw.override_with(&Overrides { validation: Some("x".into()), ..Overrides::default() });
    let over = raw.settings().unwrap();
    assert_eq!((path(&over), &over.recorded, over.reference), (Some("x".into()), &None, Some(Reference::Onnxruntime)));
}
