//! What somebody needs the right to, as the API server knows it: a verb on a path that is no resource.

use axum::http::Method;

/// Where what is logged is read and changed.
pub(super) const LOG_LEVEL: &str = "/debug/flags/log-level";

/// A verb on a path, and the ClusterRole of azwib that gives it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Right {
    pub(super) verb: &'static str,
    pub(super) path: &'static str,
    pub(super) role: &'static str,
}

/// The right that kubebuilder's `metrics-reader` gives.
static SCRAPE: Right = Right {
    verb: "get",
    path: "/metrics",
    role: "azwib-metrics-reader",
};

static READ_LOG_LEVEL: Right = Right {
    verb: "get",
    path: LOG_LEVEL,
    role: "azwib-log-level-editor",
};

static CHANGE_LOG_LEVEL: Right = Right {
    verb: "put",
    path: LOG_LEVEL,
    role: "azwib-log-level-editor",
};

impl Right {
    /// The one that a request needs. A path that nothing is served at is told only to those who may scrape.
    pub(super) fn needed(method: &Method, path: &str) -> &'static Self {
        match (path, method) {
            (LOG_LEVEL, &Method::GET | &Method::HEAD) => &READ_LOG_LEVEL,
            (LOG_LEVEL, _) => &CHANGE_LOG_LEVEL,
            _ => &SCRAPE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_read_may_not_change() {
        for (method, path, verb, of_path) in [
            (Method::GET, "/metrics", "get", "/metrics"),
            (Method::GET, LOG_LEVEL, "get", LOG_LEVEL),
            (Method::HEAD, LOG_LEVEL, "get", LOG_LEVEL),
            (Method::PUT, LOG_LEVEL, "put", LOG_LEVEL),
            (Method::POST, LOG_LEVEL, "put", LOG_LEVEL),
            (Method::PUT, "/debug/flags", "get", "/metrics"),
        ] {
            let needed = Right::needed(&method, path);
            assert_eq!((needed.verb, needed.path), (verb, of_path));
        }
    }
}
