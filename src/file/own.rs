//! Files that tare writes beside models, told from models and policies when one is named in the place of another.

/// What a lock says it is.
pub const LOCK: &str = "tare-lock";
/// What saved statistics say they are.
pub const STATISTICS: &str = "tare-statistics";

/// Both begin with what they are.
const BEGINNING: usize = 64;

/// What the bytes of a file are, where tare wrote them, and which flag takes such a file.
pub fn written_by_tare(bytes: &[u8]) -> Option<&'static str> {
    let beginning = String::from_utf8_lossy(bytes.get(..BEGINNING).unwrap_or(bytes));
    let rest = beginning.trim_start().strip_prefix('{')?.trim_start().strip_prefix("\"format\"")?;
    let format = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let is = |name: &str| format.strip_prefix(name).is_some_and(|rest| rest.starts_with('"'));
    [
        (LOCK, "is a lock of tare's: `tare quantize MODEL --locked FILE` converts from one"),
        (STATISTICS, "holds calibration statistics of tare's: `tare quantize MODEL --ranges FILE` converts from them"),
    ]
    .into_iter()
    .find_map(|(name, told)| is(name).then_some(told))
}
