//! Which engines run samples, as the settings say.

use super::Context;
use crate::error::Result;
use crate::exec::{Executor, Level, OnnxRuntime, Tract};
use crate::policy::{Engine, Reference, Settings};
use crate::validate::{self, Runtime};

/// The engine that runs calibration samples.
///
/// # Errors
/// When it is ONNX Runtime, which is not there.
pub fn calibrating(settings: &Settings, context: &Context<'_>) -> Result<Box<dyn Executor>> {
    Ok(match settings.engine {
        Engine::Tract => Box::new(Tract::default()),
        Engine::Onnxruntime => Box::new(OnnxRuntime::load(context.onnxruntime)?),
    })
}

/// The engines that run validation samples.
pub struct Validating {
    own: Box<dyn Executor>,
    runtime: Option<[OnnxRuntime; 2]>,
}

impl Validating {
    /// Those of the settings. Beside a runtime to compare with, it is always tract that runs the models.
    ///
    /// # Errors
    /// When ONNX Runtime is wanted and not there.
    pub fn new(settings: &Settings, context: &Context<'_>) -> Result<Self> {
        let Some(Reference::Onnxruntime) = settings.reference else {
            return Ok(Self { own: calibrating(settings, context)?, runtime: None });
        };
        let at = |level| Ok(OnnxRuntime::load(context.onnxruntime)?.at(level));
        let runtime = Some([at(Level::DisableAll)?, at(Level::Default)?]);
        Ok(Self { own: Box::new(Tract::default()), runtime })
    }

    /// The same as a comparison takes them.
    pub fn engines(&self) -> validate::Engines<'_> {
        let runtime = self.runtime.as_ref().map(|[plain, default]| Runtime {
            name: format!("ONNX Runtime {}", default.version()),
            disable_all: plain,
            default,
        });
        validate::Engines { own: &*self.own, runtime }
    }
}
