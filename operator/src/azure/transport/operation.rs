//! What a request to Resource Manager is for, told by its method and path.

use azure_core_legacy::Method;

use super::listing::{is_credential, is_listing};
use crate::azure::metrics::AskedFor;

/// The requests that azwib makes. Another one is a line here and in each match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    GetIdentity,
    ListCredentials,
    GetCredential,
    PutCredential,
    DeleteCredential,
}

impl Operation {
    /// A GET of any other path counts as one of an identity: its path ends with a name, which can be any.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        match method {
            Method::Put => Self::PutCredential,
            Method::Delete => Self::DeleteCredential,
            _ if is_listing(path) => Self::ListCredentials,
            _ if is_credential(path) => Self::GetCredential,
            _ => Self::GetIdentity,
        }
    }

    /// Whether it may change something in Azure.
    pub(super) fn is_write(self) -> bool {
        matches!(self, Self::PutCredential | Self::DeleteCredential)
    }

    /// How traces call it.
    pub(super) fn name(self) -> String {
        let AskedFor {
            resource,
            request_type,
        } = self.asked_for();
        format!("{request_type} {resource}")
    }

    /// Its path without the names in it.
    pub(super) fn template(self) -> &'static str {
        match self {
            Self::GetIdentity => {
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/\
                 {identity}"
            }
            Self::ListCredentials => {
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/\
                 {identity}/federatedIdentityCredentials"
            }
            Self::GetCredential | Self::PutCredential | Self::DeleteCredential => {
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/\
                 {identity}/federatedIdentityCredentials/{credential}"
            }
        }
    }

    /// How the metrics call it.
    pub(super) fn asked_for(self) -> AskedFor {
        let (resource, request_type) = match self {
            Self::GetIdentity => ("userAssignedIdentities", "GET"),
            Self::ListCredentials => ("federatedIdentityCredentials", "LIST"),
            Self::GetCredential => ("federatedIdentityCredentials", "GET"),
            Self::PutCredential => ("federatedIdentityCredentials", "PUT"),
            Self::DeleteCredential => ("federatedIdentityCredentials", "DELETE"),
        };
        AskedFor {
            resource,
            request_type,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: &str = "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/n";

    #[test]
    fn an_operation_is_told_by_method_and_path() {
        let listing = format!("{IDENTITY}/federatedIdentityCredentials");
        let credential = format!("{listing}/azwib-shop-orders");
        for (method, path, operation, resource, request_type, is_write) in [
            (
                Method::Get,
                IDENTITY,
                Operation::GetIdentity,
                "userAssignedIdentities",
                "GET",
                false,
            ),
            (
                Method::Get,
                &listing,
                Operation::ListCredentials,
                "federatedIdentityCredentials",
                "LIST",
                false,
            ),
            (
                Method::Get,
                &credential,
                Operation::GetCredential,
                "federatedIdentityCredentials",
                "GET",
                false,
            ),
            (
                Method::Put,
                &credential,
                Operation::PutCredential,
                "federatedIdentityCredentials",
                "PUT",
                true,
            ),
            (
                Method::Delete,
                &credential,
                Operation::DeleteCredential,
                "federatedIdentityCredentials",
                "DELETE",
                true,
            ),
        ] {
            let told = Operation::of(&method, path);
            assert_eq!(told, operation);
            assert_eq!(told.is_write(), is_write, "{told:?}");
            let asked_for = AskedFor {
                resource,
                request_type,
            };
            assert_eq!(told.asked_for(), asked_for);
        }
    }
}
