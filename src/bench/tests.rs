//! Tests of what is measured how; none of them looks at how long anything took.

use super::*;
use crate::error::{Error, Result};
use crate::exec::{Timing, Tract};
use crate::inputs::{InputSpec, Meaning};
use crate::ir::Model;
use crate::ir::build::{self, Builder};
use crate::policy::Engine;
use crate::progress::Silent;
use crate::tensor::{DataType, Tensor};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

mod made;
mod served;

/// Says of each turn that it was there, and that its runs took a time that is known.
struct Pretended {
    model: String,
    began: Began,
    took: f64,
    /// The turn that fails, counted down.
    fails_in: Option<usize>,
    turns: Rc<RefCell<Vec<(String, usize, usize)>>>,
}

impl Running for Pretended {
    fn began(&self) -> &Began {
        &self.began
    }

    fn turn(&mut self, first: usize, count: usize) -> Result<Turn> {
        match &mut self.fails_in {
            Some(0) => return Err(Error::Engine("it broke".to_owned())),
            Some(left) => *left -= 1,
            None => {}
        }
        self.turns.borrow_mut().push((self.model.clone(), first, count));
        // All that a machine does to one, it does to the others of the round.
        let noise = 1.0 + first as f64;
        let runs_ms = vec![self.took * noise; count];
        let whole_ms = runs_ms.iter().sum();
        Ok(Turn { runs_ms, whole_ms, processor_ms: Some(whole_ms / 2.0) })
    }

    fn end(self: Box<Self>) -> Result<Ended> {
        let memory = Some(Memory { peak_bytes: 2048, before_bytes: 1024 });
        let nodes = vec![("a".to_owned(), "Conv".to_owned(), 3.0), ("b".to_owned(), "Relu".to_owned(), 1.0)];
        Ok(Ended { memory, runs: 4, nodes })
    }
}

const MODELS: [(&str, f64); 3] = [("a.onnx", 8.0), ("b.onnx", 2.0), ("c.onnx", 4.0)];
const EFFORT: Effort = Effort { seconds: 1.0, runs: Some(50), warmup: 2 };

/// What is measured of three models, one of which may fail at some turn, and the turns that there were.
fn measured(failing: Option<(&str, usize)>, nodes: bool) -> (Measurement, Vec<(String, usize, usize)>) {
    let turns = Rc::default();
    let task =
        |name| Task { model: Path::new(name), engine: Engine::Tract, threads: 1, nodes: false, samples: Path::new("") };
    let tasks = MODELS.map(|(name, _)| task(name));
    let launch = |task: &Task<'_>| {
        let (name, took) = *MODELS.iter().find(|(name, _)| Path::new(name) == task.model).expect("one of them");
        let fails_in = failing.filter(|(failing, _)| *failing == name).map(|(_, turn)| turn);
        if fails_in == Some(usize::MAX) {
            return Err(Error::Engine("it cannot be loaded".to_owned()));
        }
        let began = Began { engine: "pretended".to_owned(), load_ms: 1.0, first_run_ms: 2.0 };
        let running = Pretended { model: name.to_owned(), began, took, fails_in, turns: Rc::clone(&turns) };
        Ok(Box::new(running) as Box<dyn Running>)
    };
    let measurement = group(&tasks, (2, nodes), &EFFORT, &launch, &Silent);
    let turns = turns.borrow().clone();
    (measurement, turns)
}

