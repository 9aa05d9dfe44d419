//! Where an Azure cloud lives.

use std::fmt;

use thiserror::Error;
use url::Url;

/// A cloud that Microsoft runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownCloud {
    /// The worldwide one.
    Public,
    /// Azure US Government.
    UsGovernment,
    /// Azure operated by 21Vianet.
    China,
}

impl KnownCloud {
    /// Authority, Resource Manager and its audience.
    ///
    /// Source: `sdk/azcore/arm/runtime/runtime.go` of <https://github.com/Azure/azure-sdk-for-go>, but for the public
    /// audience, which there ends in a slash; Resource Manager takes both.
    const fn addresses(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Public => (
                "https://login.microsoftonline.com",
                "https://management.azure.com",
                "https://management.azure.com",
            ),
            Self::UsGovernment => (
                "https://login.microsoftonline.us",
                "https://management.usgovcloudapi.net",
                "https://management.core.usgovcloudapi.net",
            ),
            Self::China => (
                "https://login.chinacloudapi.cn",
                "https://management.chinacloudapi.cn",
                "https://management.core.chinacloudapi.cn",
            ),
        }
    }
}

/// The addresses of a cloud, checked: https, and nothing in them but a host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    authority_host: Url,
    resource_manager: Url,
    resource_manager_audience: String,
}

impl Cloud {
    /// One of Microsoft's clouds.
    ///
    /// # Errors
    /// None in practice: the addresses go through the same checks as those of a custom cloud.
    pub fn known(cloud: KnownCloud) -> Result<Self, InvalidCloud> {
        let (authority_host, resource_manager, audience) = cloud.addresses();
        Self::custom(authority_host, resource_manager, audience)
    }

    /// A cloud at addresses of its own, for example Azure Stack Hub or an air-gapped one.
    ///
    /// # Errors
    /// [`InvalidCloud`] names the address that is wrong and what is wrong with it.
    pub fn custom(
        authority_host: &str,
        resource_manager: &str,
        resource_manager_audience: &str,
    ) -> Result<Self, InvalidCloud> {
        Ok(Self {
            authority_host: endpoint(Address::AuthorityHost, authority_host)?,
            resource_manager: endpoint(Address::ResourceManager, resource_manager)?,
            resource_manager_audience: audience(resource_manager_audience)?,
        })
    }

    /// Where Entra's token endpoint is, for example `https://login.microsoftonline.com/`.
    pub fn authority_host(&self) -> &Url {
        &self.authority_host
    }

    /// Where Resource Manager is, for example `https://management.azure.com/`.
    pub fn resource_manager(&self) -> &Url {
        &self.resource_manager
    }

    /// What a token for Resource Manager names as its audience.
    pub fn resource_manager_audience(&self) -> &str {
        &self.resource_manager_audience
    }

    /// The scope to ask for. Entra cuts `/.default` off to get the audience, so an audience that ends in a slash
    /// gives two slashes in a row.
    /// Source: <https://learn.microsoft.com/entra/identity-platform/scopes-oidc#trailing-slash-and-default>
    pub fn scope(&self) -> String {
        format!("{}/.default", self.resource_manager_audience)
    }
}

/// Which of a cloud's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// Entra.
    AuthorityHost,
    /// Resource Manager.
    ResourceManager,
    /// The audience of its tokens.
    ResourceManagerAudience,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AuthorityHost => "authority host",
            Self::ResourceManager => "resource manager endpoint",
            Self::ResourceManagerAudience => "resource manager audience",
        })
    }
}

/// An address that no cloud can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidCloud {
    /// Not an absolute URL.
    #[error(
        "the {address} {value:?} is not an absolute url such as https://host.example: {reason}"
    )]
    NotAUrl {
        /// Which one.
        address: Address,
        /// As it was given.
        value: String,
        /// What the parser says.
        reason: url::ParseError,
    },
    /// Tokens go there: plain http would show them.
    #[error("the {address} {value:?} must begin with https://")]
    NotHttps {
        /// Which one.
        address: Address,
        /// As it was given.
        value: String,
    },
    /// A part that an endpoint must not have. Paths are set by Azure's own libraries, which would drop it.
    #[error("the {address} {value:?} must be https://host or https://host:port, without {part}")]
    TooMuch {
        /// Which one.
        address: Address,
        /// As it was given, without a password.
        value: String,
        /// What has to go.
        part: &'static str,
    },
}

