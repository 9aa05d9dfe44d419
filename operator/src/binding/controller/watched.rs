//! How objects are watched.

use kube_runtime::watcher;

/// Objects on a page of a list. What is kept of an object is small, but the API server holds a page whole, and each of its
/// objects may have more than a megabyte.
pub const PAGE: u32 = 100;

/// Lists and watches everything, page by page.
pub(super) fn watched() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}
