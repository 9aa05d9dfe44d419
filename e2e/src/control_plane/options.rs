//! What differs between control planes.

use std::path::PathBuf;

use crate::keys::ServiceAccountKeys;

/// What differs between control planes.
#[derive(Debug, Clone)]
pub struct ControlPlaneOptions {
    /// The `iss` of ServiceAccount tokens: an https URL.
    pub issuer: String,
    /// Where the issuer publishes its keys: an https URL.
    pub jwks_uri: String,
    pub service_account_keys: ServiceAccountKeys,
    /// CustomResourceDefinitions, a folder with a kustomization, to be there before the controllers start: the garbage collector
    /// and the deletion of namespaces learn of kinds that come later within half a minute only.
    pub crds: Option<PathBuf>,
    /// The admission plugin that OpenShift has on besides Kubernetes' own: who changes an object's owner references has to be allowed to
    /// delete it.
    pub openshift_admission: bool,
}

impl ControlPlaneOptions {
    /// A cluster whose issuer is published at `issuer`, with its keys where Kubernetes has them.
    pub fn with_issuer(issuer: &str, service_account_keys: ServiceAccountKeys) -> Self {
        Self {
            issuer: issuer.to_owned(),
            jwks_uri: format!("{}/openid/v1/jwks", issuer.trim_end_matches('/')),
            service_account_keys,
            crds: None,
            openshift_admission: false,
        }
    }

    /// A cluster whose issuer is published nowhere.
    ///
    /// # Errors
    /// As for [`ServiceAccountKeys::generate`].
    pub fn unpublished() -> anyhow::Result<Self> {
        Ok(Self::with_issuer(
            "https://issuer.invalid",
            ServiceAccountKeys::generate()?,
        ))
    }
}
