//! The header of a numpy array: a magic number, a length, and a Python dictionary with element type, order and shape.
//!
//! The header comes from outside and is read by hand: flat, without recursion, and never trusting a length.

use crate::tensor::DataType;
use std::io::Read;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Numpy itself refuses to evaluate more than 10 000 bytes unless told otherwise.
const MAX_HEADER: usize = 1 << 20;

type Parsed<T> = std::result::Result<T, String>;

/// A numeric element type and its byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub dtype: DataType,
    pub big_endian: bool,
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// The element type as it is written: `<f4`, `|S7`, or a list for a structure.
    pub descr: String,
    /// The element type, where it is a number of a type that ONNX has.
    pub number: Option<Number>,
    /// Columns first.
    pub fortran: bool,
    pub shape: Vec<usize>,
    /// Bytes before the data.
    pub bytes: u64,
}

/// Reads a header and leaves `reader` at the first byte of the data.
///
/// # Errors
/// When it is not a complete numpy header.
pub(super) fn read_header(reader: &mut dyn Read) -> Parsed<Header> {
    let mut start = [0; 8];
    read_exact(reader, &mut start)?;
    if start[..6] != MAGIC[..] {
        return Err("does not begin as a numpy array does".to_owned());
    }
    let (length, before) = match start[6] {
        1 => {
            let mut length = [0; 2];
            read_exact(reader, &mut length)?;
            (usize::from(u16::from_le_bytes(length)), 10)
        }
        2 | 3 => {
            let mut length = [0; 4];
            read_exact(reader, &mut length)?;
            (u32::from_le_bytes(length) as usize, 12)
        }
        version => return Err(format!("numpy format version {version} is not known, expected 1 to 3")),
    };
    if length > MAX_HEADER {
        return Err(format!("a header of {length} bytes is too long"));
    }
    let mut text = vec![0; length];
    read_exact(reader, &mut text)?;
    let text = std::str::from_utf8(&text).map_err(|_| "the header is not UTF-8 text".to_owned())?;
    let mut header = parse(text).map_err(|why| format!("cannot understand the header {:?}: {why}", text.trim_end()))?;
    header.bytes = (before + length) as u64;
    Ok(header)
}

fn read_exact(reader: &mut dyn Read, buffer: &mut [u8]) -> Parsed<()> {
    reader.read_exact(buffer).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "truncated: it ends inside the header".to_owned(),
        _ => error.to_string(),
    })
}

fn parse(text: &str) -> Parsed<Header> {
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    let mut rest = strip_char(text, '{')?;
    while !rest.starts_with('}') {
        let (key, after) = quoted(rest)?;
        let (value, after) = value(strip_char(after, ':')?)?;
        match key {
            "descr" => descr = Some(value),
            "fortran_order" => fortran = Some(value == "True"),
            "shape" => shape = Some(parse_shape(value)?),
            _ => return Err(format!("unexpected key {key:?}")),
        }
        rest = match after.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None => after,
        };
    }
    let descr = descr.ok_or("no 'descr'")?.trim_matches(['\'', '"']).to_owned();
    let number = parse_number(&descr);
    let fortran = fortran.ok_or("no 'fortran_order'")?;
    Ok(Header { descr, number, fortran, shape: shape.ok_or("no 'shape'")?, bytes: 0 })
}

fn strip_char(text: &str, what: char) -> Parsed<&str> {
    text.trim_start().strip_prefix(what).map(str::trim_start).ok_or_else(|| format!("expected {what:?}"))
}

/// A quoted string at the start of `text`, and what follows it.
fn quoted(text: &str) -> Parsed<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or("expected a quoted key")?;
    text[1..].split_once(quote).ok_or_else(|| "a quote is not closed".to_owned())
}

/// The text of a value of any kind up to the comma or brace that ends it, and what follows.
fn value(text: &str) -> Parsed<(&str, &str)> {
    let (mut depth, mut open_quote) = (0usize, None);
    for (at, c) in text.char_indices() {
        match (open_quote, c) {
            (Some(quote), _) => open_quote = Some(quote).filter(|&quote| quote != c),
            (None, '\'' | '"') => open_quote = Some(c),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.checked_sub(1).ok_or("a bracket too many")?,
            (None, ',' | '}') if depth == 0 => return Ok((text[..at].trim_end(), &text[at..])),
            _ => {}
        }
    }
    Err("a value does not end".to_owned())
}

