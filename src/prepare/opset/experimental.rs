//! Operators that were experiments of ONNX's own domain and ended with opset 10. Converters of their time wrote them, and
//! ONNX Runtime still runs them in models that old; for float32 only.

use super::site::Site;
use crate::error::Result;
use crate::ir::NodeId;
use crate::tensor::Tensor;

/// `alpha x + beta`.
pub fn affine(site: &mut Site<'_>) -> Result<bool> {
    let [alpha, beta] = factors(site)?;
    becomes(site, "Mul", alpha);
    with(site, site.id, "Add", "beta", beta);
    Ok(true)
}

/// `alpha ln(1 + exp(beta x))`.
pub fn parametric_softplus(site: &mut Site<'_>) -> Result<bool> {
    scaled(site, "Softplus")
}

/// `alpha tanh(beta x)`.
pub fn scaled_tanh(site: &mut Site<'_>) -> Result<bool> {
    scaled(site, "Tanh")
}

/// `scale x`.
pub fn scale(site: &mut Site<'_>) -> Result<bool> {
    let scale = site.take_float("scale").unwrap_or(1.0);
    becomes(site, "Mul", scale);
    Ok(true)
}

/// `scale x` and a bias for each channel.
pub fn image_scaler(site: &mut Site<'_>) -> Result<bool> {
    let bias = site.attributes().floats("bias").unwrap_or_default().to_vec();
    let scale = site.take_float("scale").unwrap_or(1.0);
    becomes(site, "Mul", scale);
    let bias = site.constant("bias", &Tensor::from_f32(vec![1, bias.len(), 1, 1], &bias));
    site.behind(site.id, "Add", &[bias]);
    Ok(true)
}

/// Cuts the borders (left, top, right, bottom) off an image, or cuts out height and width behind the first two.
pub fn crop(site: &mut Site<'_>) -> Result<bool> {
    let Some(&[left, top, right, bottom]) = site.attributes().ints("border") else {
        return Err(site.error("its border is not one number for each side"));
    };
    // The end as counted from the end, where nothing has to go.
    let from_end = |border: i64| if border == 0 { i64::MAX } else { border.saturating_neg() };
    let ends = match site.attributes().ints("scale") {
        Some(&[height, width]) => [top.saturating_add(height), left.saturating_add(width)],
        None | Some([]) => [from_end(bottom), from_end(right)],
        Some(_) => return Err(site.error("its scale is not a height and a width")),
    };
    site.graph.set_op_type(site.id, "Slice");
    site.graph.clear_attributes(site.id);
    site.set_ints(1, "starts", &[top, left]);
    site.set_ints(2, "ends", &ends);
    site.set_ints(3, "axes", &[2, 3]);
    Ok(true)
}

/// No later operator does the same, and no runtime that is known runs it.
pub fn gone(site: &mut Site<'_>) -> Result<bool> {
    Err(site.error("was an experimental operator, which opset 10 ended; export the model again with a later opset"))
}

fn scaled(site: &mut Site<'_>, function: &str) -> Result<bool> {
    let [alpha, beta] = factors(site)?;
    becomes(site, "Mul", beta);
    let applied = site.behind(site.id, function, &[]);
    with(site, applied, "Mul", "alpha", alpha);
    Ok(true)
}

fn factors(site: &Site<'_>) -> Result<[f32; 2]> {
    match ["alpha", "beta"].map(|name| site.attributes().float(name)) {
        [Some(alpha), Some(beta)] => Ok([alpha, beta]),
        _ => Err(site.error("needs both alpha and beta")),
    }
}

/// Makes the node an arithmetic one with a number.
fn becomes(site: &mut Site<'_>, op_type: &str, number: f32) {
    site.graph.set_op_type(site.id, op_type);
    site.graph.clear_attributes(site.id);
    site.set_constant(1, "factor", &Tensor::from_f32(vec![], &[number]));
}

fn with(site: &mut Site<'_>, id: NodeId, op_type: &str, what: &str, number: f32) {
    let number = site.constant(what, &Tensor::from_f32(vec![], &[number]));
    site.behind(id, op_type, &[number]);
}
