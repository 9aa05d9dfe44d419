//! The definition under another group, so that the one of the other tests stays as it is.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{cluster, refusal};

/// The definition with this group, and without the names by which kubectl would mistake it for the real one.
pub(super) fn in_group(mut crd: CustomResourceDefinition, group: &str) -> CustomResourceDefinition {
    crd.metadata.name = Some(format!("{}.{group}", crd.spec.names.plural));
    group.clone_into(&mut crd.spec.group);
    crd.spec.names.categories = None;
    crd.spec.names.short_names = None;
    crd
}

/// Installs a definition, or puts it in the place of one of the same name, and waits until it is served.
pub(super) async fn install(crd: &CustomResourceDefinition) -> anyhow::Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(cluster().await?.client().await?);
    let name = crd.metadata.name.as_deref().unwrap_or_default();
    let parameters = PatchParams::apply("test").force();
    crds.patch(name, &parameters, &Patch::Apply(crd)).await?;
    let wait = [
        "wait",
        "--for=condition=Established",
        &format!("crd/{name}"),
    ];
    cluster().await?.kubectl(&wait).await.map(drop)
}

fn resource(group: &str) -> ApiResource {
    ApiResource {
        group: group.to_owned(),
        api_version: format!("{group}/v1alpha1"),
        ..super::resource()
    }
}

/// Bindings under a group of their own.
pub(super) struct Bindings {
    pub(super) api: Api<DynamicObject>,
    resource: ApiResource,
}

impl Bindings {
    pub(super) async fn of(group: &str) -> anyhow::Result<Self> {
        let resource = resource(group);
        let client = cluster().await?.client().await?;
        let api = Api::namespaced_with(client, "default", &resource);
        Ok(Self { api, resource })
    }

    pub(super) fn object(&self, name: &str, spec: &Value) -> DynamicObject {
        DynamicObject::new(name, &self.resource).data(json!({ "spec": spec }))
    }

    pub(super) async fn create(&self, name: &str, spec: &Value) -> anyhow::Result<()> {
        let object = self.object(name, spec);
        self.api.create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// In which words such a binding would be refused.
    pub(super) async fn refused(&self, spec: &Value) -> anyhow::Result<Option<String>> {
        let tried = self.object("tried", spec);
        refusal(self.api.create(&super::dry_run(), &tried).await)
    }

    pub(super) async fn patch(&self, name: &str, patch: Value) -> anyhow::Result<Option<String>> {
        let parameters = PatchParams::default();
        refusal(
            self.api
                .patch(name, &parameters, &Patch::Merge(patch))
                .await,
        )
    }

    /// As the operator does, once it has looked at a binding.
    pub(super) async fn tell(&self, name: &str, generation: i64) -> anyhow::Result<()> {
        let status = Patch::Merge(json!({ "status": { "observedGeneration": generation } }));
        let parameters = PatchParams::default();
        self.api.patch_status(name, &parameters, &status).await?;
        Ok(())
    }
}
