//! What a fault does to an answer.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::http::{Answer, Response, Service};
use super::tunables::status;

/// What the caller gets instead of the right answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum FaultAction {
    /// Another answer.
    Respond {
        /// HTTP status.
        status: u16,
        /// `error.code` of an error in Resource Manager's shape, where `body` is absent.
        #[serde(default)]
        code: String,
        /// `error.message`, likewise.
        #[serde(default)]
        message: String,
        /// Headers to add, such as `Retry-After`.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The whole body, instead of `code` and `message`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<Value>,
    },
    /// The connection is closed without an answer.
    DropConnection,
    /// Status 200 with a body that is not JSON.
    InvalidBody,
    /// The connection stays open and no answer comes.
    NeverAnswer,
    /// The connection is reset in the middle of the answer's body.
    CutOff,
    /// The HTML page of something between the caller and Azure.
    HtmlPage {
        /// HTTP status.
        status: u16,
    },
    /// A redirect, which Azure's clients do not expect.
    Redirect {
        /// Where to.
        location: String,
    },
    /// No answer, and the effect comes later all the same. `when` has no meaning.
    LateEffect {
        /// After so many milliseconds.
        milliseconds: u64,
        /// Whether it counts as under way until then, so that other writes on the identity are refused. If not, it is lost
        /// where another one is under way when it comes.
        #[serde(default)]
        keeps_turn: bool,
        /// Whether the connection stays open; otherwise it is closed.
        #[serde(default)]
        keeps_connection: bool,
    },
}

impl FaultAction {
    /// What the caller gets; `right` is the answer that it should have got, once there is one. `service` decides the
    /// error's shape.
    pub(crate) fn answer(&self, service: Service, right: Option<Response>) -> Answer {
        match self {
            Self::DropConnection => Answer::ConnectionDropped,
            Self::NeverAnswer | Self::LateEffect { .. } => Answer::Never,
            Self::CutOff => Answer::CutOff(right.unwrap_or_else(half_an_identity)),
            Self::HtmlPage { status } => Answer::Response(html_page(*status)),
            Self::Redirect { location } => Answer::Response(
                Response::empty(StatusCode::TEMPORARY_REDIRECT).with_header("location", location),
            ),
            Self::InvalidBody => Answer::Response(half_an_identity()),
            Self::Respond {
                status,
                code,
                message,
                headers,
                body,
            } => {
                let body = body.clone().unwrap_or_else(|| match service {
                    Service::ResourceManager => {
                        json!({"error": {"code": code, "message": message}})
                    }
                    Service::Entra | Service::Issuer => {
                        json!({"error": code, "error_description": message})
                    }
                });
                let status = self::status(*status);
                Answer::Response(
                    headers
                        .iter()
                        .fold(Response::json(status, &body), |response, (name, value)| {
                            response.with_header(name, value)
                        }),
                )
            }
        }
    }
}

fn half_an_identity() -> Response {
    Response::empty(StatusCode::OK)
        .with_header("content-type", "application/json; charset=utf-8")
        .with_body("{\"id\": ")
}

/// A page as gateways make them.
fn html_page(status: u16) -> Response {
    let status = self::status(status);
    let title = format!("{status}");
    Response::empty(status)
        .with_header("content-type", "text/html")
        .with_body(format!(
            "<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"
        ))
}
