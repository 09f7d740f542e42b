//! The rows of one numpy array, wherever it lies: first axis = samples, one row read at a time.

use super::MAX_TENSOR_BYTES;
use super::npy::{Header, Number, read_header};
use super::npz::{self, Inflate, Packed};
use crate::error::{Error, Result};
use crate::tensor::element_count;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Where the bytes of an array are.
#[derive(Debug, Clone)]
enum Place {
    /// As they are, from this offset of the file.
    Plain(u64),
    /// Compressed, in this entry of the archive.
    Deflated(Packed),
}

/// An array of which no more is known than that it is there.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    path: PathBuf,
    /// The array's name: its key in the archive, or the file's name without `.npy`.
    pub name: String,
    place: Place,
    /// Bytes from the beginning of the header.
    size: u64,
}

/// An array whose header has been read and agrees with the size of its file.
#[derive(Debug, Clone)]
pub(super) struct Array {
    slot: Slot,
    /// Element type.
    pub number: Number,
    /// Length of the first axis.
    pub rows: usize,
    /// The other axes.
    pub row_shape: Vec<usize>,
    /// Bytes of a row.
    pub row_bytes: usize,
    header_bytes: u64,
}

/// The arrays in an `.npz` or the one in an `.npy`.
///
/// # Errors
/// When the file cannot be read or is not whole.
pub(super) fn slots(path: &Path) -> Result<Vec<Slot>> {
    if super::listing::has_extension(path, &["npz"]) {
        let entries = npz::list(path).map_err(|error| Error::file(path, error))?;
        let slot = |entry: npz::Entry| {
            let place = entry.stored_at.map_or(Place::Deflated(entry.packed), Place::Plain);
            Slot { path: path.to_path_buf(), name: entry.array, place, size: entry.size }
        };
        return Ok(entries.into_iter().map(slot).collect());
    }
    let size = std::fs::metadata(path).map_err(|error| Error::file(path, error))?.len();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(vec![Slot { path: path.to_path_buf(), name, place: Place::Plain(0), size }])
}

impl Slot {
    /// An error about this array.
    pub(super) fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::file(&self.path, format!("array {:?}: {message}", self.name))
    }

    /// What the array's header says.
    pub(super) fn header(&self) -> Result<Header> {
        let read = |reader: &mut dyn Read| read_header(reader).map_err(io::Error::other);
        let header = match self.place {
            Place::Plain(start) => open_at(&self.path, start).and_then(|file| read(&mut BufReader::new(file))),
            Place::Deflated(packed) => npz::with_entry(&self.path, packed, read),
        };
        header.map_err(|error| self.error(error))
    }

    /// Reads the header and checks it against the size of the file.
    ///
    /// # Errors
    /// When the array holds no numbers, no rows, columns first, rows beyond 2 GiB, or more than the file does.
    pub(super) fn open(&self) -> Result<Array> {
        let header = self.header()?;
        let Some(number) = header.number else {
            return Err(self.error(format!("its elements are {}, expected numbers", header.descr)));
        };
        let Some((&rows, row_shape)) = header.shape.split_first() else {
            return Err(self.error("it is a single number; the first axis should be the samples"));
        };
        if header.fortran && !row_shape.is_empty() {
            return Err(self.error("it is in Fortran order; save it as numpy.ascontiguousarray(array)"));
        }
        let element = number.dtype.bits().unwrap_or(8) / 8;
        let row_bytes = element_count(row_shape).and_then(|n| n.checked_mul(element));
        let Some(row_bytes) = row_bytes.filter(|&bytes| bytes <= MAX_TENSOR_BYTES) else {
            return Err(self.error(format!("a row of shape {row_shape:?} takes more than 2 GiB")));
        };
        if rows == 0 || row_bytes == 0 {
            return Err(self.error(format!("it is empty: its shape is {:?}", header.shape)));
        }
        let needed = (rows as u64).checked_mul(row_bytes as u64);
        let there = self.size.saturating_sub(header.bytes);
        if needed.is_none_or(|needed| needed > there) {
            return Err(self.error(format!(
                "truncated: {rows} rows of {row_bytes} bytes are promised, {there} bytes of data are there"
            )));
        }
        let row_shape = row_shape.to_vec();
        Ok(Array { slot: self.clone(), number, rows, row_shape, row_bytes, header_bytes: header.bytes })
    }
}

