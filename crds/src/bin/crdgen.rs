//! Writes the CustomResourceDefinitions to `config/crd/`; with `--check`, tells whether that folder is up to date.
fn main() {}
