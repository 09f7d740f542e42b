//! The class of every sample: from a table beside the data, or from an array.

use super::convert::convert;
use super::listing::has_extension;
use super::rows::{Slot, slots};
use super::texts;
use crate::error::{Error, Result};
use crate::tensor::DataType;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Bytes of a table of labels; ten million lines fit.
const MAX_BYTES: u64 = 256 << 20;
/// Arrays in an `.npz` that are taken for labels.
const NAMES: [&str; 2] = [super::arrays::LABELS, "y"];

/// Reads the labels at `path` for `count` samples. A table may name files where `pictures` has them: the folder that
/// their names are relative to, and the files in the order of the samples.
///
/// # Errors
/// When the labels are not integers from 0, not as many as the samples, or name other files.
pub(super) fn read(path: &Path, count: usize, pictures: Option<(&Path, &[PathBuf])>) -> Result<Vec<u32>> {
    let labels = if has_extension(path, &["npy", "npz"]) {
        read_array(path)?
    } else if has_extension(path, &["csv", "txt"]) {
        match read_table(path)? {
            Table::InOrder(labels) => labels,
            Table::ByFile(table) => {
                let (root, files) = pictures.ok_or_else(|| {
                    Error::file(path, "names files, but the data are no pictures: expected one integer per line")
                })?;
                by_file(path, &table, root, files)?
            }
        }
    } else {
        return Err(Error::file(path, "labels are read from .csv, .txt, .npy or .npz"));
    };
    if labels.len() != count {
        return Err(Error::file(path, format!("holds {} labels for {count} samples", labels.len())));
    }
    Ok(labels)
}

/// What an array beside the data says of every sample.
pub(super) enum Embedded {
    /// Its class.
    Classes(Vec<u32>),
    /// Its text.
    Texts(Vec<String>),
}

/// The labels in `slot`, an array beside the data of `rows` rows; `None`, with a note, where it is no list of integers or
/// strings.
///
/// # Errors
/// When it is damaged, or there are not as many labels as rows.
pub(super) fn embedded(slot: &Slot, rows: usize, notes: &mut Vec<String>) -> Result<Option<Embedded>> {
    let header = slot.header()?;
    if let Some(texts) = texts::embedded(slot, &header, rows)? {
        return Ok(Some(Embedded::Texts(texts)));
    }
    let is_list = matches!(header.shape.as_slice(), [_] | [_, 1]);
    if !is_list || !header.number.is_some_and(|number| is_class(number.dtype)) {
        let (name, descr, shape) = (&slot.name, header.descr, header.shape);
        notes.push(format!("{name} ignored: {descr}{shape:?} are neither one integer nor one text per sample"));
        return Ok(None);
    }
    let labels = read_slot(slot)?;
    match labels.len() {
        count if count == rows => Ok(Some(Embedded::Classes(labels))),
        count => Err(slot.error(format!("{count} labels for {rows} rows"))),
    }
}

