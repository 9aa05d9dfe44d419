//! The facts of docs/model.md, one test or more for each: a plain HTTP client against the simulator over https.
//! A test here fails when the behaviour of its rows is taken out.

mod authentication;
mod authorization;
mod credentials;
mod documentation;
mod entra_documents;
mod exchange;
mod identities;
mod requests;
mod resource_groups;
mod subscriptions;
mod support;
mod token_requests;
