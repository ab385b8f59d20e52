//! One registry, as far as one image of it is concerned.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{OciDescriptor, OciManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, manifest};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::config::LARGEST;
use super::error::{ImageError, said};
use super::reference::ImageName;
use super::{Credentials, Found};

pub(super) struct Registry<'a> {
    client: Client,
    name: &'a ImageName,
    auth: RegistryAuth,
    /// As they are known: for leaving them out of what the registry says.
    found: Found,
}

/// All that a manifest may be.
const ACCEPTED: [&str; 4] = [
    manifest::OCI_IMAGE_INDEX_MEDIA_TYPE,
    manifest::IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    manifest::OCI_IMAGE_MEDIA_TYPE,
    manifest::IMAGE_MANIFEST_MEDIA_TYPE,
];

/// A registry answers within this time, or is not waited for. Larger things may take longer, as long as something comes.
const PATIENCE: Duration = Duration::from_secs(60);

impl<'a> Registry<'a> {
    pub(super) fn open(name: &'a ImageName, found: Found) -> Self {
        // Somebody else may have chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let variable = |names: [&str; 2]| names.into_iter().find_map(|name| std::env::var(name).ok()).filter(|_| !name.is_loopback());
        let config = ClientConfig {
            protocol: if name.is_loopback() { ClientProtocol::HttpsExcept(vec![name.registry().to_owned()]) } else { ClientProtocol::Https },
            connect_timeout: Some(Duration::from_secs(15)),
            read_timeout: Some(PATIENCE),
            user_agent: concat!("tidegate/", env!("CARGO_PKG_VERSION")),
            https_proxy: variable(["HTTPS_PROXY", "https_proxy"]),
            no_proxy: variable(["NO_PROXY", "no_proxy"]),
            ..ClientConfig::default()
        };
        let auth = match &found.credentials {
            Some(Credentials::Password { user, secret }) => RegistryAuth::Basic(user.clone(), secret.clone()),
            // It is exchanged in a way that the client does not know.
            Some(Credentials::Token(_)) | None => RegistryAuth::Anonymous,
        };
        Self { client: Client::new(config), name, auth, found }
    }

    /// The manifest (of an image or of several), checked against the digest that it was asked for by. And its own digest.
    pub(super) async fn manifest(&self, digest: Option<&str>) -> Result<(OciManifest, String), ImageError> {
        let reference = digest.map_or_else(|| self.name.reference().clone(), |digest| self.name.with_digest(digest));
        let asked = tokio::time::timeout(PATIENCE, self.client.pull_manifest_raw(&reference, &self.auth, &ACCEPTED)).await;
        let late = |_| ImageError::Registry { registry: self.name.registry().to_owned(), why: "its answer took too long".to_owned() };
        let (bytes, _) = asked.map_err(late)?.map_err(|error| self.mistake(&error))?;
        if bytes.len() as u64 > LARGEST {
            return Err(self.malformed(format!("its manifest is larger than {LARGEST} bytes")));
        }
        let found = digest_of(&bytes);
        match reference.digest() {
            Some(expected) if expected != found => Err(ImageError::Digest { what: "the manifest".to_owned(), expected: expected.to_owned(), found }),
            _ => {
                let manifest =
                    serde_json::from_slice(&bytes).map_err(|error| self.malformed(format!("its manifest can not be read: {}", said(error))))?;
                Ok((manifest, found))
            }
        }
    }

