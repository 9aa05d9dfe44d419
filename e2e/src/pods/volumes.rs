//! The volumes of a pod, as folders that a kubelet fills and keeps up to date.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, Pod, ServiceAccount, ServiceAccountTokenProjection, Volume,
};
use kube::Api;
use kube::api::PostParams;

use super::environment::Sources;
use super::options::NodeOptions;
use super::spec::{field, spec};
use super::tokens::VolumeToken;

/// Files of a volume, by their path in it.
type Files = BTreeMap<String, Vec<u8>>;

/// The volumes of one pod.
#[derive(Debug)]
pub(super) struct Volumes {
    folder: PathBuf,
    /// By the path of the file.
    tokens: BTreeMap<PathBuf, VolumeToken>,
    options: NodeOptions,
}

impl Volumes {
    /// Volumes below this folder. Nothing is there yet.
    pub(super) fn new(folder: PathBuf, options: NodeOptions) -> Self {
        Self {
            folder,
            tokens: BTreeMap::new(),
            options,
        }
    }

    /// The folder of the volume of this name.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes what is to be in the volumes now, each file as a whole. Tokens that are not due stay as they are.
    ///
    /// # Errors
    /// A source is missing, is of a kind that the node does not know, or a token is refused.
    pub(super) async fn sync(&mut self, pod: &Pod, sources: &Sources) -> anyhow::Result<()> {
        for volume in spec(pod)?.volumes.iter().flatten() {
            let folder = self.folder(&volume.name);
            fs::create_dir_all(&folder)?;
            let files = self
                .files(pod, volume, &folder, sources)
                .await
                .with_context(|| format!("volume {:?}", volume.name))?;
            for (path, content) in files {
                write(&folder.join(path), &content)?;
            }
        }
        Ok(())
    }

    async fn files(
        &mut self,
        pod: &Pod,
        volume: &Volume,
        folder: &Path,
        sources: &Sources,
    ) -> anyhow::Result<Files> {
        if volume.empty_dir.is_some() {
            return Ok(Files::new());
        }
        if let Some(from) = &volume.config_map {
            let found = sources.config_map(&from.name, from.optional == Some(true));
            return picked(found.await?, from.items.as_deref());
        }
        if let Some(from) = &volume.secret {
            let name = from.secret_name.as_deref().unwrap_or_default();
            let found = sources.secret(name, from.optional == Some(true));
            return picked(found.await?, from.items.as_deref());
        }
        if let Some(from) = &volume.downward_api {
            return fields(pod, from.items.as_deref());
        }
        let Some(projected) = &volume.projected else {
            bail!("it is of a kind that the node does not know");
        };
        let mut files = Files::new();
        for source in projected.sources.iter().flatten() {
            if let Some(token) = &source.service_account_token {
                let file = folder.join(&token.path);
                let text = self.token(pod, token, &file, sources).await?;
                files.insert(token.path.clone(), text.into_bytes());
            } else if let Some(from) = &source.config_map {
                let found = sources.config_map(&from.name, from.optional == Some(true));
                files.extend(picked(found.await?, from.items.as_deref())?);
            } else if let Some(from) = &source.secret {
                let found = sources.secret(&from.name, from.optional == Some(true));
                files.extend(picked(found.await?, from.items.as_deref())?);
            } else if let Some(from) = &source.downward_api {
                files.extend(fields(pod, from.items.as_deref())?);
            } else {
                bail!("it projects something that the node does not know");
            }
        }
        Ok(files)
    }

    /// The token of a file: the one that is there, or a new one.
    async fn token(
        &mut self,
        pod: &Pod,
        projection: &ServiceAccountTokenProjection,
        file: &Path,
        sources: &Sources,
    ) -> anyhow::Result<String> {
        let now = Timestamp::now();
        if let Some(there) = self.tokens.get(file)
            && !there.is_due(now, self.options.renew_tokens_after)
        {
            return Ok(there.token.clone());
        }
        let token = request(pod, projection, sources).await?;
        let text = token.token.clone();
        if let Some(notes) = &self.options.note_tokens {
            let mut notes = fs::File::options().append(true).create(true).open(notes)?;
            // In one piece: others write there, too.
            notes.write_all(format!("{text}\n").as_bytes())?;
        }
        self.tokens.insert(file.to_owned(), token);
        Ok(text)
    }
}

/// A token of the pod's ServiceAccount that is worth nothing without the pod.
async fn request(
    pod: &Pod,
    projection: &ServiceAccountTokenProjection,
    sources: &Sources,
) -> anyhow::Result<VolumeToken> {
    let lifetime = projection.expiration_seconds.unwrap_or(3600);
    let audience = projection.audience.iter().filter(|it| !it.is_empty());
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: audience.cloned().collect(),
            expiration_seconds: Some(lifetime),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
        },
        ..TokenRequest::default()
    };
    let account = spec(pod)?.service_account_name.as_deref();
    let accounts: Api<ServiceAccount> = Api::namespaced(sources.client.clone(), &sources.namespace);
    let answer = accounts
        .create_token_request(
            account.unwrap_or("default"),
            &PostParams::default(),
            &request,
        )
        .await?;
    let status = answer.status.context("an answer without a token")?;
    let expires = status.expiration_timestamp.0;
    Ok(VolumeToken {
        token: status.token,
        issued: expires - SignedDuration::from_secs(lifetime),
        expires,
    })
}

/// All keys, or those that `items` names, each at its path.
fn picked(content: Option<Files>, items: Option<&[KeyToPath]>) -> anyhow::Result<Files> {
    let Some(mut content) = content else {
        return Ok(Files::new());
    };
    let Some(items) = items else {
        return Ok(content);
    };
    let picked = items.iter().map(|item| {
        let value = content.remove(&item.key);
        let value = value.with_context(|| format!("references non-existent key: {}", item.key));
        Ok((item.path.clone(), value?))
    });
    picked.collect()
}

fn fields(pod: &Pod, items: Option<&[DownwardAPIVolumeFile]>) -> anyhow::Result<Files> {
    let files = items.unwrap_or_default().iter().map(|item| {
        let from = item.field_ref.as_ref();
        let from = from.context("the node projects fields of a pod only, no resources")?;
        Ok((
            item.path.clone(),
            field(pod, &from.field_path)?.into_bytes(),
        ))
    });
    files.collect()
}

/// Puts a file in the place of another one, so that no reader sees half of it. Nothing happens where it is the same.
fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let folder = path.parent().context("no folder")?;
    fs::create_dir_all(folder)?;
    let new = tempfile::NamedTempFile::new_in(folder)?;
    fs::write(new.path(), content)?;
    fs::set_permissions(new.path(), fs::Permissions::from_mode(0o644))?;
    new.persist(path)?;
    Ok(())
}
