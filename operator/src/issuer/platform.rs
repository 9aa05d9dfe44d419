//! Which kind of cluster this is, as far as that can be told, and what to do there about its issuer. Pure.
//!
//! Told from the API server's version string, its API groups and the issuer's host: that needs no right on nodes. Sources of what to do:
//! the documents that `docs/platforms.md` names for each.

use url::Url;

/// A kind of cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Platform {
    Aks,
    /// AKS on Azure Local: the issuer is set at creation, and keys rotate by themselves.
    AksArc,
    /// Enabled for Azure Arc, on something that is not told.
    Arc,
    K3s,
    OpenShift,
    Tanzu,
    Eks,
    Gke,
    /// kubeadm, or what nothing is known of.
    #[default]
    Other,
}

/// What tells of a platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traits {
    /// `gitVersion` of `/version`, such as `v1.33.1+k3s1`.
    pub version: String,
    /// The names of the API groups.
    pub groups: Vec<String>,
}

impl Traits {
    fn has_group(&self, below: &str) -> bool {
        let is = |group: &String| group == below || group.ends_with(&format!(".{below}"));
        self.groups.iter().any(is)
    }
}

/// Which platform it is, from these traits and the issuers that are seen: the one that tokens carry and the one that is configured.
pub fn platform(traits: &Traits, issuers: &[&str]) -> Platform {
    let hosts: Vec<_> = issuers.iter().filter_map(|it| host(it)).collect();
    let is_below = |domain: &str| {
        let domain = domain.to_owned();
        hosts.iter().any(move |host| host.ends_with(&domain))
    };
    let is_of_aks = is_below(".oic.prod-aks.azure.com")
        || is_below("oidc.prod-aks.azure.com")
        || is_below(".azmk8s.io");
    let version = traits.version.as_str();
    // What runs there comes before what it is connected to: the former has the flag to set.
    if traits.has_group("config.openshift.io") {
        Platform::OpenShift
    } else if version.contains("+k3s") || version.contains("+rke2") {
        Platform::K3s
    } else if version.contains("-eks-") {
        Platform::Eks
    } else if version.contains("-gke.") {
        Platform::Gke
    } else if version.contains("+vmware") || traits.has_group("tanzu.vmware.com") {
        Platform::Tanzu
    } else if is_below(".azurefd.net") {
        Platform::AksArc
    } else if is_of_aks {
        Platform::Aks
    } else if is_below(".oic.prod-arc.azure.com") || traits.has_group("clusterconfig.azure.com") {
        Platform::Arc
    } else {
        Platform::Other
    }
}

fn host(issuer: &str) -> Option<String> {
    Url::parse(issuer).ok()?.host_str().map(str::to_owned)
}

