//! The probes, a file for each.

mod context;
mod duplicate;
mod full_identity;
mod limit;
mod lock;
mod new_identity;
mod page_size;
mod read_lag;
mod refusals;
mod regions;
mod single_writer;
mod span;
mod throttling;
mod token;

pub use self::context::{Context, Waiting};
use crate::cli::ProbeName;
use crate::error::Error;
use crate::facts::Fact;

/// Runs a probe.
///
/// # Errors
/// It cannot tell.
pub async fn probe(name: ProbeName, context: &Context<'_>) -> Result<Vec<Fact>, Error> {
    match name {
        ProbeName::Token => Ok(token::probe(&context.arm.token().await, &context.assumed)),
        ProbeName::NewIdentity => new_identity::probe(context).await,
        ProbeName::SingleWriter => single_writer::probe(context).await,
        ProbeName::Duplicate => duplicate::probe(context).await,
        ProbeName::Limit => limit::probe(context).await,
        ProbeName::PageSize => page_size::probe(context).await,
        ProbeName::ReadLag => read_lag::probe(context).await,
        ProbeName::Lock => lock::probe(context).await,
        ProbeName::Refusals => refusals::probe(context).await,
        ProbeName::Regions => regions::probe(context).await,
        ProbeName::Throttling => throttling::probe(context).await,
    }
}
