//! What the page says of layers and of the engine.

use super::{HOSTILE, comparison, details, document, file, layer, output};
use crate::report::Details;
use crate::report::html::page;
use crate::validate::{Cause, CutOff, LayerError, Layers, Stress, StressCase, StressVerdict, Suspect};

fn page_of(layers: Vec<LayerError>, stress: Option<Stress>) -> String {
    page_on(16, layers, stress)
}

/// The same on so many samples.
fn page_on(samples: usize, layers: Vec<LayerError>, stress: Option<Stress>) -> String {
    let mut compared = comparison(vec![output("a", Some(30.0), 0.001)], None);
    compared.stress = stress;
    let details = Details { layers: Ok(Layers::new(samples, layers, vec![])), ..details() };
    page(&document(Ok(&compared), &details, &[file(100), file(30)]))
}

#[test]
fn what_grids_cut_off_has_a_table_and_is_no_suspect() {
    let cut_off = Some(CutOff { share: 0.0004, reach: Some(1.92), sqnr_db: 25.8 });
    let cut = LayerError { grid_excess_db: Some(9.0), cut_off, ..layer(Some(26.0), 0.0) };
    let told = page_of(vec![cut.clone()], None);
    assert!(
        told.contains("Cut off by their grids") && told.contains("0.040 %") && told.contains("1.92 times"),
        "{told}"
    );
    assert!(told.contains("No layer loses more than its types explain"), "{told}");
    // Where rounding is most of the error nothing is said of it.
    let rounding = LayerError { grid_excess_db: Some(1.0), ..cut };
    assert!(!page_of(vec![rounding], None).contains("Cut off by their grids"));
}

#[test]
fn suspects_of_few_samples_are_doubted_where_they_are_listed() {
    let suspect = || vec![layer(Some(30.0), 9.0)];
    let few = page_on(4, suspect(), None);
    assert!(few.contains("Few samples: ") && few.contains("--samples") && few.contains("too few samples to be sure"));
    for told in [page_on(16, suspect(), None), page_on(4, vec![layer(Some(30.0), 0.0)], None)] {
        assert!(!told.contains("Few samples: ") && !told.contains("too few samples to be sure"), "{told}");
    }
}

#[test]
fn of_a_value_that_only_one_model_has_no_error_is_claimed() {
    let suspect = Some(Suspect { cause: Cause::Steps, excess_db: 12.0 });
    let inner = LayerError { only_quantized: true, accumulated_db: None, suspect, ..layer(None, 0.0) };
    let told = page_of(vec![inner], None);
    assert!(told.contains("not in the float model") && !told.contains("no error"), "{told}");
}

#[test]
fn the_words_of_the_engine_are_folded_away_and_escaped() {
    let case = |words: Option<&str>| StressCase {
        name: "N=0".to_owned(),
        what: "N is 0".to_owned(),
        shapes: vec![vec![0, 3]],
        counts: true,
        verdict: StressVerdict::Alike,
        refused: words.map(|_| "both models cannot".to_owned()),
        engine_words: words.map(str::to_owned),
        outputs: vec![],
        runtime: None,
        saturated: vec![],
    };
    let told = |words: Option<&str>| {
        let stress =
            Stress { seed: 1, samples: 0, inputs: vec![], cases: vec![case(words)], saturation_not_counted: None };
        page_of(vec![], Some(stress))
    };
    let page = told(Some(HOSTILE));
    assert!(page.contains("<details><summary>The engine's own words, of 1 case</summary>"), "{page}");
    assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"), "{page}");
    assert!(!told(None).contains("own words"));
}
