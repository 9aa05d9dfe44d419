//! What all the end-to-end tests have seen, checked once they are through (`make test` runs this last).

use azwib_e2e::checks::recorded::{every_status_keeps_the_contract, no_log_contains_a_secret};
use azwib_e2e::environment::recorder::Records;

#[test]
fn no_log_of_the_operator_contains_a_token_an_assertion_or_a_secret() -> anyhow::Result<()> {
    no_log_contains_a_secret(&Records::all()?)
}

#[test]
fn every_status_that_was_seen_reads_in_the_order_of_kstatus() -> anyhow::Result<()> {
    every_status_keeps_the_contract(&Records::all()?)
}
