//! What all the end-to-end tests have seen, checked once they are through (`make test` runs this last).

use azwib_e2e::checks::recorded::{
    every_reason_was_seen, every_status_keeps_the_contract, no_log_contains_a_secret,
    the_operator_used_what_it_is_given, the_operator_was_forbidden_nothing,
};
use azwib_e2e::environment::recorder::Records;

#[test]
fn no_log_of_the_operator_contains_a_token_an_assertion_or_a_secret() -> anyhow::Result<()> {
    no_log_contains_a_secret(&Records::all()?)
}

#[test]
fn every_status_that_was_seen_reads_in_the_order_of_kstatus() -> anyhow::Result<()> {
    every_status_keeps_the_contract(&Records::all()?)
}

#[test]
fn what_the_operator_used_of_the_api_server_is_what_config_rbac_gives_it() -> anyhow::Result<()> {
    the_operator_used_what_it_is_given(&Records::all()?)
}

#[test]
fn no_request_of_the_operator_was_forbidden() -> anyhow::Result<()> {
    the_operator_was_forbidden_nothing(&Records::all()?)
}

#[test]
fn every_reason_of_the_reference_was_in_a_status() -> anyhow::Result<()> {
    every_reason_was_seen(&Records::all()?)
}
