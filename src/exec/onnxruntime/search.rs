//! Where ONNX Runtime's shared library may lie on a machine. Nothing is run or loaded to find out.

use crate::error::{Error, Result};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The variable that names the library, the same that other users of it read.
const VARIABLE: &str = "ORT_DYLIB_PATH";
/// Below the root of a Python package folder.
const CAPI: &str = "onnxruntime/capi";
/// What to do where there is none.
const HOW_TO_GET: &str = "`pip install onnxruntime` in the active Python environment, or name the library with --onnxruntime PATH or \
     the variable ORT_DYLIB_PATH";

/// Where the library is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// This file.
    File(PathBuf),
    /// Wherever the system's loader finds a library of this name, if it does; and where else was looked before.
    Loader(&'static str, Vec<PathBuf>),
}

/// What of the surroundings says where to look.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// What the user named: the library, or a folder with it.
    pub named: Option<PathBuf>,
    /// The value of the variable.
    pub variable: Option<PathBuf>,
    /// The roots of the active Python environment, the nearest first.
    pub pythons: Vec<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process(named: Option<&Path>) -> Self {
        let given = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let mut pythons: Vec<PathBuf> = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(given).collect();
        pythons.extend(env::var_os("PATH").map(|path| roots_of_python(&path)).unwrap_or_default());
        pythons.extend(given("PYTHONUSERBASE"));
        pythons.extend(user_bases(given("HOME").as_deref(), given("APPDATA").as_deref()));
        Self { named: named.map(Path::to_path_buf), variable: given(VARIABLE), pythons }
    }

    /// Where the library is.
    ///
    /// # Errors
    /// When a place that was stated holds none.
    pub fn search(&self) -> Result<Place> {
        if let Some(path) = &self.named {
            return stated(path, "is where --onnxruntime says that ONNX Runtime is");
        }
        if let Some(path) = &self.variable {
            return stated(path, "is where the variable ORT_DYLIB_PATH says that ONNX Runtime is");
        }
        let folders: Vec<PathBuf> = self.pythons.iter().flat_map(|root| package_folders(root)).collect();
        let found = folders.iter().find_map(|folder| library_in(&folder.join(CAPI)));
        Ok(found.map_or_else(|| Place::Loader(loader_name(), self.pythons.clone()), Place::File))
    }
}

/// That there is none anywhere.
pub fn not_found(name: &str, looked: &[PathBuf], why: &str) -> Error {
    let looked: Vec<String> = looked.iter().map(|root| format!("{}, ", root.display())).collect();
    Error::other(format!(
        "no ONNX Runtime: looked for the Python package in {}and for {name} where the system keeps libraries ({why}); \
         {HOW_TO_GET}",
        looked.concat()
    ))
}

/// The library at a place that somebody stated.
fn stated(path: &Path, says: &str) -> Result<Place> {
    if path.is_file() {
        return Ok(Place::File(path.to_path_buf()));
    }
    let below = ["", "lib", "bin", "capi", CAPI].map(|part| path.join(part));
    let packages = package_folders(path).into_iter().map(|folder| folder.join(CAPI));
    let found = below.into_iter().chain(packages).find_map(|folder| library_in(&folder));
    let missing = || {
        let what = if path.exists() { "but no library of it is there" } else { "but there is no such file or folder" };
        Error::file(path, format!("{says}, {what}; get it with {HOW_TO_GET}"))
    };
    found.map(Place::File).ok_or_else(missing)
}

/// The name that the system's loader is asked for.
fn loader_name() -> &'static str {
    if cfg!(windows) {
        "onnxruntime.dll"
    } else if cfg!(target_vendor = "apple") {
        "libonnxruntime.dylib"
    } else {
        "libonnxruntime.so"
    }
}

/// Whether a file of this name is the library, of any version: `libonnxruntime.so.1.31.1`, `libonnxruntime.1.31.1.dylib`. The
/// libraries beside it, as that of execution providers, are named alike.
fn is_library(name: &str) -> bool {
    let rest = name.strip_prefix("libonnxruntime.").unwrap_or_default();
    name == "onnxruntime.dll" || rest == "so" || rest.starts_with("so.") || rest.ends_with("dylib")
}

/// Where `pip install --user` puts packages: below the home folder, on macOS in a folder for each version there, on Windows for
/// each version in that of programs' data. The newest version comes first.
fn user_bases(home: Option<&Path>, data: Option<&Path>) -> Vec<PathBuf> {
    let all = |folder: PathBuf, wanted: fn(&str) -> bool| {
        let names = names_in(&folder, wanted);
        names.into_iter().rev().map(move |name| folder.join(name)).collect::<Vec<_>>()
    };
    let mut bases: Vec<PathBuf> = home.map(|home| home.join(".local")).into_iter().collect();
    bases.extend(home.into_iter().flat_map(|home| all(home.join("Library/Python"), |name| name.starts_with("3."))));
    bases.extend(data.into_iter().flat_map(|data| all(data.join("Python"), |name| name.starts_with("Python3"))));
    bases
}

