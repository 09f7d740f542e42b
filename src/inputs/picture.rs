//! One picture file becomes one tensor: decode, turn upright, resize, scale, order the channels and axes.

use super::jpeg;
use super::preprocess::{Channels, Fit, Layout, PictureSettings};
use super::resize::{Window, resize};
use crate::error::{Error, Result};
use crate::tensor::{DataType, Tensor};
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Seek};
use std::path::Path;

/// A picture's longest side in pixels, as much as a JPEG can have.
const MAX_SIDE: u32 = 65_535;
/// A picture's pixels: a decompression bomb has more.
const MAX_PIXELS: u64 = 100_000_000;
/// Bytes that decoding may take, and that the file itself may have.
const MAX_BYTES: u64 = 512 << 20;

/// An upright 8-bit picture of interleaved channels.
struct Picture {
    height: usize,
    width: usize,
    levels: Vec<u8>,
}

/// Reads the picture at `path` into a tensor of `settings.shape` and `settings.dtype`.
///
/// # Errors
/// When the file is not a picture that can be decoded, or larger than what a picture reasonably is.
pub(super) fn read(path: &Path, settings: &PictureSettings) -> Result<Tensor> {
    let mut picture = decode(path)?;
    let levels = if settings.channels == Channels::Grey {
        picture.levels = luma(&picture.levels);
        fit::<1>(picture, settings)
    } else {
        fit::<3>(picture, settings)
    };
    let bytes = match (settings.scale, settings.dtype) {
        (None, _) => arrange(&levels, settings, |_, level| level),
        (Some(scale), DataType::Float16) => {
            elements(&levels, settings, scale, |v| half::f16::from_f32(v).to_le_bytes())
        }
        (Some(scale), DataType::Bfloat16) => {
            elements(&levels, settings, scale, |v| half::bf16::from_f32(v).to_le_bytes())
        }
        (Some(scale), DataType::Float64) => elements(&levels, settings, scale, |v| f64::from(v).to_le_bytes()),
        (Some(scale), _) => elements(&levels, settings, scale, f32::to_le_bytes),
    };
    let bytes = if settings.repeats == 1 { bytes } else { bytes.repeat(settings.repeats) };
    let made = Tensor::new(settings.dtype, settings.shape.clone(), bytes.into());
    let fed = made.and_then(|tensor| settings.meaning.as_ref().map_or(Ok(tensor.clone()), |m| m.quantize(&tensor)));
    fed.map_err(|error| Error::file(path, error))
}

fn decode(path: &Path) -> Result<Picture> {
    let file = File::open(path).map_err(|error| Error::file(path, error))?;
    let bytes = file.metadata().map_err(|error| Error::file(path, error))?.len();
    if bytes > MAX_BYTES {
        return Err(Error::file(path, format!("{bytes} bytes are too many for a picture; at most 512 MiB are read")));
    }
    decode_file(file, bytes).map_err(|why| Error::file(path, format!("not a readable picture: {why}")))
}

fn decode_file(file: File, bytes: u64) -> std::result::Result<Picture, String> {
    let text = |error: ImageError| match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            "truncated: the file ends before the picture does".to_owned()
        }
        other => other.to_string(),
    };
    let mut file = BufReader::new(file);
    let is_jpeg = jpeg::is_jpeg(&mut file).map_err(|error| error.to_string())?;
    if is_jpeg {
        jpeg::check_whole(&mut file)?;
        file.rewind().map_err(|error| error.to_string())?;
    }
    // By content, as every viewer does: many a .jpg is a PNG.
    let mut reader = ImageReader::new(file).with_guessed_format().map_err(|error| error.to_string())?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(text)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MAX_PIXELS || decoder.total_bytes() > MAX_BYTES {
        return Err(format!("{width}x{height} pixels; at most 100 Mpixel and 512 MiB are decoded"));
    }
    if is_jpeg && !jpeg::can_hold(bytes, pixels) {
        return Err(format!("damaged: {bytes} bytes cannot hold the {width}x{height} pixels that they claim"));
    }
    // A damaged orientation tag is no reason to refuse a picture that can be seen.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(text)?;
    picture.apply_orientation(orientation);
    // Drops alpha, repeats grey three times, reduces 16 bits to 8.
    let picture = picture.into_rgb8();
    let (width, height) = picture.dimensions();
    Ok(Picture { height: height as usize, width: width as usize, levels: picture.into_raw() })
}

/// RGB to grey after ITU-R 601 in 16-bit fixed point, as Pillow's mode `L` has it.
fn luma(rgb: &[u8]) -> Vec<u8> {
    let weigh = |pixel: &[u8]| -> u32 {
        pixel.iter().zip([19_595, 38_470, 7_471]).map(|(&level, weight)| u32::from(level) * weight).sum()
    };
    rgb.chunks_exact(3).map(|pixel| ((weigh(pixel) + 0x8000) >> 16) as u8).collect()
}

/// Brings the picture to the wanted size.
fn fit<const C: usize>(picture: Picture, settings: &PictureSettings) -> Vec<u8> {
    let Picture { height, width, levels } = picture;
    let [to_height, to_width] = settings.size;
    let full = match settings.fit {
        Fit::Stretch => [to_height, to_width],
        Fit::Crop => {
            let factor = (to_width as f64 / width as f64).max(to_height as f64 / height as f64);
            let scaled = |side: usize, least: usize| least.max((side as f64 * factor).round_ties_even() as usize);
            [scaled(height, to_height), scaled(width, to_width)]
        }
    };
    if [height, width] == full && full == settings.size {
        return levels;
    }
    let (top, left) = ((full[0] - to_height) / 2, (full[1] - to_width) / 2);
    resize::<C>(&levels, [height, width], full, Window { left, top, width: to_width, height: to_height })
}

/// The bytes of `(level * scale - mean) / std`, calculated in float32, in the model's order.
fn elements<const N: usize>(
    levels: &[u8],
    settings: &PictureSettings,
    scale: f32,
    encode: impl Fn(f32) -> [u8; N],
) -> Vec<u8> {
    let table = |channel: usize| -> Vec<[u8; N]> {
        let mean = settings.mean.get(channel).copied().unwrap_or(0.0);
        let std = settings.std.get(channel).copied().unwrap_or(1.0);
        (0..=u8::MAX).map(|level| encode((f32::from(level) * scale - mean) / std)).collect()
    };
    // Every channel has only 256 levels: the arithmetic is done once for each.
    let tables: Vec<Vec<[u8; N]>> = (0..settings.channels.count()).map(table).collect();
    arrange(levels, settings, |channel, level| tables[channel][usize::from(level)]).into_flattened()
}

/// Puts interleaved RGB or grey levels into the model's order of channels and axes, each through `value`.
fn arrange<T>(levels: &[u8], settings: &PictureSettings, value: impl Fn(usize, u8) -> T) -> Vec<T> {
    let count = settings.channels.count();
    let source = |channel: usize| if settings.channels == Channels::Bgr { count - 1 - channel } else { channel };
    let mut result = Vec::with_capacity(levels.len());
    match settings.layout {
        Layout::Nchw => {
            for channel in 0..count {
                let from = source(channel);
                result.extend(levels.chunks_exact(count).map(|pixel| value(channel, pixel[from])));
            }
        }
        Layout::Nhwc => {
            for pixel in levels.chunks_exact(count) {
                result.extend((0..count).map(|channel| value(channel, pixel[source(channel)])));
            }
        }
    }
    result
}
