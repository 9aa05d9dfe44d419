//! Charts that differ from those of `config/charts/`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::tools::chart;

/// A copy of a chart with some files changed.
pub(crate) fn changed(
    name: &str,
    folder: &Path,
    change: impl Fn(&str, String) -> String,
) -> PathBuf {
    fn copy(from: &Path, to: &Path, change: &dyn Fn(&str, String) -> String) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &target, change);
            } else {
                let name = entry.file_name();
                let text = fs::read_to_string(entry.path()).unwrap();
                fs::write(target, change(name.to_str().unwrap(), text)).unwrap();
            }
        }
    }
    let to = folder.join(name);
    copy(&chart(name), &to, &change);
    to
}
