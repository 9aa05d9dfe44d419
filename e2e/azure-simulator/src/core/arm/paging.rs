//! Lists in pages: `$top`, `$skiptoken`, `nextLink`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::error::{ArmError, ArmResult};
use crate::core::http::{Request, Response};

/// Makes one page of entries that are sorted by key. The token names the last key given out, so that an entry
/// that comes or goes between two pages makes no other one appear twice or be missed.
pub(crate) fn page(
    request: &Request,
    default_size: usize,
    entries: Vec<(String, Value)>,
) -> ArmResult<Response> {
    let size = match request.query_parameter("$top") {
        None => default_size.max(1),
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|top| *top >= 1)
            .ok_or_else(|| invalid("$top", &text))?
            .min(default_size.max(1)),
    };
    let after = match request.query_parameter("$skiptoken") {
        None => None,
        Some(token) => Some(decode(&token).ok_or_else(|| invalid("$skiptoken", &token))?),
    };
    let mut rest = entries
        .into_iter()
        .skip_while(|(key, _)| after.as_ref().is_some_and(|after| key <= after));
    let taken: Vec<(String, Value)> = rest.by_ref().take(size).collect();
    let mut body = Map::new();
    if let (Some((last, _)), true) = (taken.last(), rest.next().is_some()) {
        body.insert("nextLink".into(), json!(next_link(request, last)));
    }
    let values = taken.into_iter().map(|(_, value)| value).collect();
    body.insert("value".into(), Value::Array(values));
    Ok(Response::json(StatusCode::OK, &Value::Object(body)))
}

fn next_link(request: &Request, last: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in url::form_urlencoded::parse(request.query.as_bytes()) {
        if !name.eq_ignore_ascii_case("$skiptoken") {
            query.append_pair(&name, &value);
        }
    }
    query.append_pair("$skiptoken", &URL_SAFE_NO_PAD.encode(last));
    format!("{}{}?{}", request.base_url, request.path, query.finish())
}

fn decode(token: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

fn invalid(parameter: &str, value: &str) -> ArmError {
    ArmError::bad_request(format!(
        "The value '{value}' of the query parameter '{parameter}' is invalid."
    ))
}