/// A name with its numbers as such: 3.9 comes before 3.12.
fn with_numbers(name: &str) -> Vec<(String, u64)> {
    let mut parts = vec![(String::new(), 0u64)];
    let mut after_digit = false;
    for character in name.chars() {
        let digit = character.to_digit(10).map(u64::from);
        if digit.is_none() && after_digit {
            parts.push((String::new(), 0));
        }
        after_digit = digit.is_some();
        if let Some((text, number)) = parts.last_mut() {
            match digit {
                Some(digit) => *number = number.saturating_mul(10).saturating_add(digit),
                None => text.push(character),
            }
        }
    }
    parts
}

/// The names in a folder that `wanted` picks, later versions last; none where it cannot be listed.
fn names_in(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| wanted(name)).collect();
    names.sort_by_cached_key(|name| (with_numbers(name), name.clone()));
    names
}

/// The library in a folder; of several the latest version.
fn library_in(folder: &Path) -> Option<PathBuf> {
    names_in(folder, is_library).last().map(|name| folder.join(name))
}

/// Where an environment with the root `root` may keep packages: `lib/python3.11/site-packages`, on Debian `dist-packages`, on
/// Windows `Lib/site-packages`; below what a user has for one version, `lib/python/site-packages` on macOS, or `site-packages`.
fn package_folders(root: &Path) -> Vec<PathBuf> {
    let mut folders =
        ["Lib/site-packages", "lib/python/site-packages", "site-packages"].map(|part| root.join(part)).to_vec();
    // What the system installed, and what pip installed for all users.
    for lib in ["lib", "lib64", "local/lib"].map(|lib| root.join(lib)) {
        let versions = names_in(&lib, |name| name.starts_with("python3") || name.starts_with("pypy3"));
        for version in versions.iter().rev() {
            folders.extend(["site-packages", "dist-packages"].map(|kind| lib.join(version).join(kind)));
        }
    }
    folders
}

/// The versions that are on in the pyenv with the root `root`, which has a script in the place of each program.
fn pyenv_versions(root: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_to_string(root.join("version")).unwrap_or_default();
    names.lines().map(|name| root.join("versions").join(name.trim())).collect()
}

