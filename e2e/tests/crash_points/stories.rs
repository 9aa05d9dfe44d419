//! What happens to a binding, and by which calls the operator brings it about.

use azwib_e2e::environment::arm::Arm;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::point::{Point, azure, kubernetes};
use crate::stage::{Case, GRANT, SETTLE_TIME, Stage};
use crate::story::{End, Story, until_over};

const BINDING: &str = "workloadidentitybindings/orders";
const STATUS: &str = "workloadidentitybindings/orders/status";
const ACCOUNT: &str = "serviceaccounts/orders";

const GET_IDENTITY: &str = "UserAssignedIdentities_Get";
const LIST: &str = "FederatedIdentityCredentials_List";
const GET: &str = "FederatedIdentityCredentials_Get";
pub(crate) const PUT: &str = "FederatedIdentityCredentials_CreateOrUpdate";
const DELETE: &str = "FederatedIdentityCredentials_Delete";

const CREATION: &[Point<'static>] = &[
    // The finalizer.
    kubernetes("PATCH", BINDING, 1),
    azure(GET_IDENTITY, 1),
    azure(LIST, 1),
    // The record.
    kubernetes("PUT", STATUS, 1),
    kubernetes("PATCH", ACCOUNT, 1),
    azure(PUT, 1),
    // Propagating, then Ready.
    kubernetes("PUT", STATUS, 2),
    kubernetes("POST", "events", 1),
    kubernetes("PUT", STATUS, 3),
    kubernetes("POST", "events", 2),
];

/// A binding is made.
pub(crate) struct Creation;

impl Story for Creation {
    const NAME: &'static str = "create";
    const POINTS: &'static [Point<'static>] = CREATION;
    const END: End = End::Ready;

    async fn prepare(&self, _: &Case, _: &Arm) -> anyhow::Result<()> {
        Ok(())
    }

    async fn begin(&self, case: &Case) -> anyhow::Result<()> {
        case.bind().await
    }
}

/// A binding is made, and deleted before the operator is back.
pub(crate) struct DeletedAfterTheCrash;

impl Story for DeletedAfterTheCrash {
    const NAME: &'static str = "deleted-after";
    const POINTS: &'static [Point<'static>] = CREATION;
    const LATER: &'static [Point<'static>] = &[
        azure(GET, 1),
        azure(DELETE, 1),
        kubernetes("PATCH", ACCOUNT, 2),
        kubernetes("PATCH", BINDING, 2),
    ];
    const END: End = End::Gone;

    async fn prepare(&self, _: &Case, _: &Arm) -> anyhow::Result<()> {
        Ok(())
    }

    async fn begin(&self, case: &Case) -> anyhow::Result<()> {
        case.bind().await
    }

    async fn while_down(&self, case: &Case) -> anyhow::Result<()> {
        unbind(case).await
    }
}

/// Somebody has changed the credential in Azure.
pub(crate) struct DriftInAzure;

impl Story for DriftInAzure {
    const NAME: &'static str = "drift";
    const POINTS: &'static [Point<'static>] = &[
        azure(GET_IDENTITY, 1),
        azure(LIST, 1),
        kubernetes("PUT", STATUS, 1),
        azure(PUT, 1),
        kubernetes("PUT", STATUS, 2),
        kubernetes("PATCH", "events/*", 1),
        kubernetes("PUT", STATUS, 3),
        kubernetes("PATCH", "events/*", 2),
    ];
    const END: End = End::Ready;

    async fn prepare(&self, case: &Case, arm: &Arm) -> anyhow::Result<()> {
        bind_and_wait(case, arm).await?;
        // So long the operator believes its own write rather than a listing that lacks it.
        tokio::time::sleep(SETTLE_TIME).await;
        let (identity, name) = (
            case.orders.resource_id(),
            case.shop.credential_name("orders")?,
        );
        let issuer = case.shop.environment().issuer();
        let subject = format!("system:serviceaccount:{}:orders", case.shop.name());
        arm.put_credential(identity, &name, issuer, &subject, "api://elsewhere")
            .await
    }

    async fn begin(&self, case: &Case) -> anyhow::Result<()> {
        case.request_reconcile().await
    }
}

/// A binding is deleted.
pub(crate) struct Deletion;