impl Slot {
    /// The first `size` bytes behind the header of the array.
    ///
    /// # Errors
    /// When there are not as many, or the compressed data are damaged.
    pub(super) fn bytes(&self, header: &Header, size: usize) -> Result<Vec<u8>> {
        if self.size.saturating_sub(header.bytes) < size as u64 {
            let there = self.size.saturating_sub(header.bytes);
            return Err(self.error(format!("truncated: {size} bytes are promised, {there} bytes of data are there")));
        }
        let mut bytes = vec![0; size];
        let read = self.data(header.bytes).and_then(|mut data| match &mut data {
            Bytes::Plain(file) => file.read_exact(&mut bytes),
            Bytes::Deflated(data) => {
                data.read_exact(&mut bytes)?;
                // Reading past the end makes the zip library compare the checksum.
                io::copy(&mut data.take(1), &mut io::sink()).map(|_| ())
            }
        });
        read.map_err(|error| self.error(error))?;
        Ok(bytes)
    }

    /// What follows the `header` first bytes.
    fn data(&self, header: u64) -> io::Result<Bytes> {
        match self.place {
            Place::Plain(start) => {
                let data = start.checked_add(header).ok_or(io::ErrorKind::InvalidData)?;
                Ok(Bytes::Plain(BufReader::new(open_at(&self.path, data)?)))
            }
            Place::Deflated(packed) => {
                let mut bytes = Inflate::start(&self.path, packed)?;
                discard(&mut bytes, header)?;
                Ok(Bytes::Deflated(bytes))
            }
        }
    }
}

impl Array {
    /// An error about this array.
    pub(super) fn error(&self, message: impl std::fmt::Display) -> Error {
        self.slot.error(message)
    }

    /// The file that holds the array.
    pub(super) fn path(&self) -> &Path {
        &self.slot.path
    }

    /// The full shape.
    pub(super) fn shape(&self) -> Vec<usize> {
        [&[self.rows], self.row_shape.as_slice()].concat()
    }

    /// A stream over the rows.
    pub(super) fn stream(&self) -> Result<RowStream> {
        self.slot.data(self.header_bytes).map(|bytes| RowStream { bytes, next: 0 }).map_err(|error| self.error(error))
    }
}

enum Bytes {
    Plain(BufReader<File>),
    Deflated(Inflate),
}

/// A place among the rows of an array, which only moves forward.
pub(super) struct RowStream {
    bytes: Bytes,
    next: usize,
}

impl RowStream {
    /// Appends row `row` of `array`, whose stream this is, to `buffer`, passing over the rows between.
    ///
    /// # Errors
    /// When the file ends early, the compressed data are damaged, or `row` is already behind.
    pub(super) fn read(&mut self, array: &Array, row: usize, buffer: &mut Vec<u8>) -> Result<()> {
        self.try_read(array, row, buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                array.error(format!("truncated: the file ends before the end of row {row}"))
            }
            _ => array.error(format!("row {row}: {error}")),
        })
    }

    fn try_read(&mut self, array: &Array, row: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let between =
            row.checked_sub(self.next).filter(|_| row < array.rows).and_then(|n| n.checked_mul(array.row_bytes));
        let between = between.ok_or_else(|| io::Error::other("not one of the rows that are still to come"))?;
        let start = buffer.len();
        buffer.resize(start + array.row_bytes, 0);
        match &mut self.bytes {
            Bytes::Plain(file) => {
                file.seek_relative(i64::try_from(between).map_err(io::Error::other)?)?;
                file.read_exact(&mut buffer[start..])?;
            }
            Bytes::Deflated(bytes) => {
                discard(bytes, between as u64)?;
                bytes.read_exact(&mut buffer[start..])?;
                if row + 1 == array.rows {
                    // Reading past the last row makes the zip library compare the checksum.
                    io::copy(&mut bytes.take(1), &mut io::sink())?;
                }
            }
        }
        self.next = row + 1;
        Ok(())
    }
}

fn open_at(path: &Path, offset: u64) -> io::Result<File> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    Ok(file)
}

fn discard(bytes: &mut Inflate, count: u64) -> io::Result<()> {
    match io::copy(&mut bytes.by_ref().take(count), &mut io::sink())? {
        copied if copied == count => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
