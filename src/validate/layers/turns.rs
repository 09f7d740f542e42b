//! The turns that a body of If, Loop or Scan takes, and what it is fed in each.

use super::super::side::Side;
use crate::error::{Error, Result};
use crate::ir::{Model, NodeId};
use crate::tensor::{DataType, Tensor};

/// How often bodies run, and on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    If,
    Loop,
    /// With so many states, and the axis of each input that is walked along, backwards or not.
    Scan {
        states: usize,
        axes: Vec<(i64, bool)>,
    },
}

impl Kind {
    /// That of node `id`.
    ///
    /// # Errors
    /// When it is of none of them.
    pub fn of(model: &Model, id: NodeId) -> Result<Self> {
        let node = model.graph.node(id);
        if node.is("If") {
            return Ok(Self::If);
        }
        if node.is("Loop") {
            return Ok(Self::Loop);
        }
        if !node.is("Scan") {
            return Err(Error::other("bodies of If, Loop and Scan are looked into, and of nothing else"));
        }
        if model.opset("").unwrap_or_default() < 9 {
            return Err(Error::other(
                "a Scan of opset 8 that no later opset has, with a length for each sample, is not looked into",
            ));
        }
        let attributes = node.attributes();
        let walked = attributes.int("num_scan_inputs").and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        let states = node.inputs().len().checked_sub(walked).filter(|_| walked > 0);
        let states = states.ok_or_else(|| Error::other("its num_scan_inputs does not fit its inputs"))?;
        let list = |name: &str, at: usize| attributes.ints(name).and_then(|all| all.get(at)).copied().unwrap_or(0);
        let axes = (0..walked).map(|at| (list("scan_input_axes", at), list("scan_input_directions", at) == 1));
        Ok(Self::Scan { states, axes: axes.collect() })
    }

    /// The attributes that are its bodies.
    pub fn bodies(&self) -> &'static [&'static str] {
        match self {
            Self::If => &["then_branch", "else_branch"],
            Self::Loop | Self::Scan { .. } => &["body"],
        }
    }
}

/// The turns of one sample in one model.
pub(super) struct Turns {
    turn: usize,
    kind: Kind,
    /// How many there are at most.
    most: usize,
    goes_on: bool,
    /// Of a Loop, what its body's inputs for the turn's number and for the condition look like.
    scalars: [Vec<usize>; 2],
    states: Vec<Tensor>,
    walked: Vec<Tensor>,
    around: Vec<Tensor>,
}

