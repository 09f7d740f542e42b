//! The extremes and the mean of each channel.

use super::*;
use crate::quant::ChannelAxis::{self, Last, Second};

fn shaped(axis: ChannelAxis, samples: &[(&[usize], Vec<f32>)]) -> Statistics {
    let mut statistics = Statistics::by_channel(Some(axis));
    samples.iter().for_each(|(shape, values)| assert!(statistics.add_shaped(shape, values)));
    statistics
}

#[test]
fn every_shape_and_axis_is_taken_apart_by_channels() {
    for shape in [&[2, 5, 7, 3][..], &[1, 3, 40], &[3, 4, 20], &[1, 6, 1, 1], &[4, 9], &[2, 3, 2, 33]] {
        let samples = [1, 2].map(|seed| (shape, bell(shape.iter().product(), seed)));
        for axis in [Second, Last] {
            let at = if axis == Second { 1 } else { shape.len() - 1 };
            let inner: usize = shape[at + 1..].iter().product();
            let wanted = (0..shape[at]).map(|channel| {
                let all = samples.iter().flat_map(|(_, values)| values.iter().enumerate());
                let own = all.filter(|(i, _)| i / inner % shape[at] == channel);
                own.fold((0f32, 0f32), |(low, high), (_, &v)| (low.min(v), high.max(v)))
            });
            let statistics = shaped(axis, &samples);
            let wanted: Vec<_> = wanted.collect();
            assert_eq!(statistics.channels(axis), Some(wanted.as_slice()), "{shape:?} {axis:?}");
            let means = statistics.channel_means(axis).expect("means");
            for (channel, mean) in means.iter().enumerate() {
                let all = samples.iter().flat_map(|(_, values)| values.iter().enumerate());
                let own: Vec<f64> =
                    all.filter(|(i, _)| i / inner % shape[at] == channel).map(|(_, &v)| f64::from(v)).collect();
                let plain = own.iter().sum::<f64>() / own.len() as f64;
                assert!((f64::from(*mean) - plain).abs() < 1e-6, "{shape:?} {axis:?}: {mean} is not {plain}");
            }
            // Everything else is as without them.
            let plain = of_samples(samples.iter().map(|(_, values)| values.as_slice()));
            assert_eq!(Statistics { channels: None, ..statistics }, plain);
        }
    }
}

#[test]
fn channels_do_not_depend_on_the_order_of_the_samples_either() {
    let samples: Vec<(&[usize], Vec<f32>)> = (0..7).map(|i| (&[1, 4, 3, 3][..], bell(36, i))).collect();
    let whole = shaped(Second, &samples);
    let mut merged = Statistics::by_channel(Some(Second));
    for part in samples.chunks(2).rev() {
        merged.merge(&shaped(Second, part));
        merged.merge(&Statistics::by_channel(Some(Second)));
    }
    assert_eq!(whole, merged);
    assert_eq!(whole.channels(Second).map(<[_]>::len), Some(4));
}

#[test]
fn samples_that_differ_in_the_number_of_channels_have_none() {
    let four: (&[usize], _) = (&[1, 4, 3], bell(12, 1));
    let three: (&[usize], _) = (&[1, 3, 4], bell(12, 2));
    let flat: (&[usize], _) = (&[12], bell(12, 3));
    for samples in [[four.clone(), three.clone()], [three.clone(), four.clone()], [four.clone(), flat]] {
        let unlike = shaped(Second, &samples);
        assert_eq!(unlike.channels(Second), None);
        let mut merged = shaped(Second, &samples[..1]);
        merged.merge(&shaped(Second, &samples[1..]));
        assert_eq!(merged, unlike);
        // For good.
        merged.merge(&shaped(Second, std::slice::from_ref(&four)));
        assert_eq!(merged.channels(Second), None);
    }
}

#[test]
fn only_what_was_asked_for_is_there() {
    assert_eq!(of(&bell(10, 1)).channels(Last), None);
    assert_eq!(Statistics::by_channel(Some(Last)).channels(Last), None);
    let statistics = shaped(Last, &[(&[2, 5], bell(10, 1))]);
    assert!(statistics.channels(Last).is_some() && statistics.channels(Second).is_none());
}

#[test]
fn a_sample_that_is_refused_leaves_no_trace_in_a_channel() {
    let mut statistics = shaped(Second, &[(&[1, 2, 2], bell(4, 1))]);
    let before = statistics.clone();
    assert!(!statistics.add_shaped(&[1, 2, 2], &[9.0, 9.0, f32::NAN, 9.0]));
    assert_eq!(statistics, before);
}
