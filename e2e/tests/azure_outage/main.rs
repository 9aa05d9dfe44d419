//! Azure out of reach, or refusing the operator: what that does to bindings, and how they recover.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod out_of_reach;
mod retry_after;
mod stays_ready;

use azure_simulator::control::api::FaultAction;

/// What Azure answers, with this code and these headers.
fn answer(status: u16, code: &str, headers: &[(&str, &str)]) -> FaultAction {
    FaultAction::Respond {
        status,
        code: code.to_owned(),
        message: "Azure's own words.".to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: None,
    }
}
