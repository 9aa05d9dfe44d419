//! The charts of `config/charts/`, by the real Helm: they render what kustomize renders from `config/`, each value does what it says and
//! nothing else, bad values are refused, and an API server takes all of it. `make test-chart` runs this.
#![allow(clippy::unwrap_used, clippy::panic)]

mod accepted;
mod charts_on_disk;
mod completeness;
mod config;
mod flags;
mod installed;
mod objects;
mod package;
mod pods;
mod readme;
mod refused;
mod tools;
mod values;