fn parse_shape(text: &str) -> Parsed<Vec<usize>> {
    let inner = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')).ok_or("the shape is not a tuple")?;
    let sizes = inner.split(',').map(str::trim).filter(|size| !size.is_empty());
    // Python 2 wrote long integers as 3L.
    sizes.map(|size| size.trim_end_matches('L').parse().map_err(|_| format!("{size:?} is not a size"))).collect()
}

/// A type such as `<f4`: byte order, kind, bytes.
fn parse_number(descr: &str) -> Option<Number> {
    let (order, rest) = match descr.chars().next()? {
        order @ ('<' | '>' | '|' | '=') => (order, &descr[1..]),
        _ => ('|', descr),
    };
    let dtype = match rest {
        "f2" => DataType::Float16,
        "f4" => DataType::Float32,
        "f8" => DataType::Float64,
        "i1" => DataType::Int8,
        "i2" => DataType::Int16,
        "i4" => DataType::Int32,
        "i8" => DataType::Int64,
        "u1" => DataType::Uint8,
        "u2" => DataType::Uint16,
        "u4" => DataType::Uint32,
        "u8" => DataType::Uint64,
        "b1" => DataType::Bool,
        _ => return None,
    };
    Some(Number { dtype, big_endian: order == '>' })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Parsed<Header> {
        let mut bytes = [MAGIC.as_slice(), &[1, 0]].concat();
        bytes.extend(u16::try_from(text.len()).expect("short").to_le_bytes());
        bytes.extend(text.as_bytes());
        read_header(&mut bytes.as_slice())
    }

    #[test]
    fn reads_what_numpy_writes() {
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (256, 3, 32, 32), }   \n";
        let read = header(text).expect("good");
        assert_eq!(read.number, Some(Number { dtype: DataType::Float32, big_endian: false }));
        assert_eq!((read.fortran, read.shape, read.bytes), (false, vec![256, 3, 32, 32], 10 + text.len() as u64));
        let read = header("{'shape': (3L,), 'fortran_order': True, 'descr': \">i8\"}").expect("good");
        assert_eq!(read.number, Some(Number { dtype: DataType::Int64, big_endian: true }));
        assert_eq!((read.fortran, read.shape), (true, vec![3]));
        assert_eq!(header("{'descr': '|b1', 'fortran_order': False, 'shape': (), }").expect("good").shape, [0usize; 0]);
    }

    #[test]
    fn names_types_that_are_no_numbers() {
        let structure = "[('a, }', '<f4', (2,)), ('b', '<i8')]";
        let read = header(&format!("{{'descr': {structure}, 'fortran_order': False, 'shape': (2,), }}")).expect("good");
        assert_eq!((read.descr.as_str(), read.number), (structure, None));
        let read = header("{'descr': '<U22', 'fortran_order': False, 'shape': (2,), }").expect("good");
        assert_eq!((read.descr.as_str(), read.number), ("<U22", None));
    }

    #[test]
    fn refuses_damage() {
        for text in [
            "",
            "{",
            "{'descr': '<f4'",
            "{'descr': '<f4', 'fortran_order': False, }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': 3, }",
            "{'descr': '<f4' 'fortran_order': False, 'shape': (3,), }",
            "{'descr': ')', 'shape': )}",
            "{descr: 1}",
            "{'é",
            "{é: 1}",
        ] {
            assert!(header(text).is_err(), "{text}");
        }
        let nested = format!("{{'descr': {}", "[".repeat(60_000));
        assert!(header(&nested).is_err());
    }

    #[test]
    fn refuses_what_is_no_header() {
        let read = |mut bytes: &[u8]| read_header(&mut bytes).expect_err("refused");
        assert!(read(b"PK\x03\x04 and more").contains("does not begin"));
        assert!(read(b"\x93NUMPY\x01\x00\x50").contains("truncated"));
        assert!(read(b"\x93NUMPY\x09\x00\x50\x00").contains("version 9"));
        assert!(read(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").contains("too long"));
        assert!(read(b"\x93NUMPY\x01\x00\x02\x00\xff\xff").contains("UTF-8"));
    }
}
