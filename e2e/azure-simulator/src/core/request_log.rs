//! Every request with its outcome, in the order of arrival, and every secret that went over the wire.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::http::{Request, Service};
use super::throttle::ThrottleScope;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRecord {
    /// Counts requests from 1.
    pub id: u64,
    /// The service it went to.
    pub service: Service,
    /// HTTP method.
    pub method: String,
    /// Path as sent.
    pub path: String,
    /// The query's `api-version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// What it asks for, by the name that Azure's API description gives it; `Unknown` for anything else.
    pub operation: String,
    /// Client id of the caller, once it is authenticated (for token requests: the one it claims).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<Uuid>,
    /// When it arrived.
    pub started: Timestamp,
    /// When the answer was handed out or the caller had gone; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// HTTP status of the answer; absent while it runs and when no answer was handed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `x-ms-request-id` of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Whether its effect, if it has one, took place.
    pub effective: bool,
    /// When it took place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Timestamp>,
    /// The lower-cased id of the identity whose credentials it writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The write on the same identity that was under way, for which it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlaps: Option<u64>,
    /// The budget that was used up, for which it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_by: Option<ThrottleScope>,
    /// Whether it was held.
    pub held: bool,
}

impl RequestRecord {
    /// A request that has just arrived.
    pub(crate) fn new(id: u64, request: &Request, operation: &str, now: Timestamp) -> Self {
        Self {
            id,
            service: request.service,
            method: request.method.to_string(),
            path: request.path.clone(),
            api_version: request.query_parameter("api-version"),
            operation: operation.to_owned(),
            caller: None,
            started: now,
            ended: None,
            status: None,
            request_id: None,
            effective: false,
            effect: None,
            identity: None,
            overlaps: None,
            throttled_by: None,
            held: false,
        }
    }
}

/// What kind of secret went over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecretKind {
    /// An access token that the simulator issued.
    AccessToken,
    /// A client assertion that it received.
    ClientAssertion,
    /// A client secret that it received.
    ClientSecret,
    /// A bearer token that it received.
    BearerToken,
}

/// A secret that went over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenSecret {
    /// Its kind.
    pub kind: SecretKind,
    /// The secret itself.
    pub value: String,
}

/// The log of requests and secrets.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    last_id: u64,
    pub(crate) records: Vec<RequestRecord>,
    pub(crate) secrets: Vec<SeenSecret>,
}

impl RequestLog {
    /// The id of the next record, which `open` must then be given.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(crate) fn open(&mut self, record: RequestRecord) {
        self.records.push(record);
    }

    /// The record with this id; `None` once the log was cleared.
    pub(crate) fn record(&mut self, id: u64) -> Option<&mut RequestRecord> {
        let index = self.records.binary_search_by_key(&id, |r| r.id).ok()?;
        self.records.get_mut(index)
    }

    pub(crate) fn find(&self, id: u64) -> Option<&RequestRecord> {
        let index = self.records.binary_search_by_key(&id, |r| r.id).ok()?;
        self.records.get(index)
    }

    /// Remembers a secret, once.
    pub(crate) fn secret(&mut self, kind: SecretKind, value: &str) {
        if !value.is_empty() && !self.secrets.iter().any(|seen| seen.value == value) {
            self.secrets.push(SeenSecret {
                kind,
                value: value.to_owned(),
            });
        }
    }

    /// Forgets records and secrets; ids go on counting.
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.secrets.clear();
    }
}
