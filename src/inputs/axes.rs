//! Which axis of a model's input is what, when pictures feed it: batch, channels, height, width.

use super::Layout;

/// The axes of an input that a picture can feed; a size of `None` varies.
pub(super) struct Axes {
    /// The size of the batch where there is such an axis, 1 where it varies.
    pub batch: Option<usize>,
    pub layout: Layout,
    /// Whether there is an axis of channels; not so for `[H,W]` and `[N,H,W]`.
    pub has_channel_axis: bool,
    pub channels: Option<usize>,
    pub height: Option<usize>,
    pub width: Option<usize>,
}

/// Tells batch, channels, height and width apart. A channel axis is one of size 1 or 3, unless `layout` names it.
///
/// # Errors
/// When the dimensions are not those of a picture, or it cannot be told which axis is which.
pub(super) fn find_axes(dims: &[Option<usize>], layout: Option<Layout>) -> std::result::Result<Axes, String> {
    let bare = |batch, height, width| {
        Ok(Axes { batch, layout: Layout::Nchw, has_channel_axis: false, channels: Some(1), height, width })
    };
    let (batch, [a, b, c]) = match *dims {
        [batch, a, b, c] => (Some(batch.unwrap_or(1)), [a, b, c]),
        // No axis of 1 or 3: a batch of grey pictures.
        [batch, height, width] if channel_layout(batch, width, layout)?.is_none() => {
            return bare(Some(batch.unwrap_or(1)), height, width);
        }
        [a, b, c] => (None, [a, b, c]),
        // One row or an open first dimension is a batch of feature vectors, not a picture.
        [height @ Some(2..), width] => return bare(None, height, width),
        _ => return Err("it should have 4 dimensions (or 3 without a batch)".to_owned()),
    };
    let has_channel_axis = true;
    Ok(match channel_layout(a, c, layout)? {
        Some(layout @ Layout::Nchw) => Axes { batch, layout, has_channel_axis, channels: a, height: b, width: c },
        Some(layout @ Layout::Nhwc) => Axes { batch, layout, has_channel_axis, channels: c, height: a, width: b },
        None => return Err("no axis has 1 or 3 channels; if that axis varies, give data.preprocess.layout".to_owned()),
    })
}

fn channel_layout(
    first: Option<usize>,
    last: Option<usize>,
    layout: Option<Layout>,
) -> std::result::Result<Option<Layout>, String> {
    let is_channels = |dim| matches!(dim, Some(1 | 3));
    match (layout, is_channels(first), is_channels(last)) {
        (Some(layout), _, _) => Ok(Some(layout)),
        (None, true, false) => Ok(Some(Layout::Nchw)),
        (None, false, true) => Ok(Some(Layout::Nhwc)),
        (None, false, false) => Ok(None),
        (None, true, true) => Err("two axes could be the channels: give data.preprocess.layout".to_owned()),
    }
}
