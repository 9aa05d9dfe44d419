//! Admission policies of the cluster that change what azwib writes.

use azwib_crds::ServiceAccountOrigin;
use azwib_e2e::environment::{Namespace, PATIENCE, annotation, condition};
use azwib_e2e::{Environment, wait};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::{CLIENT_ID, EXPIRATION, MANAGED_BY, TENANT_ID, origin, owners};

/// What a mutating policy is for.
struct Target {
    group: &'static str,
    resource: &'static str,
    /// A CEL expression: of which objects.
    condition: String,
}

impl Target {
    /// Accounts that carry the annotations of the webhook.
    fn accounts() -> Self {
        Self {
            group: "",
            resource: "serviceaccounts",
            condition: format!(
                "has(object.metadata.annotations) && '{CLIENT_ID}' in object.metadata.annotations"
            ),
        }
    }

    /// Bindings, or one of their subresources.
    fn bindings(resource: &'static str) -> Self {
        Self {
            group: "azwib.dev",
            resource,
            condition: "true".to_owned(),
        }
    }
}

/// A mutating policy for a namespace.
struct Policy<'a> {
    shop: &'a Namespace<'a>,
}

impl<'a> Policy<'a> {
    async fn made(shop: &'a Namespace<'a>, target: Target, mutation: &str) -> anyhow::Result<Self> {
        let name = shop.name();
        let Target {
            group,
            resource,
            condition,
        } = target;
        let manifest = format!(
            r#"
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  matchConstraints:
    resourceRules: [{{apiGroups: ["{group}"], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: ["{resource}"]}}]
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}
  matchConditions:
  - name: concerned
    expression: "{condition}"
  mutations:
  - {mutation}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec: {{policyName: {name}}}
"#
        );
        shop.environment().control_plane.apply(&manifest).await?;
        Ok(Self { shop })
    }

    /// One for accounts; in force once an account with our annotations comes out changed.
    async fn over(shop: &'a Namespace<'a>, mutation: &str) -> anyhow::Result<Self> {
        let policy = Self::made(shop, Target::accounts(), mutation).await?;
        let probe: ServiceAccount = serde_json::from_value(json!({ "metadata": {
            "name": "probe",
            "labels": { MANAGED_BY: "azwib", "azwib.dev/origin": "Created" },
            "annotations": { CLIENT_ID: "a", TENANT_ID: "b", EXPIRATION: "c" },
        }}))?;
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        wait::until("the policy to be in force", PATIENCE, async || {
            let made = shop.service_accounts().create(&dry, &probe).await?;
            let changed = made.metadata.annotations != probe.metadata.annotations
                || made.metadata.labels != probe.metadata.labels;
            Ok(changed.then_some(()))
        })
        .await?;
        Ok(policy)
    }

    /// One that takes a field off bindings, or off their status; in force once the binding `probe`, which has it, comes out
    /// without it.
    async fn without(
        shop: &'a Namespace<'a>,
        resource: &'static str,
        (parent, field): (&str, &str),
    ) -> anyhow::Result<Self> {
        let mutation = format!(
            "{{patchType: JSONPatch, jsonPatch: {{expression: 'has(object.{parent}) && has(object.{parent}.{field}) \
             ? [JSONPatch{{op: \"remove\", path: \"/{parent}/{field}\"}}] : []'}}}}"
        );
        let policy = Self::made(shop, Target::bindings(resource), &mutation).await?;
        let dry = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let bindings = shop.bindings();
        wait::until("the policy to be in force", PATIENCE, async || {
            let patch = json!({ "metadata": { "labels": { "probe": "true" } } });
            let shown = if resource.ends_with("/status") {
                let patch = json!({ "status": { "observedGeneration": 1 } });
                bindings
                    .patch_status("probe", &dry, &Patch::Merge(patch))
                    .await?
            } else {
                bindings.patch("probe", &dry, &Patch::Merge(patch)).await?
            };
            let shown = serde_json::to_value(shown)?;
            let values = shown[parent][field].as_array().map_or(0, Vec::len);
            Ok((values == 0).then_some(()))
        })
        .await?;
        Ok(policy)
    }

    async fn lift(self) -> anyhow::Result<()> {
        let kinds = "mutatingadmissionpolicybinding,mutatingadmissionpolicy";
        let delete = ["delete", kinds, self.shop.name()];
        let control_plane = &self.shop.environment().control_plane;
        control_plane.kubectl(&delete).await.map(drop)
    }
}

