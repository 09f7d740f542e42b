//! Analytic bias correction: the error of a stored weight times what its layer reads in the mean is a shift of what the layer makes, and
//! goes out of its bias. No samples are needed where BatchNormalization tells what is read in the mean.
//!
//! After Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction (2019, arXiv:1906.04721), section 4.2 and
//! appendix C. One thing differs: means go through any function of one number, not through Relu alone, for which a sum over points of
//! the normal distribution stands in the place of a formula for each.

mod flow;
mod functions;
mod spread;

pub use flow::{Mean, means};

use super::equalize::Form;

/// What each output of a layer has in the mean, but for its bias, where it reads these means: its weights lie in this form. Of a layer
/// that spreads each number over so many `steps`, an output meets one of that many weights.
pub fn made(form: Form, weights: &[f32], read: &Mean, steps: usize) -> Option<Vec<f64>> {
    let each = form.inputs.checked_div(read.channels.len()).filter(|each| each * read.channels.len() == form.inputs)?;
    if weights.len() != form.count() || each > 1 && !read.flattened {
        return None;
    }
    let mut made = vec![0.0; form.outputs];
    for (index, &weight) in weights.iter().enumerate() {
        let (output, input) = form.place(index);
        made[output] += f64::from(weight) * read.channels[input / each];
    }
    made.iter_mut().for_each(|mean| *mean /= steps.max(1) as f64);
    Some(made)
}

#[cfg(test)]
mod tests;
