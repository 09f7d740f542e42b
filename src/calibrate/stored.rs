//! Statistics on disk, as JSON: calibrate once, quantize as often as needed without data.

use super::channels::{Channels, Seen};
use super::exact_sum::ExactSum;
use super::histogram::Histogram;
use super::loudness::{Loudness, Octave};
use super::statistics::Statistics;
use crate::error::{Error, Result};
use crate::file;
use crate::quant::{ChannelAxis, GridType, Params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The SHA-256 of a model file, in hexadecimal.
pub type ModelDigest = String;

/// What calibration found out: statistics of each observed value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calibration {
    /// The model that was run.
    pub model: ModelDigest,
    /// Name and version of the engine that ran it, where it was another one than tract.
    pub engine: Option<String>,
    /// How many samples were run.
    pub samples: u64,
    /// Scale and zero point of the uint8 grid of each input whose samples were pictures, where their levels are one: it has no
    /// error.
    pub pictures: BTreeMap<String, (f32, i32)>,
    /// The powers of two that the channels of values between equalized layers were divided by, by the names that they had: the
    /// statistics are of the model in which they are.
    pub equalized: BTreeMap<String, Vec<i32>>,
    /// How much of the channels ahead of a Relu went into the biases behind it, by the names that values had: the statistics are of
    /// the model in which it did.
    pub absorbed: BTreeMap<String, Vec<f32>>,
    /// The powers of two that the channels of some values of the model were divided by, before products with their weights: the
    /// statistics are of the model in which they are.
    pub smoothed: BTreeMap<String, Vec<i32>>,
    /// The same of channels ahead of stored weights.
    pub protected: BTreeMap<String, Vec<i32>>,
    /// Statistics by value name.
    pub values: BTreeMap<String, Statistics>,
}

const FORMAT: &str = file::STATISTICS;
const VERSION: u32 = 3;

/// What every version begins with.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: String,
    version: u32,
    model: ModelDigest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    samples: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pictures: BTreeMap<String, (f32, i32)>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    equalized: BTreeMap<String, Vec<i32>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    absorbed: BTreeMap<String, Vec<f32>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    smoothed: BTreeMap<String, Vec<i32>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    protected: BTreeMap<String, Vec<i32>>,
    values: BTreeMap<String, StoredValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredValue {
    samples: u64,
    min: f32,
    max: f32,
    lows: Vec<i64>,
    highs: Vec<i64>,
    bin_width_log2: i32,
    /// By the octave of the samples' energy.
    octaves: BTreeMap<i32, StoredOctave>,
    /// The axis of the channels of a position: 1, or -1 for the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    positions: Option<i8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    channels: Option<StoredChannels>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredOctave {
    zeros: u64,
    bins: Vec<(i32, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outliers: Option<StoredOutliers>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredOutliers {
    zeros: u64,
    bins: Vec<(i32, u64)>,
}

/// The extremes of each channel; of none where nothing was seen, `null` where samples differ in the number of channels.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredChannels {
    /// 1, or -1 for the last.
    axis: i8,
    min: Option<Vec<f32>>,
    max: Option<Vec<f32>>,
    /// The limbs of the sum of each channel's means.
    #[serde(default)]
    means: Vec<Vec<i64>>,
}

impl Calibration {
    /// The JSON text. Equal statistics give equal text.
    ///
    /// # Errors
    /// Only when the text passes the memory.
    pub fn to_json(&self) -> Result<String> {
        let values = self.values.iter().map(|(name, statistics)| (name.clone(), store(statistics))).collect();
        let (format, version) = (FORMAT.to_owned(), VERSION);
        let (model, engine, pictures) = (self.model.clone(), self.engine.clone(), self.pictures.clone());
        let (equalized, smoothed, samples) = (self.equalized.clone(), self.smoothed.clone(), self.samples);
        let (protected, absorbed) = (self.protected.clone(), self.absorbed.clone());
        let stored = Stored {
            format,
            version,
            model,
            engine,
            samples,
            pictures,
            equalized,
            absorbed,
            smoothed,
            protected,
            values,
        };
        serde_json::to_string(&stored).map_err(Error::other)
    }

    /// Reads what [`Calibration::to_json`] wrote.
    ///
    /// # Errors
    /// When the file cannot be read, or does not hold statistics.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
        let wrong = |e: serde_json::Error| Error::file(path, format!("does not hold calibration statistics: {e}"));
        let header: Header = serde_json::from_str(&text).map_err(wrong)?;
        if header.format != FORMAT || header.version != VERSION {
            let found = format!("{} version {}", header.format, header.version);
            return Err(Error::file(
                path,
                format!("expected {FORMAT} version {VERSION}, found {found}; calibrate again"),
            ));
        }
        let stored: Stored = serde_json::from_str(&text).map_err(wrong)?;
        let mut values = BTreeMap::new();
        for (name, value) in stored.values {
            let damaged =
                || Error::file(path, format!("the statistics of value {name:?} are damaged; calibrate again"));
            values.insert(name.clone(), restore(&value).ok_or_else(damaged)?);
        }
        let Stored { model, engine, samples, pictures, equalized, absorbed, smoothed, protected, .. } = stored;
        for (name, &(scale, zero_point)) in &pictures {
            let grid = Params { dtype: GridType::Uint8, scale, zero_point };
            grid.check()
                .map_err(|why| Error::file(path, format!("the pictures of {name:?} have {why}; calibrate again")))?;
        }
        Ok(Self { model, engine, samples, pictures, equalized, absorbed, smoothed, protected, values })
    }

    /// The digest of the statistics, for the metadata of what is made with them.
    ///
    /// # Errors
    /// Only when their text passes the memory.
    pub fn digest(&self) -> Result<String> {
        Ok(file::digest_bytes(self.to_json()?.as_bytes()))
    }
}