impl Turns {
    /// Those of a node that reads `read`; its body reads `fed` from around.
    ///
    /// # Errors
    /// When the inputs are none of such a node.
    pub fn new(
        kind: &Kind,
        (model, id): (&Model, NodeId),
        read: Vec<Option<Tensor>>,
        fed: Vec<Tensor>,
    ) -> Result<Self> {
        let mut turns = Self {
            turn: 0,
            kind: kind.clone(),
            most: 1,
            goes_on: true,
            scalars: Default::default(),
            states: Vec::new(),
            walked: Vec::new(),
            around: fed,
        };
        let all = |read: &[Option<Tensor>]| {
            let missing = || Error::other("an input of it was not computed");
            read.iter().map(|one| one.clone().ok_or_else(missing)).collect::<Result<Vec<_>>>()
        };
        match kind {
            Kind::If => {}
            Kind::Loop => {
                let count =
                    read.first().and_then(Option::as_ref).map(|count| count.to_i64().map(|c| c.first().copied()));
                let count = count.transpose()?.flatten();
                turns.most = count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(0));
                turns.goes_on = read.get(1).is_none_or(Option::is_none) || is_true(read.get(1))?;
                turns.states = all(read.get(2..).unwrap_or_default())?;
                turns.scalars = scalars(model, id)?;
            }
            Kind::Scan { states, axes } => {
                let (states, walked) = read.split_at(*states);
                (turns.states, turns.walked) = (all(states)?, all(walked)?);
                let lengths = turns
                    .walked
                    .iter()
                    .zip(axes)
                    .map(|(tensor, (axis, _))| Some(tensor.shape()[place(tensor, *axis)?]));
                turns.most =
                    lengths.min().flatten().ok_or_else(|| Error::other("its scan axes do not fit its inputs"))?;
            }
        }
        Ok(turns)
    }

    /// What the body is fed in the next turn; `None` where there is none.
    pub fn fed(&mut self) -> Option<Vec<Tensor>> {
        if self.turn >= self.most || !self.goes_on {
            return None;
        }
        let mut inputs = Vec::new();
        match &self.kind {
            Kind::If => {}
            Kind::Loop => {
                let [number, condition] = &self.scalars;
                inputs.push(Tensor::from_i64(number.clone(), &[self.turn as i64]));
                inputs.push(Tensor::new(DataType::Bool, condition.clone(), vec![1u8].into()).ok()?);
                inputs.extend(self.states.iter().cloned());
            }
            Kind::Scan { axes, .. } => {
                inputs.extend(self.states.iter().cloned());
                for (tensor, (axis, backwards)) in self.walked.iter().zip(axes) {
                    let at = if *backwards { self.most - 1 - self.turn } else { self.turn };
                    inputs.push(slice(tensor, place(tensor, *axis)?, at)?);
                }
            }
        }
        inputs.extend(self.around.iter().cloned());
        self.turn += 1;
        Some(inputs)
    }

    /// Takes over what the body makes of `inputs` for the next turn.
    ///
    /// # Errors
    /// When the engine cannot run it.
    pub fn step(&mut self, body: &Side<'_>, inputs: &[Tensor]) -> Result<()> {
        if self.kind == Kind::If || self.turn >= self.most {
            return Ok(());
        }
        let mut outputs = body.run(inputs)?.into_iter();
        if self.kind == Kind::Loop {
            self.goes_on = is_true(Some(&outputs.next()))?;
        }
        self.states = outputs.take(self.states.len()).collect();
        Ok(())
    }
}

/// Whether a condition holds.
///
/// # Errors
/// When it is not there.
pub(super) fn is_true(condition: Option<&Option<Tensor>>) -> Result<bool> {
    let first = condition.and_then(Option::as_ref).and_then(|condition| condition.bytes().first());
    first.map(|&byte| byte != 0).ok_or_else(|| Error::other("its condition was not computed"))
}

/// The shapes of the first two inputs of a Loop's body, which may also state one dimension.
fn scalars(model: &Model, id: NodeId) -> Result<[Vec<usize>; 2]> {
    let body = model.graph.body(id, 0)?;
    let mut inputs = body.inputs();
    let mut shape = || match inputs.next().and_then(|input| body.stated_type(input)) {
        Some(ty) if ty.dims.len() == 1 => vec![1],
        _ => vec![],
    };
    Ok([shape(), shape()])
}

/// The axis number `axis` of a tensor, counted from the end where it is negative.
fn place(tensor: &Tensor, axis: i64) -> Option<usize> {
    let rank = tensor.shape().len();
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

/// What lies at `at` of an axis.
fn slice(tensor: &Tensor, axis: usize, at: usize) -> Option<Tensor> {
    let (outer, rest) = tensor.shape().split_at(axis);
    let (&length, inner) = rest.split_first()?;
    let bytes = tensor.dtype().bits().filter(|bits| bits % 8 == 0)? / 8 * inner.iter().product::<usize>();
    let row = |outer: usize| {
        let start = (outer * length + at) * bytes;
        tensor.bytes().get(start..start + bytes)
    };
    let rows = (0..outer.iter().product()).map(row).collect::<Option<Vec<_>>>()?.concat();
    Tensor::new(tensor.dtype(), [outer, inner].concat(), rows.into()).ok()
}