/// The roots of the Python that the folders of `path` lead to: that of the environment whose link it is, and its own.
fn roots_of_python(path: &OsString) -> Vec<PathBuf> {
    let name = if cfg!(windows) { "python.exe" } else { "python3" };
    let Some(found) = env::split_paths(path).map(|folder| folder.join(name)).find(|file| file.is_file()) else {
        return Vec::new();
    };
    let root = |file: &Path| {
        let folder = file.parent()?;
        Some(if cfg!(windows) { folder.to_path_buf() } else { folder.parent()?.to_path_buf() })
    };
    let mut roots: Vec<PathBuf> = root(&found).into_iter().collect();
    let shims = found.parent().is_some_and(|folder| folder.ends_with("shims"));
    roots.extend(roots.first().filter(|_| shims).map(|root| pyenv_versions(root)).unwrap_or_default());
    roots.extend(found.canonicalize().ok().and_then(|own| root(&own)));
    roots.dedup();
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with an empty file at `path`.
    fn with_file(path: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        std::fs::write(&file, "").expect("written");
        folder
    }

    #[test]
    fn only_the_library_itself_counts() {
        for name in ["libonnxruntime.so", "libonnxruntime.so.1.31.1", "libonnxruntime.1.22.0.dylib", "onnxruntime.dll"]
        {
            assert!(is_library(name), "{name}");
        }
        for name in ["libonnxruntime_providers_shared.so", "onnxruntime_pybind11_state.so", "libonnxruntime.a"] {
            assert!(!is_library(name), "{name}");
        }
    }

    #[test]
    fn what_is_stated_comes_first_and_may_be_a_folder() {
        const FILE: &str = "lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.31.1";
        let (named, variable, python) = (with_file(FILE), with_file("libonnxruntime.so"), with_file(FILE));
        let mut surroundings = Surroundings {
            named: Some(named.path().to_path_buf()),
            variable: Some(variable.path().join("libonnxruntime.so")),
            pythons: vec![variable.path().to_path_buf(), python.path().to_path_buf()],
        };
        let found = || surroundings.search().expect("found");
        assert_eq!(found(), Place::File(named.path().join(FILE)));
        surroundings.named = None;
        let found = || surroundings.search().expect("found");
        assert_eq!(found(), Place::File(variable.path().join("libonnxruntime.so")));
        surroundings.variable = None;
        let found = surroundings.search().expect("found");
        assert_eq!(found, Place::File(python.path().join(FILE)));
    }

    #[test]
    fn of_several_pythons_the_newest_is_taken() {
        let folder = with_file("lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.30.0");
        let newer = folder.path().join("lib/python3.12/dist-packages/onnxruntime/capi");
        std::fs::create_dir_all(&newer).expect("made");
        std::fs::write(newer.join("libonnxruntime.so.1.31.1"), "").expect("written");
        let surroundings = Surroundings { pythons: vec![folder.path().to_path_buf()], ..Surroundings::default() };
        let found = surroundings.search().expect("found");
        assert_eq!(found, Place::File(newer.join("libonnxruntime.so.1.31.1")));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let folder = with_file("lib/python3.9/site-packages/onnxruntime/capi/libonnxruntime.so.1.31.1");
        let newer = folder.path().join("lib/python3.12/site-packages/onnxruntime/capi");
        std::fs::create_dir_all(&newer).expect("made");
        for version in ["1.9.0", "1.31.1", "1.4.2"] {
            std::fs::write(newer.join(format!("libonnxruntime.so.{version}")), "").expect("written");
        }
        let surroundings = Surroundings { pythons: vec![folder.path().to_path_buf()], ..Surroundings::default() };
        let found = surroundings.search().expect("found");
        assert_eq!(found, Place::File(newer.join("libonnxruntime.so.1.31.1")));
        for names in [["a", "b"], ["a9", "a10"], ["a.9", "a.9.1"], ["a99999999999999999999", "b"], ["pypy3", "python3"]]
        {
            assert!(with_numbers(names[0]) < with_numbers(names[1]), "{names:?}");
        }
    }

    #[test]
    fn what_a_user_has_of_their_own_is_found_on_each_system() {
        const LIBRARY: &str = "onnxruntime/capi/libonnxruntime.so";
        for folder in [
            ".local/lib/python3.11/site-packages",
            "Library/Python/3.12/lib/python/site-packages",
            "Python/Python312/site-packages",
        ] {
            let home = with_file(&format!("{folder}/{LIBRARY}"));
            let pythons = user_bases(Some(home.path()), Some(home.path()));
            let found = Surroundings { pythons, ..Surroundings::default() }.search().expect("found");
            assert_eq!(found, Place::File(home.path().join(folder).join(LIBRARY)));
        }
        let home = with_file("Library/Python/3.9/x");
        std::fs::create_dir_all(home.path().join("Library/Python/3.12")).expect("made");
        let bases = user_bases(Some(home.path()), None);
        assert_eq!(bases[1..], ["3.12", "3.9"].map(|version| home.path().join("Library/Python").join(version)));
    }

    #[test]
    fn a_stated_place_without_it_is_an_error_that_says_how_to_get_it() {
        let folder = with_file("notes.txt");
        for (path, what) in [(folder.path().to_path_buf(), "no library"), (folder.path().join("x"), "no such file")] {
            let named = Surroundings { named: Some(path.clone()), ..Surroundings::default() };
            let variable = Surroundings { variable: Some(path), ..Surroundings::default() };
            for (surroundings, who) in [(named, "--onnxruntime says"), (variable, "ORT_DYLIB_PATH says")] {
                let error = surroundings.search().expect_err("nothing there").to_string();
                for word in [what, who, "pip install onnxruntime"] {
                    assert!(error.contains(word), "{error}");
                }
            }
        }
    }

    #[test]
    fn where_nothing_is_known_the_loader_is_asked() {
        let empty = with_file("x");
        let surroundings = Surroundings { pythons: vec![empty.path().to_path_buf()], ..Surroundings::default() };
        let found = surroundings.search().expect("a name");
        let Place::Loader(name, looked) = found else { panic!("{found:?}") };
        assert_eq!(looked, [empty.path()]);
        let error = not_found(name, &looked, "nothing there").to_string();
        for word in [name, &empty.path().display().to_string(), "pip install onnxruntime", "--onnxruntime"] {
            assert!(error.contains(word), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn pyenv_leads_to_the_version_that_is_on() {
        let pyenv = with_file("shims/python3");
        std::fs::write(pyenv.path().join("version"), "3.12.7\n").expect("written");
        let path = env::join_paths([pyenv.path().join("shims")]).expect("a path");
        assert_eq!(roots_of_python(&path)[..2], [pyenv.path().to_path_buf(), pyenv.path().join("versions/3.12.7")]);
    }

    #[cfg(unix)]
    #[test]
    fn the_python_on_the_path_leads_to_its_environment_and_to_its_own_root() {
        let own = with_file("usr/bin/python3.11");
        let venv = with_file("bin/activate");
        let (usr, link) = (own.path().join("usr"), venv.path().join("bin/python3"));
        std::os::unix::fs::symlink(usr.join("bin/python3.11"), &link).expect("a link");
        let path = env::join_paths([own.path(), &venv.path().join("bin")]).expect("a path");
        let usr = usr.canonicalize().expect("there");
        assert_eq!(roots_of_python(&path), [venv.path().to_path_buf(), usr]);
    }
}
