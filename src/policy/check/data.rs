//! The samples of a policy, checked.

use super::super::raw::{ChannelsName, FitName, LayoutName, OnBadFileName, Raw, Reference, ValidationData};
use super::super::settings::{CALIBRATION_SAMPLES, Data, StressCases, VALIDATION_SAMPLES, Validation};
use crate::error::Result;
use crate::inputs::{Channels, Fit, Layout, OnBadFile, Preprocess, Source};
use std::path::PathBuf;

/// The largest height and width of a picture.
const MAX_SIZE: usize = 16384;

impl Raw {
    /// The samples that calibrate, those that validate, and the recording that the latter come from.
    pub(super) fn data(&self) -> Result<(Option<Data>, Validation, Option<PathBuf>)> {
        let data = self.data.clone().unwrap_or_default();
        let preprocess = self.checked_preprocess()?;
        let calibration = data.calibration.map(|c| {
            let source = self.source("data.calibration", c.path, None, preprocess.clone(), c.on_bad_file)?;
            Ok(Data { source, samples: self.samples("data.calibration.samples", c.samples, CALIBRATION_SAMPLES)? })
        });
        let references = data.reference.unwrap_or_default();
        let (runtimes, recorded): (Vec<_>, Vec<_>) =
            references.into_iter().partition(|n| Reference::named(n).is_some());
        if runtimes.len() > 1 || recorded.len() > 1 {
            let why =
                "reference is onnxruntime, one recording (an .npz, or a folder of ONNX test data), or one of each";
            return Err(self.wrong("data.reference", why));
        }
        let recorded = recorded.into_iter().next();
        if let Some(path) = &recorded
            && data.validation.as_ref().is_some_and(|v| v.path.is_some())
        {
            let mut why = "a recording brings its own samples; leave out either data.reference or data.validation.path (--data of validate)".to_owned();
            if !path.exists() {
                let found = path.display();
                why = format!(
                    "there is no {found}; reference is onnxruntime, or a recording: an .npz, or a folder of ONNX test data"
                );
            }
            return Err(self.wrong("data.reference", why));
        }
        let validation = match data.validation {
            None if recorded.is_some() => self.recorded(recorded.as_ref(), ValidationData::default(), preprocess)?,
            Some(v) if recorded.is_some() && v.samples != Some(0) => self.recorded(recorded.as_ref(), v, preprocess)?,
            None => Validation::HeldBack,
            Some(v) if v.samples == Some(0) => Validation::Off,
            Some(v) => {
                let source = self.source("data.validation", v.path, v.labels, preprocess, v.on_bad_file)?;
                Validation::Samples(Data { source, samples: v.samples.unwrap_or(VALIDATION_SAMPLES) })
            }
        };
        Ok((calibration.transpose()?, validation, recorded))
    }

    /// The crash tests to run.
    pub(super) fn stress(&self) -> Result<Option<StressCases>> {
        let Some(names) = self.data.as_ref().and_then(|data| data.stress.as_ref()) else { return Ok(None) };
        if names.is_empty() || names.iter().any(|name| name.trim().is_empty()) {
            return Err(self.wrong("data.stress", "stress is all, or the names of crash tests; found none"));
        }
        Ok(Some(match names.iter().any(|name| name == "all") {
            true => StressCases::All,
            false => StressCases::Named(names.clone()),
        }))
    }

    /// The samples of a recording.
    fn recorded(&self, path: Option<&PathBuf>, v: ValidationData, preprocess: Preprocess) -> Result<Validation> {
        let source = self.source("data.reference", path.cloned(), v.labels, preprocess, v.on_bad_file)?;
        Ok(Validation::Samples(Data { source, samples: v.samples.unwrap_or(VALIDATION_SAMPLES) }))
    }

    fn source(
        &self,
        key: &str,
        path: Option<PathBuf>,
        labels: Option<PathBuf>,
        preprocess: Preprocess,
        on_bad_file: Option<OnBadFileName>,
    ) -> Result<Source> {
        let Some(path) = path else {
            return Err(self.wrong(key, format!("{key} has no path; say where the samples are")));
        };
        let on_bad_file = match on_bad_file {
            None | Some(OnBadFileName::Stop) => OnBadFile::Stop,
            Some(OnBadFileName::Skip) => OnBadFile::Skip,
        };
        Ok(Source { path, labels, preprocess, on_bad_file })
    }

    fn samples(&self, key: &str, samples: Option<usize>, default: usize) -> Result<usize> {
        match samples {
            Some(0) => Err(self.wrong(key, "samples must be at least 1; found 0")),
            _ => Ok(samples.unwrap_or(default)),
        }
    }

    fn checked_preprocess(&self) -> Result<Preprocess> {
        let raw = self.data.as_ref().and_then(|data| data.preprocess.clone()).unwrap_or_default();
        if let Some(size) = raw.size
            && size.iter().any(|side| !(1..=MAX_SIZE).contains(side))
        {
            let message = format!("size is height and width, each from 1 to {MAX_SIZE}; found {size:?}");
            return Err(self.wrong("data.preprocess.size", message));
        }
        let scale = raw.scale.map(|scale| scale as f32);
        if scale.is_some_and(|scale| scale == 0.0 || !scale.is_finite()) {
            return Err(self.wrong("data.preprocess.scale", "scale must be a finite number other than 0"));
        }
        let mean = self.for_channels("mean", raw.mean)?;
        let std = self.for_channels("std", raw.std)?;
        if std.iter().any(|std| *std <= 0.0) {
            return Err(self.wrong("data.preprocess.std", "std divides, so it must be above 0"));
        }
        Ok(Preprocess {
            size: raw.size,
            fit: match raw.fit {
                None | Some(FitName::Stretch) => Fit::Stretch,
                Some(FitName::Crop) => Fit::Crop,
            },
            layout: raw.layout.map(|layout| match layout {
                LayoutName::Nchw => Layout::Nchw,
                LayoutName::Nhwc => Layout::Nhwc,
            }),
            channels: raw.channels.map(|channels| match channels {
                ChannelsName::Rgb => Channels::Rgb,
                ChannelsName::Bgr => Channels::Bgr,
                ChannelsName::Grey => Channels::Grey,
            }),
            scale,
            mean,
            std,
        })
    }

    /// One number for all channels, or one for each of three; empty where the key is left out.
    fn for_channels(&self, key: &str, numbers: Option<Vec<f64>>) -> Result<Vec<f32>> {
        let Some(numbers) = numbers else { return Ok(Vec::new()) };
        let at = format!("data.preprocess.{key}");
        if !matches!(numbers.len(), 1 | 3) {
            let message = format!("{key} is one number, or three for three channels; found {}", numbers.len());
            return Err(self.wrong(&at, message));
        }
        let numbers: Vec<f32> = numbers.into_iter().map(|number| number as f32).collect();
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(self.wrong(&at, format!("{key} must be finite")));
        }
        Ok(numbers)
    }
}
