//! The one HTTP client under both generations of the Azure SDK.

pub mod allowed;
mod http;
mod listing;
mod operation;
mod resource_manager;
mod sign_in;

pub use http::{Exchange, NoReply, Reply};
pub(crate) use http::{Http, HttpOptions};
pub(crate) use resource_manager::ResourceManagerTransport;
pub(crate) use sign_in::SignInTransport;
