//! The certificate that `/metrics` is served with: from files that are read again, or made at the start.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use std::{fmt, fs, io};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::runtime::hash::hash;

/// How often the files are looked at, as in controller-runtime's certwatcher. A Secret that changes takes the kubelet longer.
const READ_EVERY: Duration = Duration::from_secs(10);

/// The names of the files, as a Secret of type `kubernetes.io/tls` has them.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// How long before now a certificate of our own begins, for clocks that are behind.
const BACKDATED: Duration = Duration::from_secs(3600);

/// How long a certificate of our own is good for. It ends with the process.
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Made at the start. Nobody can verify it.
    SelfSigned,
    /// From `tls.crt` and `tls.key` in this folder.
    Folder(PathBuf),
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("--metrics-cert-path: cannot read {path}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("--metrics-cert-path: {path} has no certificate in PEM")]
    NoCertificate { path: PathBuf },
    #[error("--metrics-cert-path: {path} is not in PEM")]
    NoPem { path: PathBuf, source: pem::Error },
    #[error("--metrics-cert-path: {key} is no key for the certificate in {certificate}")]
    NoKey {
        certificate: PathBuf,
        key: PathBuf,
        source: rustls::Error,
    },
    #[error("cannot make a certificate for /metrics; give one by --metrics-cert-path")]
    Made(#[source] rcgen::Error),
    #[error("cannot serve /metrics by https")]
    Tls(#[source] rustls::Error),
}

/// The certificate at this moment. Connections that come get the last good one.
pub struct Certificate {
    provider: Arc<CryptoProvider>,
    folder: Option<PathBuf>,
    served: RwLock<Served>,
}

struct Served {
    key: Arc<CertifiedKey>,
    /// A number for what the files had.
    content: u64,
}

impl Certificate {
    /// Reads or makes it.
    ///
    /// # Errors
    /// A file cannot be read or has nothing of use in it, or the two do not belong together.
    pub fn new(source: Source) -> Result<Arc<Self>, CertificateError> {
        let provider = Arc::new(ring::default_provider());
        let (served, folder) = match source {
            Source::SelfSigned => (self_signed(&provider)?, None),
            Source::Folder(folder) => (read(&folder, &provider)?, Some(folder)),
        };
        Ok(Arc::new(Self {
            provider,
            folder,
            served: RwLock::new(served),
        }))
    }

    /// What takes connections with it.
    ///
    /// # Errors
    /// None that are known: rustls and its provider fit each other.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, CertificateError> {
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Tls)?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files again and again, until the process ends. What is no good leaves the certificate as it is, with a line in
    /// the log.
    pub async fn keep_fresh(self: Arc<Self>) -> Option<Infallible> {
        let folder = self.folder.clone()?;
        let mut told = None;
        loop {
            sleep(READ_EVERY).await;
            let problem = self.look(&folder).err();
            let text = problem.as_ref().map(ToString::to_string);
            if let Some(problem) = &problem
                && text != told
            {
                let error = problem as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "/metrics is still served with the certificate before"
                );
            }
            told = text;
        }
    }

    /// Takes what the files have, if that is something new.
    fn look(&self, folder: &Path) -> Result<(), CertificateError> {
        let fresh = read(folder, &self.provider)?;
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        if served.content != fresh.content {
            *served = fresh;
            tracing::info!("/metrics is served with another certificate");
        }
        Ok(())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = &self.folder;
        f.debug_struct("Certificate")
            .field("folder", folder)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&served.key))
    }
}

fn read(folder: &Path, provider: &CryptoProvider) -> Result<Served, CertificateError> {
    let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
    let content = |path: &PathBuf| {
        let unreadable = |source| CertificateError::Unreadable {
            path: path.clone(),
            source,
        };
        fs::read(path).map_err(unreadable)
    };
    let (chain_pem, key_pem) = (content(&certificate)?, content(&key)?);
    let no_pem = |path: &PathBuf, source| CertificateError::NoPem {
        path: path.clone(),
        source,
    };
    let chain = CertificateDer::pem_slice_iter(&chain_pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|source| no_pem(&certificate, source))?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate { path: certificate });
    }
    let of_file = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|source| no_pem(&key, source))?;
    let certified = CertifiedKey::from_der(chain, of_file, provider);
    let certified = certified.map_err(|source| CertificateError::NoKey {
        certificate,
        key,
        source,
    })?;
    Ok(Served {
        key: Arc::new(certified),
        content: hash((chain_pem, key_pem)),
    })
}

fn self_signed(provider: &CryptoProvider) -> Result<Served, CertificateError> {
    let made = || -> Result<_, rcgen::Error> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names)?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "azwib-operator");
        params.distinguished_name = name;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let now = OffsetDateTime::now_utc();
        params.not_before = now - BACKDATED;
        params.not_after = now + LIFETIME;
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok((certificate.der().clone(), key.serialize_der()))
    };
    let (certificate, key) = made().map_err(CertificateError::Made)?;
    let key = PrivateKeyDer::Pkcs8(key.into());
    let certified = CertifiedKey::from_der(vec![certificate], key, provider);
    Ok(Served {
        key: Arc::new(certified.map_err(CertificateError::Tls)?),
        content: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a certificate for this name, and its key.
    fn write(folder: &Path, name: &str) -> KeyPair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.join(CERTIFICATE), certificate.pem()).unwrap();
        fs::write(folder.join(KEY), key.serialize_pem()).unwrap();
        key
    }

    fn served(certificate: &Certificate) -> Vec<u8> {
        let served = certificate.served.read().unwrap();
        served.key.cert[0].to_vec()
    }

    #[test]
    fn files_that_change_are_served_and_files_that_are_no_good_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "one.example");
        let certificate = Certificate::new(Source::Folder(folder.path().to_owned())).unwrap();
        let one = served(&certificate);
        certificate.look(folder.path()).unwrap();
        assert_eq!(served(&certificate), one);

        // Half of a rotation: the key of the next one.
        let next = KeyPair::generate().unwrap();
        fs::write(folder.path().join(KEY), next.serialize_pem()).unwrap();
        let error = certificate.look(folder.path()).unwrap_err().to_string();
        assert!(error.contains("tls.key is no key for"), "{error}");
        assert_eq!(served(&certificate), one);
        for (file, content, expected) in [
            (KEY, "", "tls.key is not in PEM"),
            (CERTIFICATE, "nonsense", "tls.crt has no certificate in PEM"),
        ] {
            fs::write(folder.path().join(file), content).unwrap();
            let error = certificate.look(folder.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        fs::remove_file(folder.path().join(CERTIFICATE)).unwrap();
        let error = certificate.look(folder.path()).unwrap_err().to_string();
        assert!(error.contains("cannot read"), "{error}");
        assert_eq!(served(&certificate), one);

        write(folder.path(), "two.example");
        certificate.look(folder.path()).unwrap();
        assert_ne!(served(&certificate), one);
    }

    #[test]
    fn a_start_without_a_usable_file_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = Certificate::new(Source::Folder(folder.path().to_owned())).unwrap_err();
        let path = folder.path().join(CERTIFICATE);
        let expected = format!("--metrics-cert-path: cannot read {}", path.display());
        assert_eq!(error.to_string(), expected);
        assert!(Certificate::new(Source::SelfSigned).is_ok());
    }
}
