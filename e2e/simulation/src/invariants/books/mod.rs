//! What the invariants remember of a run.

mod foreign;
mod judge;
mod memory;
mod pages;

pub(crate) use foreign::BEGINS;
pub use judge::Books;
pub(crate) use judge::Judge;
pub(crate) use memory::Pause;