#[test]
fn models_take_turns_in_changing_order_on_the_same_samples() {
    let (measurement, turns) = measured(None, false);
    assert_eq!((measurement.runs, measurement.rounds, measurement.threads), (50, 25, 1));
    let order: Vec<&str> = turns.iter().map(|(name, _, _)| name.as_str()).collect();
    // To warm up, then forward and backward.
    assert_eq!(order[..3], ["a.onnx", "b.onnx", "c.onnx"]);
    assert_eq!(order[3..9], ["a.onnx", "b.onnx", "c.onnx", "c.onnx", "b.onnx", "a.onnx"]);
    for (name, _) in MODELS {
        let own: Vec<(usize, usize)> = turns.iter().filter(|t| t.0 == name).map(|t| (t.1, t.2)).collect();
        let rounds = (0..25).map(|round| (2 * round, 2));
        assert_eq!(own, std::iter::once((0, 2)).chain(rounds).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn ratios_are_of_the_same_round() {
    let (measurement, _) = measured(None, false);
    let ratios = measurement.models.iter().map(|model| model.ratio.expect("a ratio"));
    // The times of rounds differ by a factor of 49, their ratios not at all.
    for (ratio, wanted) in ratios.zip([1.0, 0.25, 0.5]) {
        assert_eq!((ratio.median, ratio.min, ratio.max), (wanted, wanted, wanted));
    }
    let first = &measurement.models[0];
    let latency = first.latency_ms.expect("a time");
    assert_eq!((latency.min, latency.max), (8.0, 8.0 * 49.0));
    assert_eq!((first.load_ms.expect("times").median, first.first_run_ms.expect("times").median), (1.0, 2.0));
    assert_eq!((first.memory.expect("memory").peak_bytes, first.processor_share), (2048, Some(0.5)));
    let processor = measurement.models[1].processor_ratio.expect("a ratio");
    assert_eq!((processor.min, processor.max), (0.25, 0.25));
    assert!(first.profile.is_none());
}

#[test]
fn a_model_that_fails_is_out_and_the_others_go_on() {
    for turn in [0, 3, usize::MAX] {
        let (measurement, _) = measured(Some(("b.onnx", turn)), true);
        let [a, b, c] = &measurement.models[..] else { panic!("three models") };
        assert!(b.error.as_deref().is_some_and(|why| why.starts_with("it ")), "{b:?}");
        assert!(b.latency_ms.is_none() && b.ratio.is_none() && b.profile.is_none());
        assert_eq!((c.ratio.expect("a ratio").median, &a.error, &c.error), (0.5, &None, &None));
        assert_eq!(c.profile.as_ref().expect("nodes").operators[0].share, 0.75);
    }
    // Without the first there is nothing to be a share of.
    let (measurement, _) = measured(Some(("a.onnx", 1)), false);
    assert!(measurement.models.iter().all(|model| model.ratio.is_none()));
    assert!(measurement.models[1].latency_ms.is_some());
}

fn benchmark(measurement: Measurement) -> Benchmark {
    let file = |(path, _): (&str, f64)| FileSummary { path: path.to_owned(), bytes: 20_000, sha256: String::new() };
    let inputs = vec!["x float32[1,2]".to_owned()];
    let subject = |model| Subject { file: file(model), inputs: inputs.clone(), samples: 1, shapes_vary: false };
    Benchmark {
        tool: "tare".to_owned(),
        machine: Machine::this(),
        models: MODELS.map(subject).to_vec(),
        inputs: "made up".to_owned(),
        measurements: vec![measurement],
        notes: vec!["something was not there".to_owned()],
        shown: 1,
    }
}

#[test]
fn the_text_says_what_was_found() {
    let text = benchmark(measured(Some(("c.onnx", 2)), true).0).to_string();
    for word in [
        "models       a.onnx  20.0 kB\n",
        " b.onnx  20.0 kB (100 %)\n",
        "inputs       made up\n             x float32[1,2]\n",
        "note         something was not there\n",
        "pretended, 1 thread; 25 rounds, 50 runs of each\n",
        "  0.250  0.250 .. 0.250  ",
        "\n  c.onnx: it broke\n",
        "busy machine: others had the processor for 50.0 % of the time; in processor time\n",
        "\n  b.onnx      25.00  0.250  0.250 .. 0.250\n",
        "where the time goes, mean of one run: a.onnx | b.onnx\n",
        "\n  and 1 more operator\n",
        "\n  a.onnx: 1 of 2 nodes\n  a  Conv  3.000  75.0 %\n",
    ] {
        assert!(text.contains(word), "{word:?} is not in\n{text}");
    }
    assert!(!text.contains("within the noise"), "{text}");
}

#[test]
fn what_may_be_chance_is_said() {
    let (mut measurement, _) = measured(None, false);
    let ratio = measurement.models[1].ratio.insert(Spread::of(&[0.9, 1.1, 0.95, 1.02]).expect("values"));
    assert!(ratio.leaves_open(1.0));
    let text = benchmark(measurement).to_string();
    assert_eq!(text.matches("within the noise").count(), 1, "{text}");
}
