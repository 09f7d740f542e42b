//! Inputs that take the levels of a picture, where the policy says `io.fold_normalization`.

use crate::error::{Error, Result};
use crate::inputs::{InputSpec, Levels};
use crate::ir::Model;
use crate::plan::no_integers;
use crate::policy::{IoType, Settings};
use crate::prepare::{self, TakesLevels};

/// What asks for it.
const KEY: &str = "io.fold_normalization";

/// An input that takes levels.
pub struct LevelInput {
    /// Its name.
    pub name: String,
    /// What levels are to the original model.
    pub levels: Levels,
    /// What they are to the prepared one.
    pub taken: TakesLevels,
}

/// Lets the uint8 inputs of a prepared model take levels, where the settings say so.
///
/// # Errors
/// When they cannot, exactly: why.
pub fn fold_normalization(model: &mut Model, settings: &Settings) -> Result<Vec<LevelInput>> {
    if !settings.io.fold_normalization {
        return Ok(Vec::new());
    }
    let Some(data) = settings.calibration.as_ref().or(settings.validation.samples()) else {
        let why = "io.fold_normalization needs data.preprocess, which says how levels become the model's input; there is no data";
        return Err(settings.blame_key(KEY, Error::other(why)));
    };
    let wanted = settings.io.inputs.as_ref();
    let mut all = Vec::new();
    for value in model.graph.inputs().collect::<Vec<_>>() {
        let name = model.graph.value(value).name().to_owned();
        let uint8 = wanted.and_then(|side| side.of(&name)) == Some(IoType::Uint8);
        let Some(ty) = model.graph.stated_type(value) else { continue };
        if !uint8 || no_integers(&model.graph, value, true).is_some() {
            continue;
        }
        let wrong = |why: String| {
            let what = format!("io.fold_normalization cannot be exact: {why}; leave it out, or change data.preprocess");
            settings.blame_key(KEY, Error::value(&name, what))
        };
        let levels =
            data.source.preprocess.levels(&InputSpec { name: name.clone(), ty, meaning: None }).map_err(wrong)?;
        let taken = prepare::take_levels(&mut model.graph, value, &levels)?.map_err(wrong)?;
        tracing::info!(input = name, zero_point = taken.zero_point, folded = taken.changed, "takes levels");
        all.push(LevelInput { name, levels, taken });
    }
    if cfg!(debug_assertions) {
        model.graph.verify()?;
    }
    Ok(all)
}
