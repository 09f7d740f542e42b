//! A conversion's lock: all that was found out from samples, and digests of what it was found out with. Converting from it needs
//! no samples, and gives the same bytes.
//!
//! What follows from model and policy alone, such as the scales of weights in blocks, is computed again; the digest of the output
//! holds it.

mod change;
mod steps;
mod text;
mod value;

pub use steps::Steps;
pub use value::Value;

use crate::dequantize;
use crate::error::{Error, Result};
use crate::file;
use crate::ir::{Graph, Model, NodeId};
use crate::plan::Plan;
use crate::quant::{GridType, KnownConstant};
use crate::resolve::Resolved;
use crate::tune::Refit;
use crate::tune::rounding::Rounding;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

const FORMAT: &str = file::LOCK;
const VERSION: u32 = 1;

/// SHA-256 in hexadecimal, by the name of a file.
pub type Digests = BTreeMap<String, String>;

/// What a conversion was resolved to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    format: String,
    version: u32,
    /// Name and version of the program that wrote it.
    pub tool: String,
    /// The float model, and its external data.
    pub model: Digests,
    /// What was written, and its external data.
    pub output: Digests,
    /// What of the policy decides the bytes of the output.
    pub policy: serde_json::Value,
    /// Its digest.
    pub policy_sha256: String,
    /// The encodings beside the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encodings_sha256: Option<String>,
    /// What the samples were.
    pub calibration: Calibrated,
    /// Nodes that stay in float for what samples showed, by what they make first, with the reason.
    pub float: BTreeMap<String, String>,
    /// The powers of two that the channels of values between equalized layers are divided by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub equalized: BTreeMap<String, Vec<i32>>,
    /// How much of the channels of values ahead of a Relu biases took.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub absorbed: BTreeMap<String, Vec<f32>>,
    /// The powers of two that the channels of smoothed values are divided by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub smoothed: BTreeMap<String, Vec<i32>>,
    /// The powers of two that the channels ahead of stored weights are divided by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub protected: BTreeMap<String, Vec<i32>>,
    /// The grid of each activation, and what the scales of weights rest on.
    pub values: BTreeMap<String, Value>,
    /// What layers are refitted by, by what they make.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refits: BTreeMap<String, Refitted>,
    /// The integers of weights that are not the nearest, by what their layers make.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roundings: BTreeMap<String, Steps>,
    /// The grids of stored constants, by the names that they have in the output turned back to float. They are not read when
    /// converting: they follow from the values, and tell what changed should they not.
    pub constants: BTreeMap<String, Constant>,
}

/// What calibrated.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// Where samples or statistics came from.
    pub source: String,
    /// How many samples there were.
    pub samples: u64,
    /// The digest of what they came from: of the file, or of the names and digests of all files of the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sha256: Option<String>,
    /// Name and version of the engine that ran them, where it was another one than tract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The digest of the statistics.
    pub statistics_sha256: String,
}

/// The grids of a constant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The type of its integers.
    #[serde(rename = "type")]
    pub dtype: String,
    /// The axis along which each index has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axis: Option<usize>,
    /// The scales; none where they are of blocks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scales: Vec<f32>,
    /// The zero points; none where all are 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zero_points: Vec<i32>,
    /// How many elements along the axis share a scale, and how many such blocks there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<(usize, usize)>,
}

/// What the output channels of a layer are refitted by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refitted {
    /// The factor of each.
    pub gains: Vec<f32>,
    /// What is added to each after that.
    pub shifts: Vec<f32>,
}

/// What a lock is made of beside the grids.
pub struct Facts<'a> {
    /// Name and version of this program.
    pub tool: &'a str,
    /// The float model and its data.
    pub model: Digests,
    /// What was written.
    pub output: Digests,
    /// What of the policy decides the bytes.
    pub policy: serde_json::Value,
    /// Its digest.
    pub policy_sha256: String,
    /// Of the encodings.
    pub encodings_sha256: Option<String>,
    /// What calibrated.
    pub calibration: Calibrated,
    /// What stays in float for what samples showed.
    pub float: &'a [(NodeId, String)],
    /// What the channels between layers were divided by.
    pub equalized: &'a BTreeMap<String, Vec<i32>>,
    /// How much of channels biases took.
    pub absorbed: &'a BTreeMap<String, Vec<f32>>,
    /// What values were smoothed by.
    pub smoothed: &'a BTreeMap<String, Vec<i32>>,
    /// What the channels ahead of stored weights were divided by.
    pub protected: &'a BTreeMap<String, Vec<i32>>,
}

