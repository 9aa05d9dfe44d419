//! What the operator's binary does besides running the operator. A command ends by itself.

pub mod crds;
pub mod release;
