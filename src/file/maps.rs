//! Files that are mapped into memory, and letting go of what was read of them: pages count as this program's own memory from
//! the first look at them until they are given back.

use bytes::Bytes;
use memmap2::Mmap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Every file that is mapped now.
static MAPS: Mutex<Vec<Weak<Mmap>>> = Mutex::new(Vec::new());

struct Mapped(Arc<Mmap>);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The bytes of a mapped file. It stays mapped for as long as anybody has some of them.
pub fn keep(map: Mmap) -> Bytes {
    let map = Arc::new(map);
    let mut maps = MAPS.lock().unwrap_or_else(PoisonError::into_inner);
    maps.retain(|map| map.strong_count() > 0);
    maps.push(Arc::downgrade(&map));
    Bytes::from_owner(Mapped(map))
}

/// Gives the memory of `bytes` back where they are part of a mapped file, which is read again should anybody look at them.
/// Other bytes stay as they are.
pub fn let_go(bytes: &[u8]) {
    let maps: Vec<_> = MAPS.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect();
    let start = bytes.as_ptr() as usize;
    for map in maps {
        let offset = start.wrapping_sub(map.as_ptr() as usize);
        if offset.checked_add(bytes.len()).is_some_and(|end| end <= map.len()) {
            forget(&map, offset, bytes.len());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_let_go_is_read_again() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let content: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(file.path(), &content).expect("a writable file");
        let bytes = super::super::external::map_file(file.path()).expect("a file");
        assert_eq!(bytes[..], content);
        let_go(&bytes[100..70_000]);
        let_go(&bytes);
        let_go(&content);
        assert_eq!(bytes[..], content);
        drop(bytes);
        let_go(&content[5..9]);
        assert!(content.iter().take(300).enumerate().all(|(i, &b)| usize::from(b) == i % 251));
    }
}
