//! The image that `make image` has written: what is in it, and that it runs in an empty root. `make test-image` names its folder
//! here; without it there is nothing to test.
#![allow(clippy::unwrap_used)]

mod bill_of_materials;
mod content;
mod empty_root;
mod name_server;
mod running;
mod unpacked;

use std::path::PathBuf;

/// Names the folder that `make image` has written.
const FOLDER: &str = "AZWIB_IMAGE";

/// The folder of the image, where it is named.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os(FOLDER).map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: {FOLDER} names no image; run `make test-image`");
    }
    folder
}
