//! A reader sees the old file or the new one.

use super::*;

fn old_file(folder: &Path) -> PathBuf {
    let path = folder.join("m.onnx");
    std::fs::write(&path, "old").expect("written");
    path
}

#[test]
fn a_stage_dropped_leaves_nothing_behind_and_the_target_untouched() {
    let folder = folder();
    let path = old_file(folder.path());
    let staged = stage(&small(), &path).expect("staged");
    assert_eq!(names(folder.path()).len(), 2, "it is written beside the target");
    staged.load().expect("it can be read before it has its name");
    drop(staged);
    assert_eq!(names(folder.path()), ["m.onnx"]);
    assert_eq!(std::fs::read(&path).expect("bytes"), b"old");
}

#[test]
fn a_commit_replaces_the_target() {
    let folder = folder();
    let path = old_file(folder.path());
    stage(&small(), &path).expect("staged").commit().expect("committed");
    assert_eq!(names(folder.path()), ["m.onnx"]);
    assert_eq!(std::fs::read(&path).expect("bytes"), to_bytes(&small()).expect("bytes"));
}

#[test]
fn a_target_that_became_a_folder_stays_and_nothing_is_left_beside_it() {
    let folder = folder();
    let path = folder.path().join("m.onnx");
    let staged = stage(&small(), &path).expect("staged");
    std::fs::create_dir(&path).expect("a folder");
    std::fs::write(path.join("inside"), "").expect("written");
    let text = staged.commit().expect_err("a folder in the way").to_string();
    assert!(text.contains("m.onnx") && text.contains("cannot be written"), "{text}");
    assert_eq!(names(folder.path()), ["m.onnx"]);
}

#[test]
fn a_folder_is_not_writable_as_a_file() {
    let folder = folder();
    for path in [folder.path().to_path_buf(), folder.path().join(".."), PathBuf::new()] {
        assert!(check_writable(&path).is_err(), "{}", path.display());
    }
    assert!(check_writable(folder.path()).expect_err("a folder").to_string().contains("is a folder"));
}

#[test]
fn a_file_in_the_place_of_a_parent_folder_is_an_error() {
    let folder = folder();
    let path = old_file(folder.path()).join("inside.onnx");
    assert!(check_writable(&path).expect_err("no folder").to_string().contains("cannot be written"));
    assert!(save(&small(), &path).is_err());
}

#[test]
fn what_is_read_is_not_written_and_nothing_is_written_twice() {
    let folder = folder();
    let read = old_file(folder.path());
    let (here, new) = (folder.path().join("x/../m.onnx"), folder.path().join("new/n.onnx"));
    std::fs::create_dir(folder.path().join("x")).expect("a folder");
    check_outputs(&[&new, &folder.path().join("n.onnx")], &[("model", &read)]).expect("two files of their own");
    let said = check_outputs(&[&new, &here], &[("labels", &read)]).expect_err("read").to_string();
    assert!(said.contains("is the labels itself"), "{said}");
    let said = check_outputs(&[&new, &folder.path().join("x/../new/n.onnx")], &[]).expect_err("twice").to_string();
    assert!(said.contains("two outputs"), "{said}");
    check_outputs(&[&new], &[("samples", &folder.path().join("not there"))]).expect("no matter");
}

#[test]
fn a_check_leaves_no_file_behind() {
    let folder = folder();
    let path = old_file(folder.path());
    check_writable(&path).expect("writable");
    check_writable(&folder.path().join("other.onnx")).expect("writable");
    assert_eq!(names(folder.path()), ["m.onnx"]);
}

#[test]
fn missing_parents_are_made() {
    let folder = folder();
    let path = folder.path().join("a/b/m.onnx");
    save(&small(), &path).expect("saved");
    write_atomically(&folder.path().join("c/d/report.json"), b"{}").expect("written");
    assert!(load(&path).is_ok());
    assert_eq!(std::fs::read(folder.path().join("c/d/report.json")).expect("bytes"), b"{}");
}

#[cfg(unix)]
#[test]
fn a_new_file_is_as_readable_as_any_other() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("m.onnx");
    save(&small(), &path).expect("saved");
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "").expect("written");
    let mode = |p: &Path| std::fs::metadata(p).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&path), mode(&plain));
}