impl Story for Deletion {
    const NAME: &'static str = "delete";
    const POINTS: &'static [Point<'static>] = &[
        azure(GET, 1),
        azure(DELETE, 1),
        kubernetes("PATCH", ACCOUNT, 1),
        kubernetes("PATCH", BINDING, 1),
    ];
    const END: End = End::Gone;

    async fn prepare(&self, case: &Case, arm: &Arm) -> anyhow::Result<()> {
        bind_and_wait(case, arm).await
    }

    async fn begin(&self, case: &Case) -> anyhow::Result<()> {
        unbind(case).await
    }
}

/// A binding is deleted whose account was there before it.
pub(crate) struct DeletionWithAdoptedAccount;

impl Story for DeletionWithAdoptedAccount {
    const NAME: &'static str = "delete-adopted";
    const POINTS: &'static [Point<'static>] = &[
        azure(GET, 1),
        azure(DELETE, 1),
        kubernetes("PATCH", ACCOUNT, 1),
        // Why the account stays.
        kubernetes("POST", "events", 1),
        kubernetes("PATCH", BINDING, 1),
    ];
    const END: End = End::Gone;

    async fn prepare(&self, case: &Case, arm: &Arm) -> anyhow::Result<()> {
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": "orders", "annotations": { "team": "shop" } },
        });
        let (accounts, parameters) = (case.shop.service_accounts(), PatchParams::apply("platform"));
        accounts
            .patch("orders", &parameters, &Patch::Apply(&account))
            .await?;
        bind_and_wait(case, arm).await
    }

    async fn begin(&self, case: &Case) -> anyhow::Result<()> {
        unbind(case).await
    }
}

/// An older binding for the same is deleted.
pub(crate) struct TakeOver;

impl TakeOver {
    const OLDER: &'static str = "a-older";
}

impl Story for TakeOver {
    const NAME: &'static str = "take-over";
    const POINTS: &'static [Point<'static>] = &[
        // The older one's name goes from the account, and its finalizer.
        kubernetes("PATCH", ACCOUNT, 1),
        kubernetes("PATCH", "workloadidentitybindings/a-older", 1),
        kubernetes("PUT", STATUS, 1),
        kubernetes("POST", "events", 1),
    ];
    const LATER: &'static [Point<'static>] = &[
        // Whichever comes first, the end of the one or the look of the other: both may find the account as it was.
        kubernetes("PATCH", ACCOUNT, 2),
        // It takes no read of Azure to take over.
        azure(GET_IDENTITY, 1),
        azure(LIST, 1),
    ];
    const END: End = End::Ready;

    async fn prepare(&self, case: &Case, arm: &Arm) -> anyhow::Result<()> {
        let id = case.orders.resource_id();
        let spec = format!("identity: {{resourceId: {id}}}, serviceAccount: {{name: orders}}");
        case.shop.bind(Self::OLDER, &spec).await?;
        case.shop.ready(Self::OLDER).await?;
        bind_and_wait(case, arm).await
    }

    async fn begin(&self, case: &Case) -> anyhow::Result<()> {
        let bindings = case.shop.bindings();
        let parameters = DeleteParams::default();
        bindings.delete(Self::OLDER, &parameters).await?;
        Ok(())
    }
}

/// The grant of a binding goes.
pub(crate) struct Revocation;

impl Story for Revocation {
    const NAME: &'static str = "revoke";
    const POINTS: &'static [Point<'static>] = &[
        // It is announced.
        kubernetes("PUT", STATUS, 1),
        kubernetes("POST", "events", 1),
        azure(GET, 1),
        azure(DELETE, 1),
        kubernetes("PATCH", ACCOUNT, 1),
        kubernetes("PUT", STATUS, 2),
    ];
    const END: End = End::Revoked;

    async fn prepare(&self, case: &Case, arm: &Arm) -> anyhow::Result<()> {
        bind_and_wait(case, arm).await
    }

    async fn begin(&self, case: &Case) -> anyhow::Result<()> {
        case.shop.revoke(GRANT).await
    }
}

/// Makes the binding, and waits until the operator is through with it.
async fn bind_and_wait(case: &Case, arm: &Arm) -> anyhow::Result<()> {
    case.bind().await?;
    until_over(&End::Ready, case, arm).await?;
    Stage::shared().await?.looked_at_again(&[case]).await
}

async fn unbind(case: &Case) -> anyhow::Result<()> {
    let parameters = DeleteParams::default();
    let bindings = case.shop.bindings();
    bindings.delete("orders", &parameters).await?;
    Ok(())
}