fn store(statistics: &Statistics) -> StoredValue {
    let (min, max) = statistics.range();
    let octaves = statistics.loudness.octaves();
    StoredValue {
        samples: statistics.samples,
        min,
        max,
        lows: statistics.lows.limbs(),
        highs: statistics.highs.limbs(),
        bin_width_log2: statistics.histogram().exponent(),
        octaves: octaves.iter().map(|(&octave, numbers)| (octave, store_octave(numbers))).collect(),
        positions: statistics.positions.map(store_axis),
        channels: statistics.channels.as_ref().map(store_channels),
    }
}

fn store_octave(octave: &Octave) -> StoredOctave {
    let (zeros, bins) = octave.all.parts();
    let outliers = (octave.outliers.total() > 0).then(|| octave.outliers.parts());
    StoredOctave { zeros, bins, outliers: outliers.map(|(zeros, bins)| StoredOutliers { zeros, bins }) }
}

fn restore_octave(stored: &StoredOctave, exponent: i32) -> Option<Octave> {
    let outliers = match &stored.outliers {
        Some(outliers) => Histogram::from_parts(exponent, outliers.zeros, &outliers.bins)?,
        None => Histogram::default(),
    };
    Some(Octave { all: Histogram::from_parts(exponent, stored.zeros, &stored.bins)?, outliers })
}

fn store_axis(axis: ChannelAxis) -> i8 {
    match axis {
        ChannelAxis::Second => 1,
        ChannelAxis::Last => -1,
    }
}

fn restore_axis(stored: i8) -> Option<ChannelAxis> {
    match stored {
        1 => Some(ChannelAxis::Second),
        -1 => Some(ChannelAxis::Last),
        _ => None,
    }
}

fn store_channels(channels: &Channels) -> StoredChannels {
    let axis = store_axis(channels.axis);
    let (min, max, means) = match &channels.seen {
        Seen::Nothing => (Some(vec![]), Some(vec![]), vec![]),
        Seen::Ends(ends, sums) => {
            let (min, max) = ends.iter().copied().unzip();
            (Some(min), Some(max), sums.iter().map(ExactSum::limbs).collect())
        }
        Seen::Unlike => (None, None, vec![]),
    };
    StoredChannels { axis, min, max, means }
}

fn restore_channels(stored: &StoredChannels) -> Option<Channels> {
    let axis = restore_axis(stored.axis)?;
    let seen = match (&stored.min, &stored.max) {
        (Some(min), Some(max)) if min.is_empty() && max.is_empty() => Seen::Nothing,
        (Some(min), Some(max)) if min.len() == max.len() && min.len() == stored.means.len() => {
            let sums = stored.means.iter().map(|limbs| ExactSum::from_limbs(limbs)).collect::<Option<_>>()?;
            Seen::Ends(min.iter().copied().zip(max.iter().copied()).collect(), sums)
        }
        (None, None) => Seen::Unlike,
        _ => return None,
    };
    let sound = |&(low, high): &(f32, f32)| low.is_finite() && high.is_finite() && low <= 0.0 && high >= 0.0;
    (!matches!(&seen, Seen::Ends(ends, _) if !ends.iter().all(sound))).then_some(Channels { axis, seen })
}

fn restore(stored: &StoredValue) -> Option<Statistics> {
    if !(stored.min.is_finite() && stored.max.is_finite() && stored.min <= stored.max) {
        return None;
    }
    let octave = |(&octave, numbers)| Some((octave, restore_octave(numbers, stored.bin_width_log2)?));
    Some(Statistics {
        loudness: Loudness::from_octaves(stored.octaves.iter().map(octave).collect::<Option<_>>()?)?,
        positions: match stored.positions {
            Some(axis) => Some(restore_axis(axis)?),
            None => None,
        },
        extremes: (stored.samples > 0).then_some((stored.min, stored.max)),
        samples: stored.samples,
        lows: ExactSum::from_limbs(&stored.lows)?,
        highs: ExactSum::from_limbs(&stored.highs)?,
        channels: match &stored.channels {
            Some(channels) => Some(restore_channels(channels)?),
            None => None,
        },
    })
}
