//! `.npz` archives: where each array lies inside, and how its bytes are streamed out.
//!
//! The zip library is reached by way of `npyz`. It believes the number of entries that an archive claims, and panics
//! on some encrypted ones, so both are looked at here before it is asked.

use npyz::npz::array_name_from_file_name;
use npyz::zip::{CompressionMethod, ZipArchive};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

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
    let mut archive = ZipArchive::new(BufReader::new(file))?;
    let mut flags = File::open(path)?;
    let mut entries: Vec<Entry> = Vec::new();
    for index in 0..archive.len() {
        // Raw, so that nothing is decrypted or decompressed yet.
        let entry = archive.by_index_raw(index)?;
        let Some(array) = array_name_from_file_name(entry.name()).map(str::to_owned) else { continue };
        let (method, size, compressed) = (entry.compression(), entry.size(), entry.compressed_size());
        let (data, header) = (entry.data_start(), entry.central_header_start());
        drop(entry);
        if is_encrypted(&mut flags, header)? {
            return Err(invalid(format!("the array {array:?} is encrypted")));
        }
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

/// The number of entries that the end of the archive claims.
fn claimed_entries(file: &mut File, file_len: u64) -> io::Result<u64> {
    const END: usize = 22;
    const LOCATOR: usize = 20;
    let not_whole = || invalid("truncated, or not an .npz: a zip archive ends with its directory, this file does not");
    // The end may be followed by a comment of 16-bit length, and preceded by the locator of a 64-bit one.
    let tail_len = file_len.min((END + LOCATOR + usize::from(u16::MAX)) as u64);
    file.seek(SeekFrom::Start(file_len - tail_len))?;
    let mut tail = Vec::new();
    file.take(tail_len).read_to_end(&mut tail)?;
    let at = tail.windows(END).rposition(|window| window.starts_with(b"PK\x05\x06")).ok_or_else(not_whole)?;
    let (before, end) = tail.split_at(at);
    // Exactly at the end: then the zip library finds the same directory.
    let comment = usize::from(u16::from_le_bytes(bytes_at(end, 20).ok_or_else(not_whole)?));
    if end.len() != END + comment {
        return Err(not_whole());
    }
    let locator = before.len().checked_sub(LOCATOR).and_then(|start| before.get(start..));
    let Some(locator) = locator.filter(|l| l.starts_with(b"PK\x06\x07")) else {
        return Ok(u16::from_le_bytes(bytes_at(end, 8).ok_or_else(not_whole)?).into());
    };
    let offset = u64::from_le_bytes(bytes_at(locator, 8).ok_or_else(not_whole)?);
    let mut directory = [0; 40];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut directory)?;
    if !directory.starts_with(b"PK\x06\x06") {
        return Err(not_whole());
    }
    Ok(u64::from_le_bytes(bytes_at(&directory, 32).ok_or_else(not_whole)?))
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// Whether the flags in the directory's entry at `header` say so.
fn is_encrypted(file: &mut File, header: u64) -> io::Result<bool> {
    let mut start = [0; 10];
    file.seek(SeekFrom::Start(header))?;
    file.read_exact(&mut start)?;
    Ok(start[8] & 1 == 1)
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
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?))?;
    // Asking with a password, which is not used, returns what asking without one panics on: an entry with marks of
    // encryption that is not flagged as encrypted.
    match archive.by_index_decrypt(packed.0, b"")? {
        Ok(mut entry) => read(&mut entry),
        Err(_) => Err(invalid("an array is encrypted")),
    }
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
