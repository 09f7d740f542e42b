//! `.npz` archives: where each array lies inside, and how its bytes are streamed out.
//!
//! The zip library allocates by the number of entries that an archive claims, so that is looked at here before it is
//! asked. Its deflate is flate2 in pure Rust, a backend that is enabled by way of `image`'s PNG reader.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

/// Arrays in one archive: a folder's worth, and a limit to what a false count can make the zip library allocate.
const MAX_ENTRIES: u64 = 65_536;
/// Deflate never shrinks more than 1032 times.
const MAX_RATIO: u64 = 1040;
/// Bytes that travel from the decompressing thread at once.
const BLOCK: u64 = 1 << 18;

/// An entry of an archive: its number in the directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed(usize);

/// One array's file inside an archive.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The array's name, without `.npy`.
    pub array: String,
    /// How to find it again.
    pub packed: Packed,
    /// Bytes once decompressed, header included.
    pub size: u64,
    /// Where its bytes begin in the archive's file, if they are not compressed.
    pub stored_at: Option<u64>,
}

/// The arrays of the archive at `path`, in its own order.
///
/// # Errors
/// When the file is not a complete archive, or holds what cannot be read: encrypted or otherwise compressed entries.
pub(super) fn list(path: &Path) -> io::Result<Vec<Entry>> {
    let mut file = File::open(path)?;
    let file_len = file.metadata()?.len();
    let count = claimed_entries(&mut file, file_len)?;
    if count > MAX_ENTRIES {
        return Err(invalid(format!("claims to hold {count} arrays; at most {MAX_ENTRIES} are read")));
    }
    let mut archive = open(file)?;
    // Of entries with the same name, the library keeps but the last.
    if archive.has_duplicate_names() {
        return Err(invalid("holds a file of the same name twice"));
    }
    let mut entries: Vec<Entry> = Vec::new();
    for index in 0..archive.len() {
        // Raw, so that nothing is decrypted or decompressed yet.
        let entry = archive.by_index_raw(index)?;
        let Some(array) = array_name(&entry.name()?).map(str::to_owned) else { continue };
        if entry.encrypted() {
            return Err(invalid(format!("the array {array:?} is encrypted")));
        }
        let (method, size, compressed) = (entry.compression(), entry.size(), entry.compressed_size());
        let data = entry.data_start().ok_or_else(|| invalid(format!("the array {array:?} is not in the file")))?;
        let stored_at = match method {
            CompressionMethod::Stored => Some(data),
            CompressionMethod::Deflated => None,
            other => return Err(invalid(format!("the array {array:?} is compressed by {other}, expected deflate"))),
        };
        let beyond = data.checked_add(compressed).is_none_or(|end| end > file_len);
        if beyond || size > compressed.saturating_mul(if stored_at.is_some() { 1 } else { MAX_RATIO }) {
            return Err(invalid(format!(
                "truncated or damaged: the array {array:?} claims {size} bytes from {compressed} in a file of {file_len}"
            )));
        }
        entries.push(Entry { array, packed: Packed(index), size, stored_at });
    }
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.array.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(invalid(format!("holds the array {:?} twice", pair[0]))),
        None => Ok(entries),
    }
}

/// The array's name by the name of its file, as numpy sees it: up to a NUL, and without `.npy`, which others lack.
fn array_name(file_name: &str) -> Option<&str> {
    file_name.split('\0').next()?.strip_suffix(".npy")
}

/// Without a search for an archive that begins later in the file: its directory would be one that
/// [`claimed_entries`] has not seen.
fn open(file: File) -> io::Result<ZipArchive<BufReader<File>>> {
    Ok(ZipArchive::with_config(Config { archive_offset: ArchiveOffset::Known(0) }, BufReader::new(file))?)
}

/// The number of entries that the end of the archive claims, or any earlier end that the zip library may fall back to.
fn claimed_entries(file: &mut File, file_len: u64) -> io::Result<u64> {
    const END: usize = 22;
    const LOCATOR: usize = 20;
    /// The end may be followed by a comment of 16-bit length, and preceded by the locator of a 64-bit one.
    const TAIL: u64 = 1 << 17;
    let not_whole = || invalid("truncated, or not an .npz: a zip archive ends with its directory, this file does not");
    file.seek(SeekFrom::Start(file_len.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let ends = tail.windows(END).enumerate().filter(|(_, window)| window.starts_with(b"PK\x05\x06"));
    let ends: Vec<usize> = ends.map(|(at, _)| at).collect();
    let last = *ends.last().ok_or_else(not_whole)?;
    let comment = usize::from(u16::from_le_bytes(bytes_at(&tail, last + 20).ok_or_else(not_whole)?));
    if tail.len() != last + END + comment {
        return Err(not_whole());
    }
    let mut most = 0;
    for at in ends {
        let count = u16::from_le_bytes(bytes_at(&tail, at + 10).ok_or_else(not_whole)?);
        most = most.max(count.into());
        let locator = at.checked_sub(LOCATOR).and_then(|start| tail.get(start..at));
        let Some(locator) = locator.filter(|l| l.starts_with(b"PK\x06\x07")) else { continue };
        file.seek(SeekFrom::Start(u64::from_le_bytes(bytes_at(locator, 8).ok_or_else(not_whole)?)))?;
        let mut directory = [0; 40];
        file.read_exact(&mut directory)?;
        if !directory.starts_with(b"PK\x06\x06") {
            return Err(not_whole());
        }
        most = most.max(u64::from_le_bytes(bytes_at(&directory, 32).ok_or_else(not_whole)?));
    }
    Ok(most)
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

/// Reads the entry `packed` of the archive at `path` from its beginning with `read`.
pub(super) fn with_entry<T>(
    path: &Path,
    packed: Packed,
    read: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> io::Result<T> {
    // An entry that is encrypted after all is an error here.
    read(&mut open(File::open(path)?)?.by_index(packed.0)?)
}

/// The bytes of a compressed entry, decompressed by a thread of its own that stays a few blocks ahead.
///
/// The thread is there because the zip library lends an entry only as long as it can borrow the archive. It brings
/// that decompression goes on while a sample is being used. It ends when the entry ends or this is dropped.
pub(super) struct Inflate {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    used: usize,
    ended: bool,
}

impl Inflate {
    /// Begins to decompress the entry `packed` of the archive at `path`.
    pub(super) fn start(path: &Path, packed: Packed) -> io::Result<Self> {
        let (sender, blocks) = sync_channel(2);
        let path = path.to_path_buf();
        let work = move || {
            if let Err(error) = with_entry(&path, packed, |entry| pump(entry, &sender)) {
                // Nobody listening any more is no error.
                let _ = sender.send(Err(error));
            }
        };
        thread::Builder::new().name("npz".to_owned()).spawn(work)?;
        Ok(Self { blocks, block: Vec::new(), used: 0, ended: false })
    }
}

/// Sends all that `entry` holds, and an empty block as the end.
fn pump(entry: &mut dyn Read, sender: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<()> {
    loop {
        let mut block = Vec::new();
        Read::take(&mut *entry, BLOCK).read_to_end(&mut block)?;
        let ended = block.is_empty();
        if sender.send(Ok(block)).is_err() || ended {
            return Ok(());
        }
    }
}

impl Read for Inflate {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.block.len() && !self.ended {
            self.block = self.blocks.recv().map_err(|_| invalid("decompression stopped before the end"))??;
            self.used = 0;
            self.ended = self.block.is_empty();
        }
        let left = self.block.get(self.used..).unwrap_or_default();
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.used += count;
        Ok(count)
    }
}