impl Platform {
    /// What it is called in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aks => "AKS",
            Self::AksArc => "AKS enabled by Azure Arc",
            Self::Arc => "Kubernetes enabled by Azure Arc",
            Self::K3s => "K3s",
            Self::OpenShift => "OpenShift",
            Self::Tanzu => "Tanzu Kubernetes Grid",
            Self::Eks => "EKS",
            Self::Gke => "GKE",
            Self::Other => "Kubernetes",
        }
    }

    /// What to set so that the cluster's tokens carry the issuer that azwib goes by, or azwib goes by theirs.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Aks => {
                "on AKS, turn the issuer on (az aks update --enable-oidc-issuer) and give azwib --issuer=auto, or the output of az aks \
                 show --query oidcIssuerProfile.issuerUrl -o tsv, with its slash"
            }
            Self::AksArc => {
                "on AKS enabled by Azure Arc the issuer is set when the cluster is created: give azwib --issuer=auto, or the output of \
                 az connectedk8s show --query oidcIssuerProfile.issuerUrl -o tsv"
            }
            Self::Arc => {
                "set the API server's --service-account-issuer to the output of az connectedk8s show --query \
                 oidcIssuerProfile.issuerUrl -o tsv, byte for byte, and restart it"
            }
            Self::K3s => {
                "on K3s, put kube-apiserver-arg: [service-account-issuer=URL] into /etc/rancher/k3s/config.yaml, with the output of az \
                 connectedk8s show --query oidcIssuerProfile.issuerUrl -o tsv where Azure Arc publishes the keys, and restart k3s"
            }
            Self::OpenShift => {
                "on OpenShift, set spec.serviceAccountIssuer of the Authentication named cluster (config.openshift.io) to the issuer's \
                 URL, and wait for the API servers to roll out"
            }
            Self::Tanzu => {
                "on Tanzu, set service-account-issuer among apiServer.extraArgs of the cluster's control plane to the issuer's URL, and \
                 wait for its machines to be replaced"
            }
            Self::Eks => {
                "on EKS the issuer is the cluster's own: give azwib --issuer=auto, or the output of aws eks describe-cluster --query \
                 cluster.identity.oidc.issuer --output text"
            }
            Self::Gke => {
                "on GKE the issuer is the cluster's own: give azwib --issuer=auto, or https://container.googleapis.com/v1/projects/\
                 PROJECT/locations/LOCATION/clusters/CLUSTER"
            }
            Self::Other => {
                "set the API server's --service-account-issuer to the URL at which its discovery document and keys are public, and \
                 restart it"
            }
        }
    }

    /// What to do where the public key set lacks the key that tokens are signed with.
    pub fn keys_advice(self) -> &'static str {
        match self {
            Self::Aks | Self::AksArc | Self::Eks | Self::Gke => {
                "the platform publishes keys by itself: where this stands for more than an hour, open a case with its support"
            }
            Self::Arc | Self::K3s | Self::Tanzu => {
                "where Azure Arc publishes the keys, its agent copies them: look at the pods of the namespaces azure-arc and \
                 arc-workload-identity, and restart those; where you publish them, upload the output of kubectl get --raw \
                 /openid/v1/jwks"
            }
            Self::OpenShift => {
                "where Azure Arc publishes the keys, restart the deployments in azure-arc; where you publish them, upload the output of \
                 oc get --raw /openid/v1/jwks"
            }
            Self::Other => {
                "upload the output of kubectl get --raw /openid/v1/jwks to where the issuer's keys are published"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_told_from_its_version_groups_and_issuer() {
        let told = |version: &str, groups: &[&str], issuer: &str| {
            let traits = Traits {
                version: version.to_owned(),
                groups: groups.iter().map(|it| (*it).to_owned()).collect(),
            };
            platform(&traits, &[issuer])
        };
        let plain = "v1.33.1";
        let local = "https://kubernetes.default.svc.cluster.local";
        let arc = "https://northamerica.oic.prod-arc.azure.com/t/u/";
        for (version, groups, issuer, expected) in [
            (plain, &["apps"][..], local, Platform::Other),
            ("v1.33.1+k3s1", &[], local, Platform::K3s),
            (
                "v1.33.1+k3s1",
                &["clusterconfig.azure.com"],
                arc,
                Platform::K3s,
            ),
            ("v1.33.1+rke2r1", &[], local, Platform::K3s),
            (
                "v1.33.1-eks-a5ec690",
                &[],
                "https://oidc.eks.eu-west-1.amazonaws.com/id/X",
                Platform::Eks,
            ),
            ("v1.33.1-gke.1743000", &[], local, Platform::Gke),
            ("v1.28.4+vmware.1", &[], local, Platform::Tanzu),
            (plain, &["run.tanzu.vmware.com"], local, Platform::Tanzu),
            (
                plain,
                &["config.openshift.io"],
                "https://kubernetes.default.svc",
                Platform::OpenShift,
            ),
            (plain, &["config.openshift.io"], arc, Platform::OpenShift),
            (plain, &["evilconfig.openshift.io"], local, Platform::Other),
            (plain, &[], arc, Platform::Arc),
            (
                plain,
                &["arc.clusterconfig.azure.com"],
                local,
                Platform::Arc,
            ),
            (
                plain,
                &[],
                "https://westeurope.oic.prod-aks.azure.com/t/g/",
                Platform::Aks,
            ),
            (
                plain,
                &[],
                "https://oidc.prod-aks.azure.com/g/",
                Platform::Aks,
            ),
            (
                plain,
                &[],
                "https://shop-dns-1234.hcp.westeurope.azmk8s.io",
                Platform::Aks,
            ),
            (
                plain,
                &[],
                "https://oidcdiscovery-eastus-endpoint-1.z01.azurefd.net/g/g/",
                Platform::AksArc,
            ),
            (
                plain,
                &[],
                "https://evil.example/.oic.prod-aks.azure.com",
                Platform::Other,
            ),
            ("", &[], "no url", Platform::Other),
        ] {
            assert_eq!(
                told(version, groups, issuer),
                expected,
                "{version} {groups:?} {issuer}"
            );
        }
    }

    #[test]
    fn the_configured_issuer_tells_where_that_of_the_tokens_is_a_default() {
        let arc = "https://europe.oic.prod-arc.azure.com/t/u/";
        let seen = platform(&Traits::default(), &["https://kubernetes.default.svc", arc]);
        assert_eq!(seen, Platform::Arc);
    }

    #[test]
    fn each_platform_has_its_own_way_to_an_issuer() {
        for (platform, way) in [
            (Platform::Aks, "az aks update --enable-oidc-issuer"),
            (Platform::AksArc, "when the cluster is created"),
            (Platform::Arc, "az connectedk8s show"),
            (Platform::K3s, "/etc/rancher/k3s/config.yaml"),
            (Platform::OpenShift, "spec.serviceAccountIssuer"),
            (Platform::Tanzu, "apiServer.extraArgs"),
            (Platform::Eks, "aws eks describe-cluster"),
            (Platform::Gke, "container.googleapis.com"),
            (Platform::Other, "--service-account-issuer"),
        ] {
            assert!(platform.advice().contains(way), "{}", platform.name());
            assert!(!platform.keys_advice().is_empty());
        }
    }
}
