//! The text of every sample, from an array of strings beside the data.

use super::npy::Header;
use super::rows::Slot;
use crate::error::Result;

/// Bytes of an array of texts; a million lines of 64 characters fit.
const MAX_BYTES: usize = 256 << 20;
/// Numpy's strings have four bytes for each character.
const CHARACTER: usize = 4;

/// What one string of an array takes: `<U21`, `>U21`, or bytes as `|S21`.
struct Width {
    bytes: usize,
    /// Four bytes for each character, where it is not one.
    wide: bool,
    big_endian: bool,
}

impl Width {
    fn of(descr: &str) -> Option<Self> {
        let (order, rest) = descr.split_at_checked(1)?;
        let (kind, count) = rest.split_at_checked(1)?;
        let (count, wide) = (count.parse::<usize>().ok()?, kind == "U");
        let known = matches!(order, "<" | ">" | "=" | "|") && (wide || kind == "S");
        let bytes = count.checked_mul(if wide { CHARACTER } else { 1 }).filter(|&bytes| bytes > 0)?;
        known.then_some(Self { bytes, wide, big_endian: order == ">" })
    }

    /// The text in `bytes`, without the zeros that fill it up; `None` where they are no characters.
    fn text(&self, bytes: &[u8]) -> Option<String> {
        let text = if self.wide {
            let code = |bytes: &[u8; CHARACTER]| match self.big_endian {
                true => u32::from_be_bytes(*bytes),
                false => u32::from_le_bytes(*bytes),
            };
            let (characters, _) = bytes.as_chunks::<CHARACTER>();
            characters.iter().map(|bytes| char::from_u32(code(bytes))).collect::<Option<String>>()?
        } else {
            String::from_utf8(bytes.to_vec()).ok()?
        };
        Some(text.trim_end_matches('\0').to_owned())
    }
}

/// The strings in `slot`, which has `header`, an array beside the data of `rows` rows; `None` where it holds no list of strings.
///
/// # Errors
/// When it is damaged or too large, or there are not as many strings as rows.
pub(super) fn embedded(slot: &Slot, header: &Header, rows: usize) -> Result<Option<Vec<String>>> {
    let Some(width) = Width::of(&header.descr).filter(|_| matches!(header.shape.as_slice(), [_] | [_, 1])) else {
        return Ok(None);
    };
    let count = header.shape[0];
    if count != rows {
        return Err(slot.error(format!("{count} labels for {rows} rows")));
    }
    let Some(size) = count.checked_mul(width.bytes).filter(|&size| size <= MAX_BYTES) else {
        return Err(slot.error("its texts take more than 256 MiB"));
    };
    let bytes = slot.bytes(header, size)?;
    let text = |(row, bytes): (usize, &[u8])| {
        width.text(bytes).ok_or_else(|| slot.error(format!("row {row}: these bytes are no characters")))
    };
    bytes.chunks_exact(width.bytes).enumerate().map(text).collect::<Result<_>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_either_byte_order_and_bytes_are_read() {
        let of = |descr: &str, bytes: &[u8]| Width::of(descr).and_then(|width| width.text(bytes));
        assert_eq!(of("<U2", b"a\0\0\0\x2d\x4e\0\0").as_deref(), Some("a中"));
        assert_eq!(of(">U2", b"\0\0\0b\0\0\0\0").as_deref(), Some("b"));
        assert_eq!(of("|S3", b"ab\0").as_deref(), Some("ab"));
        assert_eq!(of("<U1", b"\0\0\x11\0"), None);
        assert_eq!(of("|S1", b"\xff"), None);
        for descr in ["<f4", "<U0", "U", "", "é", "<U99999999999999999999"] {
            assert!(Width::of(descr).is_none(), "{descr}");
        }
    }
}