    /// Writes what a descriptor names to a new file, and checks that it is that.
    pub(super) async fn blob(&self, wanted: &OciDescriptor, to: &Path, limit: u64) -> Result<(), ImageError> {
        let size = u64::try_from(wanted.size).unwrap_or(u64::MAX);
        if size > limit {
            return Err(self.malformed(format!("{} has {size} bytes, and {limit} are the most", said(&wanted.digest))));
        }
        self.client.store_auth_if_needed(self.name.registry(), &self.auth).await;
        // Other places that a manifest names for it are not asked: it may name any.
        let plain = OciDescriptor { digest: wanted.digest.clone(), size: wanted.size, ..OciDescriptor::default() };
        let mut stream = self.client.pull_blob_stream(self.name.reference(), &plain).await.map_err(|error| self.mistake(&error))?;
        let mut file = tokio::fs::File::create(to).await.map_err(ImageError::at(to))?;
        let mut hash = Sha256::new();
        let mut written = 0;
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| self.interrupted(&error, &wanted.digest))?;
            written += piece.len() as u64;
            if written > size {
                break;
            }
            hash.update(&piece);
            file.write_all(&piece).await.map_err(ImageError::at(to))?;
        }
        file.flush().await.map_err(ImageError::at(to))?;
        let found = crate::model::id::Digest::from_sha256(hash.finalize().into()).to_string();
        if written != size {
            return Err(ImageError::Digest { what: "a blob".to_owned(), expected: format!("{size} bytes"), found: format!("{written} bytes") });
        }
        if found != wanted.digest {
            return Err(ImageError::Digest { what: "a blob".to_owned(), expected: said(&wanted.digest), found });
        }
        Ok(())
    }

    pub(super) fn malformed(&self, why: String) -> ImageError {
        ImageError::Malformed { reference: self.name.to_string(), why: self.hide(why) }
    }

    fn interrupted(&self, error: &std::io::Error, digest: &str) -> ImageError {
        // The client compares as well, and says so as an error of the stream.
        if error.to_string().contains("igest") {
            return ImageError::Digest { what: "a blob".to_owned(), expected: said(digest), found: "something else".to_owned() };
        }
        ImageError::Unreachable { registry: self.name.registry().to_owned(), why: innermost(error) }
    }

    fn mistake(&self, error: &OciDistributionError) -> ImageError {
        let (reference, registry) = (self.name.to_string(), self.name.registry().to_owned());
        let by_code = |code: u16| match code {
            404 => ImageError::NotFound { reference: reference.clone() },
            401 | 403 => self.not_let_in(),
            code => ImageError::Registry { registry: registry.clone(), why: format!("it said {code}") },
        };
        match error {
            OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => by_code(401),
            OciDistributionError::ImageManifestNotFoundError(_) => by_code(404),
            OciDistributionError::ServerError { code, .. } => by_code(*code),
            OciDistributionError::RegistryError { envelope, .. } => match envelope.errors.first().map(|error| &error.code) {
                Some(OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::BlobUnknown | OciErrorCode::NotFound) => by_code(404),
                Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => by_code(401),
                _ => ImageError::Registry { registry, why: said(self.hide(envelope)) },
            },
            OciDistributionError::RequestError(error) => ImageError::Unreachable { registry, why: innermost(error) },
            OciDistributionError::DigestError(error) => {
                ImageError::Digest { what: "the manifest".to_owned(), expected: "its digest".to_owned(), found: said(error) }
            }
            other => ImageError::Registry { registry, why: said(self.hide(other)) },
        }
    }

    fn not_let_in(&self) -> ImageError {
        let (reference, registry) = (self.name.to_string(), self.name.registry().to_owned());
        match &self.found.credentials {
            None => ImageError::Unauthorised { reference, registry },
            Some(Credentials::Password { .. }) => {
                let remedy = self.found.remedy(&registry);
                ImageError::Refused { reference, registry, remedy }
            }
            Some(Credentials::Token(_)) => ImageError::Token { reference, registry },
        }
    }

    /// A registry knows them, and may repeat them in what it says of a request.
    fn hide(&self, text: impl ToString) -> String {
        let text = text.to_string();
        self.found.credentials.as_ref().map_or_else(|| text.clone(), |credentials| credentials.hide(&text))
    }
}

pub(super) fn digest_of(bytes: &[u8]) -> String {
    crate::model::id::Digest::from_sha256(Sha256::digest(bytes).into()).to_string()
}

/// What is really wrong is at the end of the chain.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    said(at)
}
