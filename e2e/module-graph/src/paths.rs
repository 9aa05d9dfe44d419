//! The paths that an item names, apart from those of its `use`.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};
use syn::{Item, Path, VisRestricted};

/// A path as it is written: `["super", "Ledger"]`.
pub(crate) type Written = Vec<String>;

/// Every path of more than one segment in an item: one of a single segment is of the module itself, or imported.
pub(crate) fn paths_in(item: &Item) -> BTreeSet<Written> {
    let mut paths = Paths::default();
    paths.visit_item(item);
    paths.0
}

#[derive(Default)]
struct Paths(BTreeSet<Written>);

impl<'ast> Visit<'ast> for Paths {
    /// `pub(in path)` says who may see an item, and imports nothing.
    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}

    fn visit_path(&mut self, path: &'ast Path) {
        let segments: Written = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        if segments.len() > 1 && path.leading_colon.is_none() {
            self.0.insert(segments);
        }
        visit::visit_path(self, path);
    }
}
