//! Which mode, and why: the decision tree of `docs/modes.md`. A choice that turns out to quantize nothing in the model at hand
//! gives way to the next.

use super::Facts;
use super::network::Kind;
use crate::policy::Mode;

/// A mode, and what speaks for it and for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What becomes integers, and when.
    pub mode: Mode,
    /// Why, in sentences.
    pub why: &'static str,
    /// What else there would be, a sentence each.
    pub instead: Vec<&'static str>,
}

const STATIC: &str = "`mode: static` is the fastest one in ONNX Runtime on networks of convolutions, and needs samples (data.calibration)";
const DYNAMIC: &str = "`mode: dynamic` finds the activations' ranges anew in each run, and needs no samples";
const WEIGHT_ONLY: &str = "`mode: weight-only` is the smaller file alone: int8, or int4 and uint4, which are too little for \
                           depthwise layers; it is not faster";
const HALVES: &str =
    "`mode: float16` halves the file and loses next to nothing; it is faster on GPUs and phones, not on CPUs";
const WIDE: &str =
    "`activations: { type: uint16 }` loses less, for runtimes on DSPs; ONNX Runtime's CPU computes those in float";
const INTEGERS: &str = "`io` and `strict` make inputs and outputs integers, too, for chips without floats";
const MIXED: &str =
    "rules give single nodes a mode of their own, or leave them in float: `tare plan` lists their names";

/// The modes for what `facts` tell, the best first.
pub fn choices(facts: &Facts) -> Vec<Choice> {
    let kind = facts.network.kind();
    let mut choices = Vec::new();
    if facts.data.is_some() && kind != Kind::Recurrent {
        let why = match kind {
            Kind::Transformer => {
                "There are samples: ranges are found once, before, and layers run on integers. What makes attention masks, \
                 sums before a normalization and the normalizations stay float, without which eight bits ruin a transformer."
            }
            Kind::Detector => {
                "There are samples: ranges are found once, before, and convolutions and what lies between them run on \
                 integers. Joins of unlike things behind the last layers (boxes and scores) stay float."
            }
            _ => {
                "There are samples: ranges are found once, before, and layers and what lies between them run on integers, \
                 which is the fastest mode in ONNX Runtime."
            }
        };
        let dynamic = (kind != Kind::Detector && kind != Kind::Convolutional).then_some(DYNAMIC);
        choices.push(Choice {
            mode: Mode::Static,
            why,
            instead: dynamic.into_iter().chain([WEIGHT_ONLY, HALVES, WIDE, INTEGERS, MIXED]).collect(),
        });
    }
    let convolves = matches!(kind, Kind::Detector | Kind::Convolutional);
    // Behind static it is for what stands in bodies, where nothing is observed.
    if !convolves || facts.data.is_some() {
        choices.push(Choice {
            mode: Mode::Dynamic,
            why: dynamic(facts, kind),
            instead: vec![STATIC, WEIGHT_ONLY, HALVES, MIXED],
        });
    }
    let why = if convolves && facts.data.is_none() {
        "There are no samples, and convolutions whose ranges each run finds anew are slower than float ones in ONNX Runtime. \
         So weights alone become integers, which makes the file smaller and no more. With samples (--data), static would be \
         possible, which is faster, too."
    } else {
        "In the modes that compute on integers nothing in this model would change. Its weights can be stored as integers, \
         which makes the file smaller and no more."
    };
    choices.push(Choice { mode: Mode::WeightOnly, why, instead: vec![STATIC, DYNAMIC, HALVES, MIXED] });
    choices
}

fn dynamic(facts: &Facts, kind: Kind) -> &'static str {
    match (kind, facts.data.is_some()) {
        (Kind::Recurrent, true) => {
            "LSTM, GRU and RNN have no integer form with ranges found before, and what stands in bodies of If and Loop is not \
             observed. So weights are stored as integers, and other layers find the ranges of what they read in each run. The \
             samples validate."
        }
        (Kind::Recurrent, false) => {
            "LSTM, GRU and RNN have no integer form with ranges found before, and there are no samples anyway. So weights are \
             stored as integers, and other layers find the ranges of what they read in each run. Convolutions along a signal \
             stay float."
        }
        (_, true) => {
            "In mode static nothing in this model would change. Here layers find the ranges of what they read in each run, \
             bodies of If, Loop and Scan included. The samples validate."
        }
        (_, false) => {
            "There are no samples: layers find the ranges of what they read in each run, which products with matrices hardly \
             notice. With samples (--data), static would be possible."
        }
    }
}