impl Lock {
    /// The lock of a conversion: of what was planned and resolved for `graph`, and written.
    pub fn of(facts: Facts<'_>, graph: &Graph, plan: &Plan, resolved: &Resolved, written: &Model) -> Self {
        let float = facts.float.iter().filter_map(|(id, why)| {
            let made = graph.node(*id).outputs().iter().flatten().next()?;
            Some((graph.value(*made).name().to_owned(), why.clone()))
        });
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            tool: facts.tool.to_owned(),
            model: facts.model,
            output: facts.output,
            policy: facts.policy,
            policy_sha256: facts.policy_sha256,
            encodings_sha256: facts.encodings_sha256,
            calibration: facts.calibration,
            float: float.collect(),
            equalized: facts.equalized.clone(),
            absorbed: facts.absorbed.clone(),
            smoothed: facts.smoothed.clone(),
            protected: facts.protected.clone(),
            refits: refits(graph, plan, resolved),
            roundings: roundings(graph, plan, resolved),
            values: value::values(plan, resolved),
            constants: constants(written),
        }
    }

    /// Reads a lock.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no lock of this version.
    pub fn load(path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Header {
            format: String,
            version: u32,
        }
        let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
        let wrong = |e: serde_json::Error| Error::file(path, format!("does not hold a lock of tare's: {e}"));
        let header: Header = serde_json::from_str(&text).map_err(wrong)?;
        if header.format != FORMAT || header.version != VERSION {
            let found = format!("{} version {}", header.format, header.version);
            let why = format!("expected {FORMAT} version {VERSION}, found {found}; convert again with --lock");
            return Err(Error::file(path, why));
        }
        serde_json::from_str(&text).map_err(wrong)
    }

    /// The nodes of `graph` that stay in float for what samples showed.
    ///
    /// # Errors
    /// When one of them is not there.
    pub fn float_nodes(&self, graph: &Graph) -> Result<Vec<(NodeId, String)>> {
        let node = |(name, why): (&String, &String)| {
            let found = graph.find(name).and_then(|value| graph.value(value).producer());
            let missing = || Error::value(name, "is made in float by the lock, and by no node of the model");
            Ok((found.ok_or_else(missing)?, why.clone()))
        };
        self.float.iter().map(node).collect()
    }

    /// What layers of `graph` are refitted by.
    ///
    /// # Errors
    /// When one of them is not there, or what it is refitted by is not.
    pub fn refits(&self, graph: &Graph) -> Result<Vec<(NodeId, Refit)>> {
        let layer = |(name, refitted): (&String, &Refitted)| {
            let missing = || Error::value(name, "is made by a refitted layer by the lock, and by no node of the model");
            let node = graph.find(name).and_then(|value| graph.value(value).producer()).ok_or_else(missing)?;
            let Refitted { gains, shifts } = refitted.clone();
            let numbers =
                || gains.iter().all(|gain| gain.is_normal() && *gain > 0.0) && shifts.iter().all(|x| x.is_finite());
            if gains.is_empty() || gains.len() != shifts.len() || !numbers() {
                let why = "is refitted by the lock with what is no gain and shift for each channel";
                return Err(Error::value(name, why));
            }
            Ok((node, Refit { gains, shifts }))
        };
        self.refits.iter().map(layer).collect()
    }

    /// The integers of weights of layers of `graph`.
    ///
    /// # Errors
    /// When one of the layers is not there, or its integers are none.
    pub fn roundings(&self, graph: &Graph) -> Result<Vec<(NodeId, Rounding)>> {
        let layer = |(name, steps): (&String, &Steps)| {
            let missing =
                || Error::value(name, "is made by a layer with integers in the lock, and by no node of the model");
            let node = graph.find(name).and_then(|value| graph.value(value).producer()).ok_or_else(missing)?;
            let rounding =
                steps.rounding().map_err(|e| Error::value(name, format!("is made with integers that {e}")))?;
            Ok((node, rounding))
        };
        self.roundings.iter().map(layer).collect()
    }

    /// The grids for `plan`.
    ///
    /// # Errors
    /// When the lock lacks one of its values, has others, or has what is no grid.
    pub fn resolve(&self, plan: &Plan) -> Result<Resolved> {
        value::resolve(&self.values, plan)
    }
}

/// What layers are refitted by, by what they make.
fn refits(graph: &Graph, plan: &Plan, resolved: &Resolved) -> BTreeMap<String, Refitted> {
    let layers = plan.nodes.iter().filter_map(|node| {
        let Refit { gains, shifts } = resolved.refit(node.id)?.clone();
        let made = graph.node(node.id).output(0)?;
        Some((graph.value(made).name().to_owned(), Refitted { gains, shifts }))
    });
    layers.collect()
}

/// The integers of weights, by what their layers make.
fn roundings(graph: &Graph, plan: &Plan, resolved: &Resolved) -> BTreeMap<String, Steps> {
    let layers = plan.nodes.iter().filter_map(|node| {
        let steps = Steps::of(resolved.rounding(node.id)?);
        let made = graph.node(node.id).output(0)?;
        Some((graph.value(made).name().to_owned(), steps))
    });
    layers.collect()
}

/// The grids of the constants that `model` stores; none where it cannot be turned back to float.
fn constants(model: &Model) -> BTreeMap<String, Constant> {
    let mut model = model.clone();
    let found = dequantize::take_apart(&mut model).map(|(_, found)| found.grids.constants).unwrap_or_default();
    found.iter().map(|(name, known)| (name.clone(), Constant::of(known))).collect()
}

impl Constant {
    fn of(known: &KnownConstant) -> Self {
        let dtype = known.grids.first().map_or(GridType::Int8, |grid| grid.dtype).to_string();
        if let Some(size) = known.block {
            let blocks = Some((size, known.grids.len()));
            return Self { dtype, axis: known.axis, scales: vec![], zero_points: vec![], blocks };
        }
        let mut zero_points: Vec<i32> = known.grids.iter().map(|grid| grid.zero_point).collect();
        if zero_points.iter().all(|&zero| zero == 0) {
            zero_points.clear();
        }
        let scales = known.grids.iter().map(|grid| grid.scale).collect();
        Self { dtype, axis: known.axis, scales, zero_points, blocks: None }
    }
}

#[cfg(test)]
mod tests;
