//! Grids as AIMET's encodings.

use crate::error::{Error, Result};
use crate::quant::{GridType, KnownConstant, KnownGrids, Params};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;

/// The versions of AIMET's encodings that can be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Version {
    /// Activations and constants by name; an offset for each channel. What older tools of Qualcomm's take.
    #[serde(rename = "0.6.1")]
    V0_6_1,
    /// Lists; the form that AIMET writes unless asked otherwise.
    #[default]
    #[serde(rename = "1.0.0")]
    V1_0_0,
    /// Types, zero points and axes, as ONNX speaks of them. The only one with floating-point numbers of 8 bits.
    #[serde(rename = "2.0.0")]
    V2_0_0,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V0_6_1 => "0.6.1",
            Self::V1_0_0 => "1.0.0",
            Self::V2_0_0 => "2.0.0",
        })
    }
}

/// The encodings that state `grids`, as JSON text. `shape` gives the shape of a constant, and `tool` is the name and version of who
/// writes them. Scales are written so that reading them gives the same bits.
///
/// # Errors
/// When the version cannot say what a grid is.
pub fn to_json(
    grids: &KnownGrids,
    version: Version,
    shape: impl Fn(&str) -> Option<Vec<usize>>,
    tool: (&str, &str),
) -> Result<String> {
    let mut json = json!({ "producer": { "package": tool.0, "version": tool.1 }, "version": version.to_string() });
    let whole = |params: &Params| KnownConstant { axis: None, block: None, grids: vec![*params] };
    let constants = grids.constants.iter().map(|(name, known)| (name, known.clone(), shape(name).unwrap_or_default()));
    let constants: Vec<_> = constants.collect();
    let activations: Vec<_> = grids.activations.iter().map(|(name, params)| (name, whole(params), vec![])).collect();
    let stated = |all: &[(&String, KnownConstant, Vec<usize>)]| -> Result<Vec<(String, Value)>> {
        let one = |(name, known, shape): &(&String, KnownConstant, Vec<usize>)| {
            let entry = match version {
                Version::V0_6_1 => channels(known),
                Version::V1_0_0 => one(name, known, shape),
                Version::V2_0_0 => Ok(types(name, known, shape)),
            };
            let blame =
                |why| Error::value(name.as_str(), format!("has a grid that encodings {version} cannot state: {why}"));
            Ok(((*name).clone(), entry.map_err(blame)?))
        };
        all.iter().map(one).collect()
    };
    let (activations, constants) = (stated(&activations)?, stated(&constants)?);
    let list = |all: Vec<(String, Value)>| all.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>();
    match version {
        Version::V0_6_1 => {
            json["activation_encodings"] = activations.into_iter().collect();
            json["param_encodings"] = constants.into_iter().collect();
        }
        Version::V1_0_0 => {
            json["activation_encodings"] = list(activations).into();
            json["param_encodings"] = list(constants).into();
        }
        Version::V2_0_0 => json["encodings"] = list(activations.into_iter().chain(constants).collect()).into(),
    }
    let mut text = serde_json::to_string_pretty(&json).map_err(Error::other)?;
    text.push('\n');
    Ok(text)
}

/// The offset of a grid, counted from the lowest of unsigned integers, and whether its type has a sign.
fn offset(grid: &Params) -> (i32, bool) {
    let (lowest, _) = grid.dtype.limits();
    (lowest - grid.zero_point, lowest < 0)
}

fn dtype(known: &KnownConstant) -> std::result::Result<GridType, String> {
    let dtype = known.grids.first().map_or(GridType::Int8, |grid| grid.dtype);
    if dtype.is_float() {
        return Err(format!("it is of {dtype}; take version 2.0.0"));
    }
    Ok(dtype)
}

/// An entry of version 0.6.1: an object for each channel.
fn channels(known: &KnownConstant) -> std::result::Result<Value, String> {
    let dtype = dtype(known)?;
    if known.block.is_some() {
        return Err("it is of blocks; take version 1.0.0 or 2.0.0".to_owned());
    }
    let (low, high) = dtype.limits();
    let channel = |grid: &Params| {
        let (offset, signed) = offset(grid);
        let scale = f64::from(grid.scale);
        json!({
            "bitwidth": dtype.bits(),
            "dtype": "int",
            "is_symmetric": if signed { "True" } else { "False" },
            "min": f64::from(low - grid.zero_point) * scale,
            "max": f64::from(high - grid.zero_point) * scale,
            "offset": offset,
            "scale": scale,
        })
    };
    Ok(known.grids.iter().map(channel).collect())
}

/// An entry of version 1.0.0.
fn one(name: &str, known: &KnownConstant, shape: &[usize]) -> std::result::Result<Value, String> {
    let dtype = dtype(known)?;
    let mut grids: Vec<&Params> = known.grids.iter().collect();
    let kind = match (known.axis, known.block) {
        (None, _) => "PER_TENSOR",
        (Some(_), None) => "PER_CHANNEL",
        (Some(axis), Some(size)) => {
            let whole = shape.get(axis).is_some_and(|length| length.is_multiple_of(size));
            if !whole || shape.len() != 2 {
                let why = "blocks have to divide an axis of a matrix; take version 2.0.0";
                return Err(format!("{why}, its shape is {shape:?}, and {size} share a scale along axis {axis}"));
            }
            if axis == 0 {
                // Those of a channel stand side by side, whichever axis it is.
                let columns = shape[1];
                grids = (0..columns).flat_map(|column| known.grids.iter().skip(column).step_by(columns)).collect();
            }
            "PER_BLOCK"
        }
    };
    let mut entry = json!({
        "name": name,
        "dtype": "INT",
        "bw": dtype.bits(),
        "enc_type": kind,
        "is_sym": grids.first().is_some_and(|grid| offset(grid).1),
        "scale": grids.iter().map(|grid| f64::from(grid.scale)).collect::<Vec<_>>(),
        "offset": grids.iter().map(|grid| offset(grid).0).collect::<Vec<_>>(),
    });
    if let Some(size) = known.block {
        entry["block_size"] = json!(size);
    }
    Ok(entry)
}

/// An entry of version 2.0.0.
fn types(name: &str, known: &KnownConstant, shape: &[usize]) -> Value {
    let dtype = known.grids.first().map_or(GridType::Int8, |grid| grid.dtype);
    let mut entry = json!({ "name": name, "output_dtype": dtype.to_string() });
    let scales: Vec<Value> = known.grids.iter().map(|grid| json!(f64::from(grid.scale))).collect();
    let zeros: Vec<Value> = known.grids.iter().map(|grid| json!(grid.zero_point)).collect();
    let mut dims = vec![];
    if let Some(axis) = known.axis {
        entry["axis"] = json!(axis);
        dims = vec![known.grids.len()];
        if let Some(size) = known.block {
            entry["block_size"] = json!(size);
            dims = shape.to_vec();
            dims[axis] = dims[axis].div_ceil(size);
        }
    }
    if known.grids.iter().any(|grid| grid.zero_point != 0) {
        entry["y_zero_point"] = nested(&zeros, &dims);
    }
    entry["y_scale"] = nested(&scales, &dims);
    entry
}

/// `items` as lists in lists of these lengths; the only one where there are none.
fn nested(items: &[Value], dims: &[usize]) -> Value {
    match dims {
        [] => items.first().cloned().unwrap_or_default(),
        [_] => items.into(),
        [_, rest @ ..] => {
            items.chunks(rest.iter().product::<usize>().max(1)).map(|items| nested(items, rest)).collect()
        }
    }
}
