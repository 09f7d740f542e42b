//! Normalizations that once had other attributes.

use super::site::Site;
use crate::error::Result;
use crate::tensor::Tensor;

/// Since 9 there is one scale for each channel. Before, `spatial` = 0 meant one for each element of a sample.
pub fn batch(site: &mut Site<'_>) -> Result<bool> {
    let elementwise = site.attributes().int("spatial") == Some(0);
    let had = site.attributes().has("spatial");
    let [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map(|slot| site.node().input(slot));
    // A sample of one axis has no other elements than channels.
    let channels_only = scale.and_then(|v| site.known.rank(v)) == Some(1);
    if !elementwise || channels_only {
        site.graph.remove_attribute(site.id, "spatial");
        return Ok(had);
    }
    let (Some(x), Some(scale), Some(bias), Some(mean), Some(variance)) = (x, scale, bias, mean, variance) else {
        return Err(site.error("lacks an input"));
    };
    if site.node().outputs().iter().skip(1).any(Option::is_some) {
        return Err(site.error("has the outputs of training; export the model for inference"));
    }
    let epsilon = site.attributes().float("epsilon").unwrap_or(1e-5);
    let epsilon = site.scalar("epsilon", epsilon)?;
    let epsilon = site.constant("epsilon", &epsilon);
    let (_, sum) = site.add("Add", vec![Some(variance), Some(epsilon)], vec![]);
    let (_, deviation) = site.add("Sqrt", vec![Some(sum)], vec![]);
    let (_, factor) = site.add("Div", vec![Some(scale), Some(deviation)], vec![]);
    site.graph.set_op_type(site.id, "Sub");
    site.graph.clear_attributes(site.id);
    let inputs = [Some(x), Some(mean), None, None, None];
    inputs.into_iter().enumerate().for_each(|(slot, value)| site.graph.set_input(site.id, slot, value));
    let product = site.behind(site.id, "Mul", &[factor]);
    site.behind(product, "Add", &[bias]);
    Ok(true)
}

/// Since 14 an attribute says that it is one of training, by whose outputs it was told before. Of these, two are gone.
pub fn batch_training(site: &mut Site<'_>) -> Result<bool> {
    let outputs = site.node().outputs().to_vec();
    if outputs.iter().skip(1).all(Option::is_none) {
        return Ok(false);
    }
    if !matches!(outputs[..], [_, Some(_), Some(_), ..]) {
        return Err(site.error("has some outputs of training, but not all; export the model for inference"));
    }
    if outputs.iter().skip(3).flatten().any(|&v| !site.graph.value(v).uses().is_empty()) {
        return Err(site.error(
            "gives out the mean and the variance of a batch, which it does not since opset 14; export the model for \
             inference",
        ));
    }
    for slot in (3..outputs.len()).rev() {
        site.graph.drop_output(site.id, slot);
    }
    site.graph.set_int(site.id, "training_mode", 1);
    Ok(true)
}

/// Since 21 scale and bias have a number for each channel. Before, they had one for each group: as many as an
/// InstanceNormalization has that takes each group for one channel.
pub fn group(site: &mut Site<'_>) -> Result<bool> {
    let Some(groups) = site.attributes().int("num_groups") else { return Err(site.error("has no num_groups")) };
    let input = site.input(0)?;
    let (_, shape) = site.add("Shape", vec![Some(input)], vec![]);
    let target = site.constant("groups", &Tensor::from_i64(vec![3], &[0, groups, -1]));
    let (_, grouped) = site.add("Reshape", vec![Some(input), Some(target)], vec![]);
    site.graph.set_op_type(site.id, "InstanceNormalization");
    site.graph.remove_attribute(site.id, "num_groups");
    site.graph.set_input(site.id, 0, Some(grouped));
    site.behind(site.id, "Reshape", &[shape]);
    Ok(true)
}

/// Before 9 it was an experimental operator of images, with `across_channels` and `normalize_variance`.
pub fn mean_variance(site: &mut Site<'_>) -> Result<bool> {
    let across = site.attributes().int("across_channels").unwrap_or(0) != 0;
    let variance = site.attributes().int("normalize_variance").unwrap_or(1) != 0;
    let axes: &[i64] = if across { &[1, 2, 3] } else { &[2, 3] };
    let input = site.input(0)?;
    site.graph.clear_attributes(site.id);
    if variance {
        site.graph.set_ints(site.id, "axes", axes);
        return Ok(true);
    }
    let (reduce, mean) = site.add("ReduceMean", vec![Some(input)], vec![("keepdims", 1)]);
    site.graph.set_ints(reduce, "axes", axes);
    site.graph.set_op_type(site.id, "Sub");
    site.graph.set_input(site.id, 1, Some(mean));
    Ok(true)
}
