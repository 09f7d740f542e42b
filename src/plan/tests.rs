//! The plan of small nets, as its listing says it.

mod arithmetic;
mod channels;
mod floats;
mod halves;
mod joins;
mod layers;
mod layout;
mod lookups;
mod policies;
mod structure;

use super::*;
use crate::exec::Tract;
use crate::ir::Model;
use crate::ir::build::{Builder, float, int, ints, text};
use crate::policy::{Raw, Settings};
use crate::prepare::{Options, prepare};
use crate::target::OnnxRuntimeCpu;
use std::path::Path;

const WEIGHT: &str = "integer, weight int8 symmetric per channel on axis";

fn settings(policy: &str) -> Settings {
    let text = format!("version: 1\n{policy}");
    Raw::parse(&text, Path::new("p.yaml")).and_then(|raw| raw.settings()).expect("a policy")
}

/// Prepares and plans, and checks what holds for every plan.
fn planned(builder: Builder, settings: &Settings) -> (Model, Plan) {
    let mut model = builder.build();
    prepare(&mut model, &Tract::default(), &Options::default()).expect("a model that can be prepared");
    let made = plan(&model.graph, settings, &OnnxRuntimeCpu, &[], &Known::default()).expect("a plan");
    let order = model.graph.topological().expect("no circle");
    assert_eq!(made.nodes.iter().map(|n| n.id).collect::<Vec<_>>(), order, "a node without a placement");
    for node in &made.nodes {
        let silent = matches!(&node.placement, Placement::Float { reason } if reason.is_empty());
        assert!(!silent, "{} is float without a reason", node.name);
    }
    for value in &made.values {
        let root = made.value(made.root(value.id)).expect("the grid that it shares is planned");
        assert!(!matches!(root.range, RangeSource::SameAs(_)), "{} has no range", value.name);
    }
    let again = plan(&model.graph, settings, &OnnxRuntimeCpu, &[], &Known::default()).expect("a plan");
    assert_eq!(made.listing(&model.graph), again.listing(&model.graph));
    (model, made)
}

/// The listing of the nodes and that of the values, without a policy.
fn listing(builder: Builder) -> (Vec<String>, Vec<String>) {
    listing_by("", builder)
}

fn listing_by(policy: &str, builder: Builder) -> (Vec<String>, Vec<String>) {
    let (model, made) = planned(builder, &settings(policy));
    let text = made.listing(&model.graph);
    let (nodes, values) = text.split_once("# values\n").expect("values last");
    let (_, nodes) = nodes.split_once("# nodes\n").expect("nodes before them");
    let lines = |part: &str| part.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect();
    (lines(nodes), lines(values))
}

/// A pointwise Conv of 4 to 4 channels, with weights of its own.
fn conv(builder: Builder, x: &str, y: &str) -> Builder {
    let w = format!("{y}_w");
    builder.noise(&w, &[4, 4, 1, 1], y.len() as u32).node("Conv", &[x, &w], &[y], vec![])
}

/// An image with a Conv behind it, which makes `c`.
fn start() -> Builder {
    conv(Builder::new(13).input("x", &[1, 4, 8, 8]), "x", "c")
}
