//! The table of ONNX Runtime's `calibration.flatbuffers`: one list of entries, each a key and a value that are texts.
//!
//! A table begins with the distance back to its layout, which says behind how many bytes each field stands; a field holds the
//! distance on to what it stands for. Lists and texts begin with their length.

/// The entries; `None` where the bytes are no such table.
pub(super) fn entries(bytes: &[u8]) -> Option<Vec<(&str, &str)>> {
    let list = field(bytes, follow(bytes, 0)?, 0)?;
    let (count, first) = (word(bytes, list)?, list.checked_add(4)?);
    // Of hostile files the length is anything.
    if count > bytes.len() / 4 {
        return None;
    }
    let entry = |index: usize| {
        let table = follow(bytes, first.checked_add(index * 4)?)?;
        Some((text(bytes, field(bytes, table, 0)?)?, text(bytes, field(bytes, table, 1)?)?))
    };
    (0..count).map(entry).collect()
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*word)).ok()
}

/// What the distance at `at` leads to.
fn follow(bytes: &[u8], at: usize) -> Option<usize> {
    at.checked_add(word(bytes, at)?).filter(|&to| to != at)
}

/// What field `index` of the table at `table` leads to.
fn field(bytes: &[u8], table: usize, index: usize) -> Option<usize> {
    let short = |at: usize| Some(usize::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk::<2>()?)));
    let back = i32::from_le_bytes(*bytes.get(table..)?.first_chunk::<4>()?);
    let layout = usize::try_from(i64::try_from(table).ok()? - i64::from(back)).ok()?;
    let entry = 4 + 2 * index;
    let offset = (entry + 2 <= short(layout)?).then(|| short(layout + entry)).flatten().filter(|&offset| offset > 0)?;
    follow(bytes, table + offset)
}

fn text(bytes: &[u8], at: usize) -> Option<&str> {
    let (length, from) = (word(bytes, at)?, at.checked_add(4)?);
    std::str::from_utf8(bytes.get(from..from.checked_add(length)?)?).ok()
}