fn endpoint(address: Address, value: &str) -> Result<Url, InvalidCloud> {
    let url = https_url(address, value)?;
    match url.path() {
        "/" => Ok(url),
        _ => Err(too_much(address, value, "a path")),
    }
}

fn audience(value: &str) -> Result<String, InvalidCloud> {
    let address = Address::ResourceManagerAudience;
    https_url(address, value)?;
    // The parser forgives and drops these; Entra compares the audience as it is written.
    if value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(too_much(address, value, "white space"));
    }
    Ok(value.to_owned())
}

fn https_url(address: Address, value: &str) -> Result<Url, InvalidCloud> {
    let url = Url::parse(value).map_err(|reason| InvalidCloud::NotAUrl {
        address,
        value: value.to_owned(),
        reason,
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(too_much(address, "…", "user name and password"));
    }
    if url.scheme() != "https" {
        return Err(InvalidCloud::NotHttps {
            address,
            value: value.to_owned(),
        });
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(too_much(address, value, "a query or fragment"));
    }
    Ok(url)
}

fn too_much(address: Address, value: &str, part: &'static str) -> InvalidCloud {
    InvalidCloud::TooMuch {
        address,
        value: value.to_owned(),
        part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: &str = "https://login.example";
    const ARM: &str = "https://arm.example";

    #[test]
    fn the_known_clouds_are_valid_and_have_their_own_scopes() {
        for (cloud, scope) in [
            (KnownCloud::Public, "https://management.azure.com/.default"),
            (
                KnownCloud::UsGovernment,
                "https://management.core.usgovcloudapi.net/.default",
            ),
            (
                KnownCloud::China,
                "https://management.core.chinacloudapi.cn/.default",
            ),
        ] {
            assert_eq!(
                Cloud::known(cloud).map(|cloud| cloud.scope()),
                Ok(scope.to_owned())
            );
        }
    }

    #[test]
    fn the_slash_at_the_end_of_an_audience_is_part_of_it() {
        let cloud = Cloud::custom(LOGIN, ARM, "https://management.core.windows.net/");
        assert_eq!(
            cloud.map(|cloud| cloud.scope()),
            Ok("https://management.core.windows.net//.default".to_owned())
        );
    }

    #[test]
    fn a_custom_cloud_may_have_ports_and_an_audience_with_a_path() {
        let cloud = Cloud::custom(
            "https://127.0.0.1:8443",
            "https://[::1]:9443/",
            "https://management.stack.example/0f8fad5b",
        )
        .expect("valid");
        assert_eq!(cloud.authority_host().as_str(), "https://127.0.0.1:8443/");
        assert_eq!(cloud.resource_manager().as_str(), "https://[::1]:9443/");
        assert_eq!(
            cloud.scope(),
            "https://management.stack.example/0f8fad5b/.default"
        );
    }

    #[test]
    fn a_wrong_address_is_named_with_what_is_wrong() {
        for (authority, arm, audience, expected) in [
            (
                "login.example",
                ARM,
                ARM,
                "authority host \"login.example\" is not an absolute url",
            ),
            (
                "http://login.example",
                ARM,
                ARM,
                "authority host \"http://login.example\" must begin with https://",
            ),
            (
                "https://login.example/adfs",
                ARM,
                ARM,
                "authority host \"https://login.example/adfs\" must be https://host or https://host:port, without a path",
            ),
            (
                LOGIN,
                "http://127.0.0.1:8080",
                ARM,
                "resource manager endpoint \"http://127.0.0.1:8080\" must begin with https://",
            ),
            (
                LOGIN,
                "https://arm.example?x=1",
                ARM,
                "resource manager endpoint \"https://arm.example?x=1\" must be https://host or https://host:port, without a query or fragment",
            ),
            (
                LOGIN,
                "https://me:hunter2@arm.example",
                ARM,
                "resource manager endpoint \"…\" must be https://host or https://host:port, without user name and password",
            ),
            (
                LOGIN,
                ARM,
                "",
                "resource manager audience \"\" is not an absolute url",
            ),
            (
                LOGIN,
                ARM,
                "https://arm.example/ ",
                "resource manager audience \"https://arm.example/ \" must be https://host or https://host:port, without white space",
            ),
        ] {
            let message = Cloud::custom(authority, arm, audience)
                .expect_err(expected)
                .to_string();
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