fn is_class(dtype: DataType) -> bool {
    use DataType::{Bool, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
    matches!(dtype, Bool | Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64)
}

fn read_array(path: &Path) -> Result<Vec<u32>> {
    let slots = slots(path)?;
    let slot = match slots.as_slice() {
        [single] => single,
        several => {
            let known = NAMES.iter().find_map(|name| several.iter().find(|slot| slot.name == *name));
            known.ok_or_else(|| {
                let names: Vec<&str> = several.iter().map(|slot| slot.name.as_str()).collect();
                Error::file(path, format!("expected labels in __labels__, y or a single array; it has {names:?}"))
            })?
        }
    };
    read_slot(slot)
}

fn read_slot(slot: &Slot) -> Result<Vec<u32>> {
    let array = slot.open()?;
    if !is_class(array.number.dtype) || !matches!(array.row_shape.as_slice(), [] | [1]) {
        let (dtype, shape) = (array.number.dtype, array.shape());
        return Err(slot.error(format!("{dtype}{shape:?} are no labels, expected integers of shape [N]")));
    }
    let mut stream = array.stream()?;
    let mut bytes = Vec::new();
    for row in 0..array.rows {
        stream.read(&array, row, &mut bytes)?;
    }
    let whole = convert(bytes, array.number, DataType::Int64, vec![array.rows]).map_err(|why| slot.error(why))?;
    let class = |(row, &value): (usize, &i64)| {
        u32::try_from(value).map_err(|_| slot.error(format!("row {row}: {value} is no label, expected 0 or more")))
    };
    whole.to_i64()?.iter().enumerate().map(class).collect()
}

/// A file name and its label, with the line that says so.
type Named = (String, u32, usize);

enum Table {
    InOrder(Vec<u32>),
    ByFile(Vec<Named>),
}

fn read_table(path: &Path) -> Result<Table> {
    let file = File::open(path).map_err(|error| Error::file(path, error))?;
    let size = file.metadata().map_err(|error| Error::file(path, error))?.len();
    if size > MAX_BYTES {
        return Err(Error::file(path, format!("{size} bytes are too many for labels; at most 256 MiB are read")));
    }
    let (mut ordered, mut named) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(BufReader::new(file).lines()) {
        let line = line.map_err(|error| Error::file(path, format!("line {number}: {error}")))?;
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() {
            continue;
        }
        let (name, label) = split_line(line);
        match (name, label.parse()) {
            (None, Ok(label)) => ordered.push(label),
            (Some(name), Ok(label)) => named.push((name.to_owned(), label, number)),
            // A header.
            (_, Err(_)) if number == 1 => {}
            (_, Err(_)) => {
                let what = "an integer of 0 or more, or `file,label`";
                return Err(Error::file(path, format!("line {number}: expected {what}, found {line:?}")));
            }
        }
    }
    match (ordered.len(), named.len()) {
        (_, 0) => Ok(Table::InOrder(ordered)),
        (0, _) => Ok(Table::ByFile(named)),
        (plain, named) => Err(Error::file(
            path,
            format!("{plain} lines are a label alone and {named} are `file,label`: keep one form"),
        )),
    }
}

/// File name, if there is one, and label; between them a comma, semicolon, tab or space, the first of these that occurs.
fn split_line(line: &str) -> (Option<&str>, &str) {
    fn unquote(text: &str) -> &str {
        text.trim().trim_matches('"')
    }
    match [',', ';', '\t', ' '].iter().find_map(|&separator| line.rsplit_once(separator)) {
        Some((name, label)) => (Some(unquote(name)), unquote(label)),
        None => (None, unquote(line)),
    }
}

/// The label of every picture, found by its path below `root` or by its bare name.
fn by_file(path: &Path, table: &[Named], root: &Path, files: &[PathBuf]) -> Result<Vec<u32>> {
    let relative = |file: &PathBuf| file.strip_prefix(root).unwrap_or(file).to_string_lossy().replace('\\', "/");
    // `None` is a name that several pictures have.
    let mut known: BTreeMap<String, Option<usize>> = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        let bare = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        known.entry(bare).and_modify(|known| *known = None).or_insert(Some(index));
    }
    known.extend(files.iter().enumerate().map(|(index, file)| (relative(file), Some(index))));
    let mut labels: Vec<Option<u32>> = vec![None; files.len()];
    let mut unknown = Vec::new();
    for (name, label, line) in table {
        let key = name.replace('\\', "/");
        let Some(found) = known.get(key.strip_prefix("./").unwrap_or(&key)) else {
            unknown.push(name);
            continue;
        };
        let Some(slot) = found.and_then(|index| labels.get_mut(index)) else {
            let message = format!("line {line}: several pictures are called {name:?}; name it with its folder");
            return Err(Error::file(path, message));
        };
        if slot.is_some_and(|before| before != *label) {
            return Err(Error::file(path, format!("line {line}: {name:?} has another label further up")));
        }
        *slot = Some(*label);
    }
    if let Some(first) = unknown.first() {
        let (count, lines) = (unknown.len(), table.len());
        return Err(Error::file(
            path,
            format!("{count} of {lines} lines name no picture that is there, first {first:?}"),
        ));
    }
    let missing = labels.iter().filter(|label| label.is_none()).count();
    if let Some(first) = labels.iter().zip(files).find(|(label, _)| label.is_none()).map(|(_, file)| file) {
        let (count, first) = (labels.len(), first.display());
        return Err(Error::file(path, format!("no label for {missing} of {count} pictures, first {first}")));
    }
    Ok(labels.into_iter().flatten().collect())
}
