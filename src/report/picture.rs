//! Samples as small pictures.

use super::details::Picture;
use crate::inputs::{Channels, PictureSettings};
use crate::tensor::{DataType, Tensor};
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

/// The longer side of a picture, in pixels.
const SIDE: u32 = 128;
/// What has a shorter side is no picture.
const LEAST: usize = 8;
/// What is so many times longer than wide is none either.
const LONGEST: usize = 16;

/// The tensor of a sample as a picture: three channels or one, of sides that a picture may have; `None` for any other. Where
/// `settings` say how it became numbers that is undone, otherwise the smallest number is black and the largest white.
pub fn picture(tensor: &Tensor, settings: Option<&PictureSettings>) -> Option<Picture> {
    let [channels, height, width, channels_last] = sides(tensor.shape())?;
    let numbers = tensor.to_f32().ok().filter(|_| !matches!(tensor.dtype(), DataType::Bool))?;
    let at = |channel: usize, pixel: usize| match channels_last {
        0 => numbers[channel * height * width + pixel],
        _ => numbers[pixel * channels + channel],
    };
    let finite = numbers[..channels * height * width].iter().copied().filter(|v| v.is_finite());
    let (low, high) = finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let known = settings.filter(|known| known.meaning.is_none() && known.channels.count() == channels);
    let level = |channel: usize, number: f32| match known {
        Some(known) => {
            let of = |numbers: &[f32], otherwise: f32| numbers.get(channel).copied().unwrap_or(otherwise);
            let scale = known.scale.unwrap_or(1.0);
            (number * of(&known.std, 1.0) + of(&known.mean, 0.0)) / scale
        }
        None => (number - low) / (high - low).max(f32::MIN_POSITIVE) * 255.0,
    };
    let swapped = known.is_some_and(|known| known.channels == Channels::Bgr);
    let mut levels = Vec::with_capacity(height * width * 3);
    for pixel in 0..height * width {
        for channel in 0..3 {
            let channel = if swapped { 2 - channel } else { channel }.min(channels - 1);
            // A NaN becomes black.
            levels.push(level(channel, at(channel, pixel)).round().clamp(0.0, 255.0) as u8);
        }
    }
    let whole = RgbImage::from_raw(u32::try_from(width).ok()?, u32::try_from(height).ok()?, levels)?;
    let longer = whole.width().max(whole.height());
    let small = if longer > SIDE {
        let side = |side: u32| (u64::from(side) * u64::from(SIDE) / u64::from(longer)).max(1) as u32;
        resize(&whole, side(whole.width()), side(whole.height()), FilterType::Triangle)
    } else {
        whole
    };
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.write_image(&small, small.width(), small.height(), ExtendedColorType::Rgb8).ok()?;
    Some(Picture { png, width: small.width(), height: small.height() })
}

/// Channels, height and width of the first picture of a batch, and 1 where the channels come last.
fn sides(shape: &[usize]) -> Option<[usize; 4]> {
    let rest = match shape {
        [batch, rest @ ..] if shape.len() == 4 && *batch > 0 => rest,
        _ if shape.len() == 3 => shape,
        _ => return None,
    };
    let [channels, height, width, last] = match *rest {
        [channels @ (1 | 3), height, width] => [channels, height, width, 0],
        [height, width, channels @ (1 | 3)] => [channels, height, width, 1],
        _ => return None,
    };
    let (short, long) = (height.min(width), height.max(width));
    (short >= LEAST && long <= short.saturating_mul(LONGEST)).then_some([channels, height, width, last])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(picture: &Picture) -> RgbImage {
        image::load_from_memory(&picture.png).expect("a PNG").into_rgb8()
    }

    #[test]
    fn channels_first_and_last_show_the_same_picture() {
        let mut planes = vec![0f32; 3 * 64];
        planes[5] = 2.0; // red at (5, 0)
        planes[64 + 8] = 1.0; // green at (0, 1)
        let first = picture(&Tensor::from_f32(vec![1, 3, 8, 8], &planes), None).expect("a picture");
        let last: Vec<f32> =
            (0..64).flat_map(|pixel| (0..3).map(move |c| (pixel, c))).map(|(p, c)| planes[c * 64 + p]).collect();
        let last = picture(&Tensor::from_f32(vec![8, 8, 3], &last), None).expect("a picture");
        assert_eq!(first, last);
        let pixels = pixels(&first);
        assert_eq!((pixels.get_pixel(5, 0).0, pixels.get_pixel(0, 1).0), ([255, 0, 0], [0, 128, 0]));
    }

    #[test]
    fn a_large_picture_is_made_small_in_proportion() {
        let large = picture(&Tensor::from_f32(vec![1, 1, 512, 256], &vec![0.5; 512 * 256]), None).expect("a picture");
        assert_eq!((large.width, large.height), (64, 128));
    }

    #[test]
    fn what_is_no_picture_is_none() {
        for shape in [
            vec![1, 64],
            vec![1, 4, 8, 8],
            vec![1, 3, 1, 64],
            vec![1, 1, 8, 8 * 17],
            vec![0, 3, 8, 8],
            vec![1, 3, 0, 0],
        ] {
            let count = shape.iter().product();
            assert_eq!(picture(&Tensor::from_f32(shape.clone(), &vec![0.0; count]), None), None, "{shape:?}");
        }
        // Nothing to stretch, nothing finite: a picture all the same.
        assert!(picture(&Tensor::from_f32(vec![1, 8, 8], &[f32::NAN; 64]), None).is_some());
    }
}
