//! What a request to Azure is about.

use azure_simulator::core::Azure;
use azure_simulator::core::http::{Request, Response};
use azure_simulator::core::state::FederatedCredential;

/// The credential that a request is about, as it is before the request's effect.
#[derive(Debug, Clone, Default)]
pub struct Target {
    pub identity: String,
    pub name: Option<String>,
    pub credential: Option<FederatedCredential>,
}

impl Target {
    pub fn of(azure: &Azure, request: &Request) -> Self {
        let path = request.path.as_str();
        let marker = "/federatedIdentityCredentials";
        let at = path.to_ascii_lowercase().find(&marker.to_ascii_lowercase());
        let (identity, rest) = at.map_or((path, ""), |at| path.split_at(at));
        let name = rest.get(marker.len() + 1..).map(str::to_ascii_lowercase);
        let credential = name
            .as_ref()
            .and_then(|name| azure.identity(identity)?.credentials.get(name).cloned());
        Self {
            identity: identity.to_ascii_lowercase(),
            name,
            credential,
        }
    }
}

/// A request in the moment of its effect.
#[derive(Debug)]
pub struct Effect<'a> {
    pub azure: &'a Azure,
    /// Its number in Azure's log.
    pub id: u64,
    pub request: &'a Request,
    /// What it is about, as that was before.
    pub before: &'a Target,
}

/// How a request ended for the process that sent it.
#[derive(Debug)]
pub struct Answered<'a> {
    pub request: &'a Request,
    /// Whether the answer is a fault of the run, whatever it looks like.
    pub disturbed: bool,
    /// Absent where it was lost, or the request was.
    pub answer: Option<&'a Response>,
}

/// What is asked for: a method, or LIST.
pub fn operation(request: &Request) -> &'static str {
    let list = request
        .path
        .to_ascii_lowercase()
        .ends_with("/federatedidentitycredentials");
    match request.method.as_str() {
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ if list => "LIST",
        _ => "GET",
    }
}

/// The lower-cased name of the credential that a request is about.
pub fn credential_of(request: &Request) -> Option<String> {
    credential_in(&request.path)
}

/// The lower-cased name of the credential that a path is about.
pub fn credential_in(path: &str) -> Option<String> {
    let path = path.to_ascii_lowercase();
    let (_, name) = path.split_once("/federatedidentitycredentials/")?;
    Some(name.to_owned())
}

/// The lower-cased id of the identity that a request is about.
pub fn identity_of(request: &Request) -> String {
    let path = request.path.to_ascii_lowercase();
    let end = path
        .find("/federatedidentitycredentials")
        .unwrap_or(path.len());
    path[..end].to_owned()
}
