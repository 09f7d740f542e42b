//! Operators that came to take what was left out for something else, or that have other words for the same.

use super::site::Site;
use crate::error::Result;

/// Since 20, when it came to sample more than pictures.
pub fn grid_sample(site: &mut Site<'_>) -> Result<bool> {
    let later = match site.attributes().text("mode") {
        Some("bilinear") => "linear",
        Some("bicubic") => "cubic",
        _ => return Ok(false),
    };
    site.graph.set_text(site.id, "mode", later);
    Ok(true)
}

/// Since 16 regions lie half a pixel further to the front, unless it says otherwise.
pub fn roi_align(site: &mut Site<'_>) -> Result<bool> {
    site.graph.set_text(site.id, "coordinate_transformation_mode", "output_half_pixel");
    Ok(true)
}

/// Since 18 a Split into equal parts says how many.
pub fn split(site: &mut Site<'_>) -> Result<bool> {
    if site.node().input(1).is_some() {
        return Ok(false);
    }
    let parts = site.node().outputs().len();
    site.graph.set_int(site.id, "num_outputs", parts as i64);
    Ok(true)
}
