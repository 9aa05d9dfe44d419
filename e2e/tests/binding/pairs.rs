//! Two bindings of one account, whatever their identities and policies, and whichever goes first and how.

use anyhow::Context;
use azwib_e2e::Environment;
use azwib_e2e::environment::{ManagedIdentity, Namespace, annotation};
use futures::future::try_join_all;
use kube::ResourceExt;
use kube::api::DeleteParams;

use crate::{CLIENT_ID, owners};

/// In the order of their age: bindings that are as old as each other stand in the order of their names.
const NAMES: [&str; 2] = ["a-older", "b-younger"];

const DELETE: &str = "Delete";
const RETAIN: &str = "Retain";

/// One pair and its end.
#[derive(Debug, Clone, Copy)]
struct Case {
    /// The younger binding has an identity of its own, with the role Additional.
    additional: bool,
    policies: [&'static str; 2],
    /// Which of the two is deleted first.
    first: usize,
    foreground: bool,
}

/// A pair that stands.
struct Pair<'a> {
    case: Case,
    shop: Namespace<'a>,
    identities: [ManagedIdentity; 2],
    account_uid: Option<String>,
}

impl Pair<'_> {
    /// What the account is owned by while these bindings are there.
    fn expected_owners(&self, left: &[usize]) -> Vec<&'static str> {
        if left
            .iter()
            .any(|index| self.case.policies[*index] == RETAIN)
        {
            return Vec::new();
        }
        left.iter().map(|index| NAMES[*index]).collect()
    }

    async fn delete(&self, index: usize) -> anyhow::Result<()> {
        let parameters = if self.case.foreground {
            DeleteParams::foreground()
        } else {
            DeleteParams::background()
        };
        self.shop
            .bindings()
            .delete(NAMES[index], &parameters)
            .await?;
        self.shop.until_gone(NAMES[index]).await
    }

    /// Waits until the account carries this client id and has these owners, and checks that it was never away.
    async fn until_account(
        &self,
        client_id: Option<&str>,
        expected: &[&str],
    ) -> anyhow::Result<()> {
        let what = format!("with the client id {client_id:?} and the owners {expected:?}");
        let account = self
            .shop
            .account_until("orders", &what, |account| {
                account.is_some_and(|account| {
                    let mut found = owners(account);
                    found.sort_unstable();
                    found == expected && annotation(account, CLIENT_ID) == client_id
                })
            })
            .await?;
        let uid = account.and_then(|account| account.uid());
        assert_eq!(uid, self.account_uid, "it was never made anew");
        Ok(())
    }

    async fn credentials(&self, index: usize) -> anyhow::Result<usize> {
        Ok(self.shop.credentials(&self.identities[index]).await?.len())
    }
}

async fn set_up(env: &Environment, case: Case) -> anyhow::Result<Pair<'_>> {
    let shop = env.namespace("pair").await?;
    let older = shop.identity("first").await?;
    let younger = if case.additional {
        shop.identity("second").await?
    } else {
        older.clone()
    };
    let identities = [older, younger];
    for (index, name) in NAMES.into_iter().enumerate() {
        let role = if case.additional && index == 1 {
            "Additional"
        } else {
            "Default"
        };
        let spec = format!(
            "identity: {{resourceId: {}}}, serviceAccount: {{name: orders, role: {role}}}, deletionPolicy: {}",
            identities[index].resource_id(),
            case.policies[index],
        );
        shop.bind(name, &spec).await?;
        shop.ready(name).await?;
    }
    let account_uid = shop.service_accounts().get("orders").await?.uid();
    let pair = Pair {
        case,
        shop,
        identities,
        account_uid,
    };
    let client_id = pair.identities[0].client_id();
    let expected = pair.expected_owners(&[0, 1]);
    pair.until_account(Some(&client_id), &expected).await?;
    Ok(pair)
}

async fn play(env: &Environment, case: Case) -> anyhow::Result<()> {
    let pair = set_up(env, case).await?;
    let (gone, left) = (case.first, 1 - case.first);
    let retained = |index: usize| case.policies[index] == RETAIN;
    let client_id = pair.identities[0].client_id();

    pair.delete(gone).await?;
    pair.shop.ready(NAMES[left]).await?;
    // Only where the identity of the account goes, and with Delete, do the annotations.
    let named = (!case.additional || gone == 1 || retained(0)).then_some(client_id.as_str());
    pair.until_account(named, &pair.expected_owners(&[left]))
        .await?;
    let kept = !case.additional || retained(gone);
    assert_eq!(pair.credentials(gone).await?, usize::from(kept));
    assert_eq!(pair.credentials(left).await?, 1);
    let puts = pair.shop.operator_requests("PUT", "first").await?.len();
    assert_eq!(puts, 1, "nothing was written anew");

    pair.delete(left).await?;
    let kept = retained(left);
    assert_eq!(pair.credentials(left).await?, usize::from(kept));
    if retained(left) {
        pair.until_account(named, &[]).await
    } else {
        let gone = pair
            .shop
            .account_until("orders", "gone", |account| account.is_none());
        gone.await.map(drop)
    }
}

/// Plays all pairs of policies, each with either binding deleted first.
async fn play_all(additional: bool, foreground: bool) -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let policies = [[DELETE, DELETE], [DELETE, RETAIN], [RETAIN, DELETE]];
    let cases = policies.into_iter().flat_map(|policies| {
        [0, 1].map(|first| Case {
            additional,
            policies,
            first,
            foreground,
        })
    });
    let plays =
        cases.map(|case| async move { play(env, case).await.with_context(|| format!("{case:?}")) });
    try_join_all(plays).await.map(drop)
}

#[tokio::test]
async fn of_two_bindings_with_one_identity_either_may_go_first_in_the_background()
-> anyhow::Result<()> {
    play_all(false, false).await
}

#[tokio::test]
async fn of_two_bindings_with_one_identity_either_may_go_first_in_the_foreground()
-> anyhow::Result<()> {
    play_all(false, true).await
}

#[tokio::test]
async fn of_two_bindings_with_two_identities_either_may_go_first_in_the_background()
-> anyhow::Result<()> {
    play_all(true, false).await
}

#[tokio::test]
async fn of_two_bindings_with_two_identities_either_may_go_first_in_the_foreground()
-> anyhow::Result<()> {
    play_all(true, true).await
}
