//! Which engines run samples, as the settings say.

use super::Context;
use crate::error::{Error, Result};
use crate::exec::{Executor, Level, OnnxRuntime, Tract};
use crate::inputs::{Dataset, Kind, Preprocess};
use crate::ir::Model;
use crate::policy::{Engine, Reference, Settings, StressCases};
use crate::validate::{self, Runtime, Stress, StressOptions};

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
pub struct Validating<'a> {
    settings: &'a Settings,
    own: Box<dyn Executor>,
    runtime: Option<[OnnxRuntime; 2]>,
    /// The crash tests that are wanted, and how pictures become samples, as far as the settings say it.
    stress: Option<(StressCases, Preprocess)>,
}

impl<'a> Validating<'a> {
    /// Those of the settings. Beside a runtime to compare with, it is always tract that runs the models.
    ///
    /// # Errors
    /// When ONNX Runtime is wanted and not there.
    pub fn new(settings: &'a Settings, context: &Context<'_>) -> Result<Self> {
        let data = settings.samples();
        let preprocess = data.map_or_else(Preprocess::default, |data| data.source.preprocess.clone());
        let stress = settings.stress.clone().map(|cases| (cases, preprocess));
        let Some(Reference::Onnxruntime) = settings.reference else {
            return Ok(Self { settings, own: calibrating(settings, context)?, runtime: None, stress });
        };
        let at = |level| Ok(OnnxRuntime::load(context.onnxruntime)?.at(level));
        let runtime = Some([at(Level::DisableAll)?, at(Level::Default)?]);
        Ok(Self { settings, own: Box::new(Tract::default()), runtime, stress })
    }

    /// Whether crash tests are wanted.
    pub fn stresses(&self) -> bool {
        self.stress.is_some()
    }

    /// Runs the crash tests that are wanted, beside samples where there are some; `None` where none are wanted.
    ///
    /// # Errors
    /// When one is asked for that there is not, or a sample is bad.
    pub fn stress(
        &self,
        float: &Model,
        quantized: &Model,
        samples: Option<(&Dataset, &[usize])>,
        context: &Context<'_>,
    ) -> Result<Option<Stress>> {
        let Some((cases, preprocess)) = &self.stress else { return Ok(None) };
        let pictures = samples.is_some_and(|(data, _)| data.describe().kind == Kind::Pictures);
        let preprocess = (pictures || *preprocess != Preprocess::default()).then_some(preprocess);
        let blame = |at: usize, why: Error| self.settings.blame_key(&format!("data.stress[{at}]"), why);
        let options = StressOptions { cases, blame: &blame, preprocess, samples };
        let (threads, progress) = (context.threads, context.progress);
        validate::stress(float, quantized, &self.engines(), &options, threads, progress).map(Some)
    }

    /// The crash tests alone.
    ///
    /// # Errors
    /// As [`Self::stress`], and with `why` there are no samples where no crash tests are wanted.
    pub fn stress_alone(
        &self,
        float: &Model,
        quantized: &Model,
        why: &str,
        context: &Context<'_>,
    ) -> Result<validate::Comparison> {
        let stress = self.stress(float, quantized, None, context)?.ok_or_else(|| Error::other(why))?;
        Ok(validate::Comparison::of_stress(self.own.name(), stress))
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
