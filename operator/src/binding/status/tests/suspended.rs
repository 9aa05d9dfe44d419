//! A suspended binding.

use super::*;

#[test]
fn a_suspended_binding_that_is_good_stays_ready_and_its_generation_moves() {
    let ready = after(&with(after(&binding(), &done(), &at(0))), &done(), &at(20));
    let mut suspended = with(ready.clone());
    suspended.metadata.generation = Some(4);
    let report = of_suspended(&suspended, Some(&desired_by_orders()), &settled());
    let status = compute(&suspended, report, &at(30));
    assert_eq!(shown(&status), shown(&ready));
    assert_eq!(status.observed_generation, 4);
}

#[test]
fn a_suspended_binding_that_is_not_good_says_so_and_is_neither_reconciling_nor_stalled() {
    let new = compute(
        &binding(),
        of_suspended(&binding(), Some(&desired_by_orders()), &settled()),
        &at(0),
    );
    assert_eq!(
        shown(&new)[..2],
        ["Ready=False(Suspended)", "Granted=True(GrantsNotRequired)"]
    );
    let failing = with(failed(write_failed(AzureErrorKind::PolicyDenied), &at(0)));
    let report = of_suspended(&failing, Some(&desired_by_orders()), &settled());
    let status = compute(&failing, report, &at(10));
    assert_eq!(shown(&status)[0], "Ready=False(Suspended)");
    assert!(
        !shown(&status)
            .iter()
            .any(|it| it.starts_with("Stalled") || it.starts_with("Reconciling"))
    );
    assert!(
        shown(&status).contains(&"CredentialReady=False(PolicyDenied)".to_owned()),
        "steps keep their values"
    );
}
