//! Which API versions each type has, and what Resource Manager says to others.

use http::StatusCode;

use super::error::{ArmError, ArmResult};
use super::ids::NAMESPACE;
use super::locations;
use super::route::Target;
use crate::core::http::Request;

/// Versions of `userAssignedIdentities` in Azure's published API descriptions.
pub(crate) const IDENTITY_VERSIONS: &[&str] = &[
    "2015-08-31-preview",
    "2018-11-30",
    "2021-09-30-preview",
    "2022-01-31-preview",
    "2023-01-31",
    "2023-07-31-preview",
    "2024-11-30",
    "2025-01-31-preview",
    "2025-05-31-preview",
];

/// Versions of `federatedIdentityCredentials`, which came with 2022-01-31-preview.
pub(crate) const CREDENTIAL_VERSIONS: &[&str] = &[
    "2022-01-31-preview",
    "2023-01-31",
    "2023-07-31-preview",
    "2024-11-30",
    "2025-01-31-preview",
    "2025-05-31-preview",
];

/// The versions that have flexible credentials on the ordinary path; azure-cli writes them with the first.
const FLEXIBLE_CREDENTIAL_VERSIONS: &[&str] = &["2025-01-31-preview", "2025-05-31-preview"];

/// Versions of Resource Manager's own types (tenants, subscriptions, resource groups, providers) that its clients send.
const RESOURCES_VERSIONS: &[&str] = &[
    "2014-04-01",
    "2015-01-01",
    "2015-11-01",
    "2016-02-01",
    "2016-06-01",
    "2016-07-01",
    "2016-09-01",
    "2017-05-10",
    "2018-01-01",
    "2018-02-01",
    "2018-05-01",
    "2018-06-01",
    "2019-03-01",
    "2019-05-01",
    "2019-05-10",
    "2019-06-01",
    "2019-07-01",
    "2019-08-01",
    "2019-10-01",
    "2019-11-01",
    "2020-01-01",
    "2020-05-01",
    "2020-06-01",
    "2020-08-01",
    "2020-10-01",
    "2021-01-01",
    "2021-04-01",
    "2021-10-01",
    "2022-01-01",
    "2022-09-01",
    "2022-12-01",
    "2023-07-01",
    "2023-11-01",
    "2024-03-01",
    "2024-07-01",
    "2024-08-01",
    "2024-11-01",
    "2025-03-01",
    "2025-04-01",
];

/// Versions of `Microsoft.Authorization/locks`.
const LOCK_VERSIONS: &[&str] = &["2015-01-01", "2016-09-01", "2017-04-01", "2020-05-01"];

/// Versions of `/metadata/endpoints`.
const METADATA_VERSIONS: &[&str] = &[
    "2015-01-01",
    "2015-11-01",
    "2018-05-01",
    "2019-05-01",
    "2020-06-01",
    "2021-01-01",
    "2022-09-01",
];

/// A supported API version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion(String);

impl ApiVersion {
    /// The version as sent.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the bodies of credentials know `claimsMatchingExpression`.
    pub(crate) fn has_flexible_credentials(&self) -> bool {
        FLEXIBLE_CREDENTIAL_VERSIONS.contains(&self.as_str())
    }

    /// Whether the bodies of identities know `isolationScope`.
    pub(crate) fn has_isolation_scope(&self) -> bool {
        self.0.as_str() >= "2024-11-30"
    }
}

/// The request's `api-version`, which every request must have.
pub(crate) fn required(request: &Request) -> ArmResult<String> {
    request
        .query_parameter("api-version")
        .filter(|version| !version.is_empty())
        .ok_or_else(|| {
            ArmError::new(
                StatusCode::BAD_REQUEST,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )
        })
}

/// Checks the version against those that the target's type has.
pub(crate) fn supported(target: &Target, version: String) -> ArmResult<ApiVersion> {
    let known = |versions: &[&str]| versions.iter().any(|v| v.eq_ignore_ascii_case(&version));
    let normal = || ApiVersion(version.to_ascii_lowercase());
    match target {
        Target::Credentials(_) | Target::Credential(..) => {
            if known(CREDENTIAL_VERSIONS) {
                Ok(normal())
            } else if known(IDENTITY_VERSIONS) {
                Err(no_such_type(&version))
            } else {
                Err(no_registered_provider(
                    "userAssignedIdentities/federatedIdentityCredentials",
                    &version,
                    CREDENTIAL_VERSIONS,
                ))
            }
        }
        Target::Identity(_)
        | Target::IdentitiesInGroup(_)
        | Target::IdentitiesInSubscription(_)
        | Target::ProviderOperations => {
            if known(IDENTITY_VERSIONS) {
                Ok(normal())
            } else {
                Err(no_registered_provider(
                    "userAssignedIdentities",
                    &version,
                    IDENTITY_VERSIONS,
                ))
            }
        }
        Target::MetadataEndpoints => {
            own_type(known(METADATA_VERSIONS), &version, METADATA_VERSIONS)
        }
        Target::Locks(_) | Target::Lock(..) => {
            own_type(known(LOCK_VERSIONS), &version, LOCK_VERSIONS)
        }
        Target::Tenants
        | Target::Subscriptions
        | Target::Subscription(_)
        | Target::Locations(_)
        | Target::ResourceGroups(_)
        | Target::ResourceGroup(_)
        | Target::Provider(_) => own_type(known(RESOURCES_VERSIONS), &version, RESOURCES_VERSIONS),
    }
}

fn own_type(known: bool, version: &str, versions: &[&str]) -> ArmResult<ApiVersion> {
    if known {
        return Ok(ApiVersion(version.to_ascii_lowercase()));
    }
    Err(ArmError::new(
        StatusCode::BAD_REQUEST,
        "InvalidApiVersionParameter",
        format!(
            "The api-version '{version}' is invalid. The supported versions are '{}'.",
            versions.join(",")
        ),
    ))
}

fn no_registered_provider(kind: &str, version: &str, versions: &[&str]) -> ArmError {
    let locations = locations::names();
    ArmError::new(
        StatusCode::BAD_REQUEST,
        "NoRegisteredProviderFound",
        format!(
            "No registered resource provider found for location '{}' and API version '{version}' for type '{kind}'. The supported api-versions are '{}'. The supported locations are '{}'.",
            locations[0],
            versions.join(", "),
            locations.join(", ")
        ),
    )
}

fn no_such_type(version: &str) -> ArmError {
    ArmError::not_found_by_gateway(
        "InvalidResourceType",
        format!(
            "The resource type 'userAssignedIdentities/federatedIdentityCredentials' could not be found in the namespace '{NAMESPACE}' for api version '{version}'. The supported api-versions are '{}'.",
            CREDENTIAL_VERSIONS.join(",")
        ),
    )
}
