//! Pages that have all there is, under hostile names, and pages that have little.

use super::*;

/// A document with something in every section, and hostile names wherever there are names.
fn full(look: impl FnOnce(&Document<'_>)) {
    let mut histogram = Histogram::default();
    histogram.add(&[-1.0, 0.0, 0.5, 2.0, 9.0], 9.0);
    let params = Params::from_range(-1.0, 2.0, Scheme::new(GridType::Uint8, false));
    let name = HOSTILE.to_owned();
    let error = comparison(vec![output(HOSTILE, Some(20.0), 0.1)], classes(0.5, Some((0.9, 0.8))));
    let sample = crate::validate::SampleError::example(HOSTILE);
    let picture = Some(Picture { png: vec![1, 2, 3], width: 28, height: 28 });
    let details = Details {
        layers: Ok(Layers::new(2, vec![layer(Some(30.0), 9.0), layer(None, 0.0), layer(Some(-4.0), 0.0)], vec![])),
        values: vec![Distribution { name, alone_db: None, seen: (-1.0, 9.0), range: (-1.0, 2.0), params, histogram }],
        weights: vec![Spread {
            node: HOSTILE.to_owned(),
            op_type: HOSTILE.to_owned(),
            channels: 3,
            maxima: [1e-4, 0.1, 2.0],
            per_channel: Some(true),
        }],
        samples: vec![WorstSample { error: sample, picture }],
        types: [("float32", 90), ("int8", 20)].map(|(name, bytes)| [(name.to_owned(), bytes)].into()),
        policy: HOSTILE.to_owned(),
        digested: HOSTILE.to_owned(),
        policy_file: Some((HOSTILE.to_owned(), HOSTILE.to_owned())),
        ..details()
    };
    let group =
        FloatGroup { op_type: HOSTILE.to_owned(), reason: HOSTILE.to_owned(), nodes: vec![HOSTILE.to_owned(); 2] };
    let placement = PlacementSummary {
        target: "onnxruntime".to_owned(),
        nodes: 4,
        integer: 2,
        stored: 0,
        half: 0,
        half_input: Some(HalfInput { kind: HOSTILE.to_owned(), kept: true, told: HOSTILE.to_owned() }),
        absorbed: 0,
        integer_work: Some(0.5),
        float: vec![group],
    };
    let mut files = [file(100), file(30)];
    files[1].path = HOSTILE.to_owned();
    let assignment = crate::report::Assignment {
        layers: 1,
        cost: 1.5,
        bytes: 1000,
        sqnr_db: Some(31.0),
        top1_drop: Some(0.01),
        labelled: true,
        meets: true,
    };
    let report = Report {
        tool: "tare 0".to_owned(),
        model: files[0].clone(),
        output: files[1].clone(),
        policy_sha256: "aa".to_owned(),
        calibration: CalibrationSummary {
            engine: None,
            source: HOSTILE.to_owned(),
            samples: 3,
            statistics_sha256: "bb".to_owned(),
            preprocessing: Some(HOSTILE.to_owned()),
            skipped: vec![],
            equalized: 2,
            absorbed: Some((1, 2)),
            smoothed: 3,
            protected: 0,
            corrected: Some(CorrectionSummary::none(HOSTILE)),
            repairs: Some(RepairSummary::none(HOSTILE)),
            reconstruction: Some(RangesSummary::none(HOSTILE)),
        },
        placement,
        quantized_input: Some(HOSTILE.to_owned()),
        validation: None,
        not_validated: None,
        checks: vec![],
        failed: vec![],
        missed: vec![],
        split: vec![crate::report::SplitLayer { node: HOSTILE.to_owned(), columns: vec![1, 2] }],
        encodings: None,
        budget: Some(crate::report::BudgetSummary {
            wanted: crate::policy::Goal::SqnrDb(30.0),
            samples: 16,
            candidates: 2,
            chosen: vec![crate::report::Chosen {
                node: HOSTILE.to_owned(),
                kind: HOSTILE.to_owned(),
                why: HOSTILE.to_owned(),
            }],
            found: assignment,
            front: vec![assignment],
            tried: 3,
        }),
        notes_left_out: 0,
        known_not_used: vec![crate::report::UnusedGrid { name: HOSTILE.to_owned(), reason: HOSTILE.to_owned() }],
        warnings: vec![HOSTILE.to_owned()],
    };
    look(&Document { report: Some(&report), ..document(Ok(&error), &details, &files) });
}

#[test]
fn no_name_becomes_markup() {
    full(|document| {
        let page = page(document);
        let lower = page.to_lowercase();
        assert!(!lower.contains("<script") && !lower.contains("<svg/") && !lower.contains("alert(\""), "{page}");
        assert!(page.matches("</title>").count() >= 1 && page.contains("&lt;script&gt;"));
        assert!(page.chars().all(|c| c == '\n' || c >= ' ') && !page.contains('\u{202e}'));
        // Tags are closed as often as they are opened.
        for tag in
            ["section", "table", "tr", "td", "svg", "figure", "details", "div", "ul", "li", "span", "title", "text"]
        {
            let (opened, closed) = (
                page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count(),
                page.matches(&format!("</{tag}>")).count(),
            );
            assert_eq!(opened, closed, "{tag}");
        }
    });
}

#[test]
fn nothing_is_fetched_and_nothing_runs() {
    full(|document| {
        let page = page(document);
        for word in
            ["http://", "https://", "<link rel=\"stylesheet", "@import", "url(", "<iframe", "javascript:", " onclick"]
        {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.contains("default-src 'none'"));
        assert!(page.contains("src=\"data:image/png;base64,AQID\""));
        assert_eq!(page, super::page(document));
    });
}

#[test]
fn every_section_is_there_and_linked() {
    full(|document| {
        let page = page(document);
        for id in ["verdict", "nodes", "outputs", "size", "layers", "ranges", "weights", "samples", "reproduce"] {
            assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
            assert!(id == "verdict" || page.contains(&format!("href=\"#{id}\"")), "{id}");
        }
        assert!(page.contains("20.00 % outside"), "one of five numbers");
    });
}

#[test]
fn a_page_of_which_little_is_known_leaves_sections_out() {
    let details = details();
    let page = page(&document(Err("there are no samples"), &details, &[file(0), file(0)]));
    for id in ["nodes", "ranges", "weights", "samples"] {
        assert!(!page.contains(&format!("id=\"{id}\"")) && !page.contains(&format!("href=\"#{id}\"")), "{id}");
    }
    assert!(page.contains("Not known") && !page.contains("NaN") && !page.contains(">inf"), "{page}");
}
