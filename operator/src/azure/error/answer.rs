//! An unsuccessful answer, before it is classed.

use super::cause::Cause;
use super::sanitize::safe_line;
use crate::azure::retry_after::RetryAfter;

/// The parts of an unsuccessful answer that matter.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) code: Option<&'a str>,
    pub(crate) message: Option<&'a str>,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) retry_after: Option<RetryAfter>,
    /// The body was JSON, as everything is that Resource Manager itself says.
    pub(crate) is_json: bool,
    /// The media type of a body that was none.
    pub(crate) media_type: Option<&'a str>,
    /// Where a redirect leads.
    pub(crate) location: Option<&'a str>,
    /// What was sent and must not come back in a text.
    pub(crate) secrets: &'a [&'a str],
}

impl Answer<'_> {
    pub(super) fn cause(&self) -> Option<Cause> {
        match self.status {
            300..=399 => Some(Cause::NotAzure),
            _ if !self.is_json => Some(Cause::NotAzure),
            408 | 500.. => Some(Cause::Fault),
            _ => None,
        }
    }

    /// What came instead of a message of Azure, in our words.
    pub(super) fn instead(&self) -> Option<String> {
        if let (300..=399, Some(location)) = (self.status, self.location) {
            let host = url::Url::parse(location).ok();
            let host = host.as_ref().and_then(url::Url::host_str);
            let to = host.unwrap_or("another path");
            return Some(safe_line(&format!("a redirect to {to}")));
        }
        let is_page = self.media_type.is_some_and(|it| it.contains("html"));
        (is_page && !self.is_json).then(|| "a web page".to_owned())
    }
}
