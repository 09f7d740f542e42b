//! Files that are mapped into memory, and letting go of what was read of them: pages count as this program's own memory from
//! the first look at them until they are given back.

use bytes::Bytes;
use memmap2::Mmap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Every file that is mapped now.
static MAPS: Mutex<Vec<Weak<Map>>> = Mutex::new(Vec::new());

struct Map {
    bytes: Mmap,
    /// Where it lies, if it has a name.
    path: Option<PathBuf>,
}

struct Mapped(Arc<Map>);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// The bytes of `file`, which lies at `path` if it has a name, of which only what is looked at comes to memory. It stays mapped for as long as anybody has some of them.
///
/// # Errors
/// When the file cannot be mapped.
///
/// # Safety
/// Nobody may write to the file meanwhile.
#[expect(unsafe_code, reason = "whether somebody writes to the file is for the caller to know")]
pub unsafe fn map(file: &File, path: Option<&Path>) -> std::io::Result<Bytes> {
    let path = path.and_then(|path| path.canonicalize().ok());
    // SAFETY: the caller's.
    let map = Arc::new(Map { bytes: unsafe { Mmap::map(file) }?, path });
    let mut maps = MAPS.lock().unwrap_or_else(PoisonError::into_inner);
    maps.retain(|map| map.strong_count() > 0);
    maps.push(Arc::downgrade(&map));
    Ok(Bytes::from_owner(Mapped(map)))
}

/// The mapped file that `bytes` are part of, if they are, and where they begin in it.
fn place(bytes: &[u8]) -> Option<(Arc<Map>, usize)> {
    let maps = MAPS.lock().unwrap_or_else(PoisonError::into_inner);
    maps.iter().filter_map(Weak::upgrade).find_map(|map| {
        let offset = (bytes.as_ptr() as usize).wrapping_sub(map.bytes.as_ptr() as usize);
        let inside = offset.checked_add(bytes.len()).is_some_and(|end| end <= map.bytes.len());
        inside.then_some((map, offset))
    })
}

/// Whether somebody still has bytes of the file at `path`.
pub fn is_read(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let maps = MAPS.lock().unwrap_or_else(PoisonError::into_inner);
    maps.iter().filter_map(Weak::upgrade).any(|map| map.path.as_deref() == Some(&path))
}

/// Gives the memory of `bytes` back where they are part of a mapped file, which is read again should anybody look at them.
/// Other bytes stay as they are.
pub fn let_go(bytes: &[u8]) {
    if let Some((map, offset)) = place(bytes) {
        forget(&map.bytes, offset, bytes.len());
    }
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "the advice is unsafe where somebody wrote into the pages: see below")]
fn forget(map: &Mmap, offset: usize, length: usize) {
    // SAFETY: the mapping is of a file and read-only, so there is nothing in its pages that the file does not hold.
    let advice = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, length) };
    // The pages stay where they are, then.
    let _ = advice;
}

#[cfg(not(unix))]
fn forget(_map: &Mmap, _offset: usize, _length: usize) {}

/// Made bytes that may be in memory at a time; what is made beyond is put aside.
const ROOM: usize = 256 << 20;
/// The fewest bytes that are worth a file.
const WORTH_A_FILE: usize = 1 << 20;

/// Made bytes that are in memory now.
static IN_MEMORY: AtomicUsize = AtomicUsize::new(0);

/// Bytes that count as in memory for as long as anybody has some of them.
struct Counted(Bytes);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        IN_MEMORY.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

/// The same bytes, in a temporary file where much is in memory already: so a model that is larger than memory can be made
/// tensor by tensor. The file has no name and goes with the last of its bytes; the environment says where it lies, on Unix by
/// `TMPDIR`. Where none can be written the bytes stay in memory.
pub fn aside(bytes: Bytes) -> Bytes {
    aside_beyond(bytes, ROOM)
}

/// The same bytes, made in the place of `before`: in a temporary file if that is part of a mapped one, so that what was no load on
/// memory becomes none.
pub fn in_place_of(before: &[u8], bytes: Bytes) -> Bytes {
    if place(before).is_some() { aside_beyond(bytes, 0) } else { aside(bytes) }
}

fn aside_beyond(bytes: Bytes, room: usize) -> Bytes {
    if bytes.len() < WORTH_A_FILE || place(&bytes).is_some() {
        return bytes;
    }
    if IN_MEMORY.load(Ordering::Relaxed).saturating_add(bytes.len()) > room
        && let Ok(written) = written(&bytes)
    {
        return written;
    }
    IN_MEMORY.fetch_add(bytes.len(), Ordering::Relaxed);
    Bytes::from_owner(Counted(bytes))
}

#[expect(unsafe_code, reason = "mapping a file is unsafe: see below")]
fn written(bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    // SAFETY: the file has no name, and is closed to writing with this function.
    unsafe { map(&file, None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_let_go_is_read_again() {
        let content: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        let bytes = written(&content).expect("a temporary file");
        assert_eq!(bytes[..], content);
        let_go(&bytes[100..70_000]);
        let_go(&bytes);
        let_go(&content);
        assert_eq!(bytes[..], content);
        drop(bytes);
        let_go(&content[5..9]);
        assert!(content.iter().take(300).enumerate().all(|(i, &b)| usize::from(b) == i % 251));
    }

    #[test]
    fn what_is_made_in_the_place_of_mapped_bytes_is_mapped() {
        let content = vec![7; WORTH_A_FILE];
        let before = written(&content).expect("a temporary file");
        let made = in_place_of(&before, Bytes::from(content.clone()));
        assert!(made[..] == content && place(&made).is_some());
        assert!(place(&in_place_of(&content, Bytes::from(content.clone()))).is_none());
    }

    #[test]
    fn what_is_put_aside_is_the_same_and_counts_no_more() {
        let content = |size: usize| Bytes::from((0..size).map(|i| (i % 253) as u8).collect::<Vec<_>>());
        // Other tests put bytes aside, too, but none so many.
        let room = 64 * WORTH_A_FILE;
        let few = content(WORTH_A_FILE - 1);
        assert_eq!(aside_beyond(few.clone(), 0).as_ptr(), few.as_ptr());
        let first = content(63 * WORTH_A_FILE);
        let kept = aside_beyond(first.clone(), room);
        assert_eq!(kept.as_ptr(), first.as_ptr());
        let beyond = content(2 * WORTH_A_FILE);
        let put = aside_beyond(beyond.clone(), room);
        assert!(put == beyond && put.as_ptr() != beyond.as_ptr());
        drop(kept);
        assert_eq!(aside_beyond(beyond.clone(), room).as_ptr(), beyond.as_ptr());
    }
}
