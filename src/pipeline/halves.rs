//! What becomes of the numbers of 16 bits that a model has itself.

use crate::error::{Error, Result};
use crate::ir::{Graph, Model, NodeId, Source, ValueId};
use crate::ops::{self, Half};
use crate::plan::{Plan, WasHalf};
use crate::policy::{HalfInput, IoSettings, IoType, OneOrEach, Settings};
use crate::prepare::Kinds;
use crate::quant::HalfType;
use crate::rewrite;
use crate::tensor::DataType;

/// The numbers of 16 bits of a model, and whether they stay.
#[derive(Default)]
pub(super) struct Halves {
    was: Option<WasHalf>,
    kinds: Kinds,
}

impl Halves {
    /// Decides for a model whose values had the types `kinds` before it became float32.
    ///
    /// # Errors
    /// When the policy keeps both types, float16 and bfloat16, of one model: a scale is of one.
    pub fn of(kinds: Kinds, settings: &Settings) -> Result<Self> {
        let found: Vec<HalfType> = kinds.halves().collect();
        if found.len() > 1 && settings.half.input == Some(HalfInput::Keep) {
            let why = "computes in float16 and in bfloat16, and grids have scales of one type; set half.input: widen";
            return Err(Error::other(why));
        }
        let kept = settings.keeps_halves() && found.len() == 1;
        // Modes of 16 bits say themselves what is computed in them.
        let told = settings.halves().next().is_none();
        let was = found.first().filter(|_| told).map(|&kind| WasHalf { kind, kept });
        Ok(Self { was, kinds })
    }

    /// Notes it in a plan, whose scales are then of the type that stays.
    pub fn settle(&self, plan: &mut Plan) {
        plan.was_half = self.was;
        if let Some(was) = self.was.filter(|was| was.kept) {
            plan.scale_in(was.kind);
        }
    }

    /// Makes a rewritten model compute in 16 bits again, if it is to.
    ///
    /// # Errors
    /// When a constant or body is malformed, or a body hands on a value of another type.
    pub fn restore(&self, model: &mut Model) -> Result<()> {
        if self.was.is_some_and(|was| was.kept) { rewrite::keep_halves(model, &self.kinds) } else { Ok(()) }
    }
}

/// Gives inputs and outputs of 16 bits that are to become integers the type of what they are in the widened `graph`: the Cast
/// between goes, where nothing else reads it.
pub(super) fn make_border_float32(graph: &mut Graph, io: &IoSettings) {
    let wanted = |graph: &Graph, value: ValueId, side: &Option<OneOrEach<IoType>>| {
        let half = graph.element_type(value).and_then(HalfType::of).is_some();
        let ty = side.as_ref().and_then(|side| side.of(graph.value(value).name())).and_then(IoType::integer);
        half && ty.is_some() && !graph.value(value).is_captured()
    };
    let casts = |graph: &Graph, id: NodeId| ops::half(graph.node(id)).is_some_and(Half::casts);
    let float32 =
        |graph: &Graph, value: ValueId| graph.known_type(value).is_some_and(|ty| ty.dtype == DataType::Float32);
    for input in graph.inputs().collect::<Vec<_>>() {
        let readers: Vec<NodeId> = graph.value(input).readers().map(|(node, _)| node).collect();
        let made: Option<Vec<ValueId>> = readers
            .iter()
            .map(|&node| {
                graph
                    .node(node)
                    .output(0)
                    .filter(|&made| casts(graph, node) && float32(graph, made) && !graph.value(made).goes_by_name())
            })
            .collect();
        let Some(made) = made.filter(|_| wanted(graph, input, &io.inputs) && !graph.value(input).is_output()) else {
            continue;
        };
        made.into_iter().for_each(|made| graph.redirect_readers(made, input));
        for node in readers {
            graph.remove_if_unused(node);
        }
        graph.set_element_type(input, DataType::Float32);
    }
    for output in graph.outputs().collect::<Vec<_>>() {
        let cast = graph.value(output).producer().filter(|&id| wanted(graph, output, &io.outputs) && casts(graph, id));
        let Some(from) = cast
            .and_then(|id| graph.node(id).input(0))
            .filter(|&from| float32(graph, from) && !graph.value(from).goes_by_name())
        else {
            continue;
        };
        let Source::Node { node, slot } = graph.value(from).source() else { continue };
        graph.redirect_readers(from, output);
        graph.take_over_output(node, slot, output);
        graph.set_element_type(output, DataType::Float32);
    }
}
