//! Loading the library, once for the process.

use super::super::quiet;
use super::search::{self, Place, Surroundings};
use crate::error::{Error, Result};
use std::ffi::{CStr, OsStr, c_char};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The oldest release that takes the calls of the crate that is built in: 1.22.
const OLDEST: u32 = ort::MINOR_VERSION;

/// The library that is loaded: its place and version.
static LOADED: Mutex<Option<(Place, String)>> = Mutex::new(None);

/// Loads the library that `named`, or else the surroundings, lead to, and returns its version. Later calls have to lead to
/// the same.
///
/// # Errors
/// When there is none, or what is there is no ONNX Runtime, too old, or another one than was loaded before.
pub fn load(named: Option<&Path>) -> Result<String> {
    let place = Surroundings::of_process(named).search()?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((before, version)) = &*loaded {
        return match *before == place {
            true => Ok(version.clone()),
            false => Err(Error::other(format!("ONNX Runtime {version} is loaded already, and a process has only one"))),
        };
    }
    let version = match &place {
        Place::File(path) => load_file(path).map_err(|why| Error::file(path, why))?,
        Place::Loader(name, looked) => load_from(name.as_ref()).map_err(|why| search::not_found(name, looked, &why))?,
    };
    tracing::debug!(version, ?place, "ONNX Runtime loaded");
    *loaded = Some((place, version.clone()));
    Ok(version)
}

fn load_file(path: &Path) -> std::result::Result<String, String> {
    // From the working directory: for a mere name the loader would look elsewhere.
    let path = std::path::absolute(path).map_err(|e| format!("cannot be found: {e}"))?;
    load_from(path.as_os_str())
}

/// Loads the library called `name`: a path, or what the loader has under this name.
fn load_from(name: &OsStr) -> std::result::Result<String, String> {
    let version = checked(name)?;
    let text = name.to_str().ok_or("lies at a path that is not Unicode; copy it elsewhere")?;
    // It is fit, as was tested; what goes wrong all the same must not end the program.
    let committed = quiet::catch(|| ort::init_from(text).with_telemetry(false).commit());
    match committed {
        Ok(Ok(_)) => Ok(version),
        Ok(Err(error)) => Err(format!("is ONNX Runtime {version}, which does not start: {error}")),
        Err(_) => Err(format!("is ONNX Runtime {version}, which does not start")),
    }
}

/// The version of the library, if it is one of ONNX Runtime that can be used. It stays loaded.
#[expect(
    unsafe_code,
    reason = "calls into a library; what is called is what ONNX Runtime has exported since its first release"
)]
fn checked(name: &OsStr) -> std::result::Result<String, String> {
    // SAFETY: what a library does while it is loaded is up to whoever named it.
    let library = unsafe { libloading::Library::new(name) }.map_err(|e| format!("cannot be loaded: {}", causes(&e)))?;
    // Once loaded it keeps threads of its own, and never goes away.
    let library = Box::leak(Box::new(library));
    type Getter = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
    // SAFETY: the type is that of the symbol in ONNX Runtime's header.
    let getter = unsafe { library.get::<Getter>(b"OrtGetApiBase\0") };
    let getter = getter.map_err(|_| "is no ONNX Runtime: it has no OrtGetApiBase".to_owned())?;
    // SAFETY: it takes nothing, and returns null or a table that lives as long as the library; its text ends with a zero.
    let version = unsafe {
        let base = getter().as_ref().ok_or("is no ONNX Runtime: OrtGetApiBase gives nothing")?;
        let text: *const c_char = (base.GetVersionString)();
        if text.is_null() {
            return Err("is no ONNX Runtime: it states no version".to_owned());
        }
        CStr::from_ptr(text).to_string_lossy().into_owned()
    };
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(1), Some(minor)) if minor < OLDEST => Err(format!(
            "is ONNX Runtime {version}; 1.{OLDEST} or later is needed: `pip install --upgrade onnxruntime`"
        )),
        (Some(1), Some(_)) => Ok(version),
        _ => Err(format!("is no ONNX Runtime that is known here: it states the version {version:?}")),
    }
}

/// An error with what lies behind it: the loader's own words stand there.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("libonnxruntime.so");
        std::fs::write(&file, "this is no library").expect("written");
        // Of what a process has loaded already, `load` would speak first.
        let error = load_file(&file).expect_err("no library");
        assert!(error.starts_with("cannot be loaded: "), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn another_library_is_refused() {
        // The C library itself: always there, under a name that its loader knows.
        let error = load_from("libc.so.6".as_ref()).expect_err("another library");
        assert!(error.contains("is no ONNX Runtime"), "{error}");
    }

    #[test]
    fn a_library_that_is_nowhere_is_an_error() {
        assert!(load_from("libno-such-library-of-onnxruntime.so".as_ref()).is_err());
    }
}
