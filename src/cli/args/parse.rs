//! How the text of a flag becomes its value.

use std::ffi::OsString;
use tare::error::{Error, Result};
use tare::policy::{self, OneOrEach, RawBudget, TaskName};

/// A word of the policy given as a flag.
pub(super) fn word<T: serde::de::DeserializeOwned>(flag: &str, text: Option<&String>) -> Result<Option<T>> {
    let parse = |text: &String| policy::word(text).map_err(|e| Error::other(format!("--{flag}: {e}")));
    text.map(parse).transpose()
}

/// Flags whose value is optional, and stands behind an equals sign.
const BEHIND_EQUALS: [&str; 2] = ["--lock", "--stress"];

/// How a flag takes its value that may be left out.
pub(super) fn behind_equals(flag: &str, value: &str) -> String {
    format!("{flag} takes its value behind an equals sign: {flag}={value}")
}

/// What helps where one of `given`, which is not understood, may be the value of the flag before it.
pub fn misplaced_value(given: &[OsString], unknown: &str) -> Option<String> {
    let flag = |word: &OsString| BEHIND_EQUALS.into_iter().find(|flag| word == flag);
    let is_word = |word: &OsString| !word.to_string_lossy().starts_with('-');
    let pairs = given.iter().zip(given.iter().skip(1)).filter(|_| !unknown.starts_with('-'));
    let mut misplaced = pairs.filter_map(|(word, next)| Some((flag(word)?, next)));
    misplaced.find(|(_, next)| is_word(next)).map(|(flag, next)| behind_equals(flag, &next.to_string_lossy()))
}

/// `TASK` of the first output, or `NAME=TASK` of each.
pub(super) fn tasks(given: &[String]) -> Result<Option<OneOrEach<TaskName>>> {
    let task = |text: &str| policy::word(text).map_err(|e| Error::other(format!("--task: {e}")));
    match given {
        [] => Ok(None),
        [one] if !one.contains('=') => task(one).map(|task| Some(OneOrEach::One(task))),
        several => {
            let each = several.iter().map(|text| {
                let (name, word) = text.rsplit_once('=').ok_or_else(|| {
                    Error::other(format!("--task {text}: expected NAME=TASK, where several are given"))
                })?;
                Ok((name.to_owned(), task(word)?))
            });
            Ok(Some(OneOrEach::Each(each.collect::<Result<_>>()?)))
        }
    }
}

/// `NAME=N`: a size from 1 on.
pub(super) fn dim(text: &str) -> std::result::Result<(String, usize), String> {
    let (name, size) = text.rsplit_once('=').ok_or("expected NAME=N, as batch=1")?;
    let size =
        size.trim().parse().ok().filter(|&n: &usize| n > 0).ok_or("expected a size of 1 or more behind the =")?;
    Ok((name.trim().to_owned(), size))
}

/// `KEY=VALUE` of a budget.
pub(super) fn budget(text: &str) -> std::result::Result<RawBudget, String> {
    let expected = "expected top1_drop=SHARE, sqnr_db=DECIBELS or size_mb=MEGABYTES";
    let (key, value) = text.split_once('=').ok_or(expected)?;
    let value: Option<f64> = Some(value.trim().parse().map_err(|_| format!("{expected}; {value:?} is no number"))?);
    Ok(match key.trim() {
        "top1_drop" => RawBudget { top1_drop: value, ..RawBudget::default() },
        "sqnr_db" => RawBudget { sqnr_db: value, ..RawBudget::default() },
        "size_mb" => RawBudget { size_mb: value, ..RawBudget::default() },
        _ => return Err(expected.to_owned()),
    })
}

/// `HxW`, or one number for both.
pub(super) fn size(text: &str) -> std::result::Result<[usize; 2], String> {
    let parts: Option<Vec<usize>> = text.split(['x', 'X']).map(|p| p.parse().ok()).collect();
    match parts.as_deref() {
        Some(&[height, width]) => Ok([height, width]),
        Some(&[side]) => Ok([side, side]),
        _ => Err("expected HxW, as 224x224".to_owned()),
    }
}

/// A number, or one divided by another.
pub(super) fn fraction(text: &str) -> std::result::Result<f64, String> {
    let number = |t: &str| t.trim().parse::<f64>().map_err(|_| format!("{t:?} is not a number"));
    match text.split_once('/') {
        Some((above, below)) => Ok(number(above)? / number(below)?),
        None => number(text),
    }
}
