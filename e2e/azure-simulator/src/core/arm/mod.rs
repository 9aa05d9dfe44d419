//! Azure Resource Manager: subscriptions, resource groups, managed identities and their credentials.

mod admission;
pub(crate) mod api_version;
mod arrival;
pub(crate) mod authentication;
mod body;
mod credentials;
mod dispatch;
pub(crate) mod error;
mod guards;
mod headers;
mod identities;
pub(crate) mod ids;
mod locations;
mod management_locks;
mod metadata;
mod paging;
mod resource_groups;
pub(crate) mod route;
mod subscriptions;
mod throttling;
mod tree;

pub(crate) use self::arrival::{Admitted, Arrival};
