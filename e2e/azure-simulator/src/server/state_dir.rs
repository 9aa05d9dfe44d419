//! The state directory: the CA and the key that signs access tokens. The simulated state itself is not kept.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::core::SigningKey;
use crate::core::signing::KEY_BITS;

/// What the directory holds.
#[derive(Debug)]
pub(crate) struct StateDir {
    pub(crate) ca_path: PathBuf,
    ca_key_pem: String,
    ca_certificate: CertificateDer<'static>,
    pub(crate) signing_key: SigningKey,
}

impl StateDir {
    /// Opens the directory, and makes it and what it lacks.
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)
            .with_context(|| format!("making the state directory {}", directory.display()))?;
        let ca_path = directory.join("ca.pem");
        let ca_key_path = directory.join("ca-key.pem");
        if !ca_path.exists() || !ca_key_path.exists() {
            let key = KeyPair::generate()?;
            let certificate = ca_parameters().self_signed(&key)?;
            write_private(&ca_key_path, &key.serialize_pem())?;
            fs::write(&ca_path, certificate.pem())
                .with_context(|| format!("writing {}", ca_path.display()))?;
        }
        let ca_key_pem = read(&ca_key_path)?;
        let ca_certificate = CertificateDer::from_pem_slice(read(&ca_path)?.as_bytes())
            .with_context(|| format!("{} holds no certificate", ca_path.display()))?;
        let signing_key_path = directory.join("signing-key.pem");
        if !signing_key_path.exists() {
            let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, KEY_BITS)?;
            write_private(&signing_key_path, &key.to_pkcs8_pem(LineEnding::LF)?)?;
        }
        let signing_key = SigningKey::from_pem(&read(&signing_key_path)?)
            .with_context(|| format!("{} holds no RSA key", signing_key_path.display()))?;
        Ok(Self {
            ca_path,
            ca_key_pem,
            ca_certificate,
            signing_key,
        })
    }

    /// A server certificate for these host names and addresses, signed by the CA.
    pub(crate) fn server_certificate(
        &self,
        names: Vec<String>,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let ca_key = KeyPair::from_pem(&self.ca_key_pem)?;
        let issuer = Issuer::new(ca_parameters(), ca_key);
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(names)?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, "Azure simulator");
        parameters.use_authority_key_identifier_extension = true;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        set_validity(&mut parameters);
        let certificate = parameters.signed_by(&key, &issuer)?;
        Ok((
            vec![certificate.der().clone(), self.ca_certificate.clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        ))
    }

    /// The CA's certificate.
    pub(crate) fn ca_certificate(&self) -> &CertificateDer<'static> {
        &self.ca_certificate
    }
}

fn ca_parameters() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters
        .distinguished_name
        .push(DnType::CommonName, "Azure simulator CA");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut parameters);
    parameters
}

fn set_validity(parameters: &mut CertificateParams) {
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2049, 12, 31);
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}