fn label(key: &str, value: &str) -> String {
    format!(
        "{{patchType: ApplyConfiguration, applyConfiguration: {{expression: 'Object{{metadata: Object.metadata{{labels: \
         {{\"{key}\": \"{value}\"}}}}}}'}}}}"
    )
}

fn annotate(key: &str, value: &str) -> String {
    format!(
        "{{patchType: ApplyConfiguration, applyConfiguration: {{expression: 'Object{{metadata: \
         Object.metadata{{annotations: {{\"{key}\": \"{value}\"}}}}}}'}}}}"
    )
}

fn remove(field: &str, key: &str) -> String {
    format!(
        "{{patchType: JSONPatch, jsonPatch: {{expression: 'has(object.metadata.{field}) && \"{key}\" in object.metadata.{field} \
         ? [JSONPatch{{op: \"remove\", path: \"/metadata/{field}/\" + jsonpatch.escapeKey(\"{key}\")}}] : []'}}}}"
    )
}

#[tokio::test]
async fn a_policy_that_owns_labels_does_not_make_our_account_somebody_elses() -> anyhow::Result<()>
{
    let env = Environment::shared().await?;
    for (number, mutation) in [
        label(MANAGED_BY, "platform"),
        label("azwib.dev/origin", "elsewhere"),
        remove("labels", "azwib.dev/origin"),
        remove("labels", MANAGED_BY),
    ]
    .iter()
    .enumerate()
    {
        let shop = env.namespace(&format!("owns-label-{number}")).await?;
        let policy = Policy::over(&shop, mutation).await?;
        let orders = shop.identity("orders").await?;
        shop.bind_to("orders", &orders).await?;
        let binding = shop.ready("orders").await?;
        let made = ServiceAccountOrigin::Created;
        assert_eq!(origin(&binding), Some(made), "{mutation}");
        let account = shop.service_accounts().get("orders").await?;
        assert_eq!(owners(&account), ["orders"], "{mutation}");

        shop.unbind("orders").await?;
        let gone = |account: Option<&ServiceAccount>| account.is_none();
        shop.account_until("orders", "gone", gone).await?;
        policy.lift().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_policy_makes_of_our_annotations_is_a_conflict_with_both_values_until_it_goes()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let another = "11111111-2222-3333-4444-555555555555";
    for (number, (mutation, key, value)) in [
        (annotate(CLIENT_ID, another), CLIENT_ID, Some(another)),
        (annotate(TENANT_ID, another), TENANT_ID, Some(another)),
        (annotate(EXPIRATION, "7200"), EXPIRATION, Some("7200")),
        (remove("annotations", TENANT_ID), TENANT_ID, None),
    ]
    .into_iter()
    .enumerate()
    {
        let shop = env.namespace(&format!("mutated-{number}")).await?;
        let policy = Policy::over(&shop, &mutation).await?;
        let orders = shop.identity("orders").await?;
        shop.bind_to("orders", &orders).await?;
        let step = "ServiceAccountReady";
        let conflict = shop
            .failing("orders", step, "ServiceAccountConflict")
            .await?;
        let asked = match key {
            CLIENT_ID => orders.client_id(),
            TENANT_ID => env.simulator.tenant().to_string(),
            _ => "3600".to_owned(),
        };
        for part in [key, &asked, value.unwrap_or("nothing")] {
            assert!(conflict.message.contains(part), "{part}: {conflict:?}");
        }
        let account = shop.service_accounts().get("orders").await?;
        assert_eq!(annotation(&account, key), value);
        let binding = shop.bindings().get("orders").await?;
        assert_eq!(condition(&binding, "Ready").unwrap().status, "False");

        policy.lift().await?;
        shop.ready("orders").await?;
        let account = shop.service_accounts().get("orders").await?;
        assert_eq!(annotation(&account, key), Some(&*asked));
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_made_while_a_policy_takes_off_the_finalizer_or_the_record() -> anyhow::Result<()>
{
    let env = Environment::shared().await?;
    for (resource, field, what) in [
        (
            "workloadidentitybindings",
            ("metadata", "finalizers"),
            "the finalizer azwib.dev/cleanup is not there",
        ),
        (
            "workloadidentitybindings/status",
            ("status", "credentials"),
            "status.credentials is another one",
        ),
    ] {
        let shop = env.namespace(&format!("without-{}", field.1)).await?;
        let probe = shop.identity("probe").await?;
        shop.bind_to("probe", &probe).await?;
        shop.ready("probe").await?;
        let policy = Policy::without(&shop, resource, field).await?;

        let orders = shop.identity("orders").await?;
        shop.bind_to("orders", &orders).await?;
        let refused = shop.failing("orders", "Ready", "BindingRefused").await?;
        assert!(refused.message.contains(what), "{refused:?}");
        let advice = "admission policy or webhook of this cluster changes what azwib writes";
        assert!(refused.message.contains(advice), "{refused:?}");
        assert_eq!(shop.operator_writes("orders").await?, 0);
        assert_eq!(shop.credentials(&orders).await?, []);

        policy.lift().await?;
        shop.ready("orders").await?;
        shop.unbind("orders").await?;
        shop.until_gone("orders").await?;
        assert_eq!(shop.credentials(&orders).await?, []);
    }
    Ok(())
}

#[tokio::test]
async fn what_a_policy_makes_of_an_account_as_its_binding_goes_is_told_and_holds_nothing_up()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let another = "11111111-2222-3333-4444-555555555555";
    let owners = "metadata.ownerReferences";
    let without_owners = format!(
        "{{patchType: JSONPatch, jsonPatch: {{expression: 'has(object.{owners}) \
         ? [JSONPatch{{op: \"remove\", path: \"/metadata/ownerReferences\"}}] : []'}}}}"
    );
    for (purpose, is_there, mutation, told) in [
        (
            "put-back",
            true,
            annotate(CLIENT_ID, another),
            format!("its annotation {CLIENT_ID} was removed, and came back as \"{another}\""),
        ),
        (
            "disowned",
            false,
            without_owners,
            "its owner reference to the binding \"orders\" should be \"".to_owned(),
        ),
    ] {
        let shop = env.namespace(purpose).await?;
        let accounts = shop.service_accounts();
        if is_there {
            let kept = json!({ "metadata": { "name": "orders" } });
            let kept: ServiceAccount = serde_json::from_value(kept)?;
            accounts.create(&PostParams::default(), &kept).await?;
        }
        let orders = shop.identity("orders").await?;
        shop.bind_to("orders", &orders).await?;
        shop.ready("orders").await?;
        let before = accounts.get("orders").await?.metadata;
        let target = Target {
            condition: "object.metadata.name == 'orders'".to_owned(),
            ..Target::accounts()
        };
        let policy = Policy::made(&shop, target, &mutation).await?;
        let dry = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        wait::until("the policy to be in force", PATIENCE, async || {
            let patch = Patch::Merge(json!({ "metadata": { "labels": { "probe": "true" } } }));
            let shown = accounts.patch("orders", &dry, &patch).await?.metadata;
            let is_changed = shown.annotations != before.annotations
                || shown.owner_references != before.owner_references;
            Ok(is_changed.then_some(()))
        })
        .await?;

        shop.unbind("orders").await?;
        assert_eq!(shop.credentials(&orders).await?, [], "{purpose}");
        let note = shop.event("AccountAltered").await?;
        assert!(note.contains(&told), "{note}");
        assert!(note.contains("exempt this account from it"), "{note}");
        policy.lift().await?;
    }
    Ok(())
}
