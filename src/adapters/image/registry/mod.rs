//! One registry, as far as one image of it is concerned.

mod session;

use std::path::Path;

use oci_client::errors::{OciEnvelope, OciErrorCode};
use oci_client::manifest::{self, OciDescriptor, OciManifest};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::config::LARGEST;
use super::error::{ImageError, said};
use super::reference::{ImageName, is_sha256};
use super::{Credentials, Found};
use session::{PATIENCE, Session, Trouble};

pub(super) struct Registry<'a> {
    session: Session,
    name: &'a ImageName,
    /// For leaving them out of what the registry says.
    found: Found,
}

/// All that a manifest may be.
const ACCEPTED: [&str; 4] = [
    manifest::OCI_IMAGE_INDEX_MEDIA_TYPE,
    manifest::IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    manifest::OCI_IMAGE_MEDIA_TYPE,
    manifest::IMAGE_MANIFEST_MEDIA_TYPE,
];

impl<'a> Registry<'a> {
    pub(super) fn open(name: &'a ImageName, found: Found) -> Result<Self, ImageError> {
        let account = match &found.credentials {
            Some(Credentials::Password { user, secret }) => Some((user.clone(), secret.clone())),
            // It is exchanged in a way of its own.
            Some(Credentials::Token(_)) | None => None,
        };
        let session = Session::open(name, account).map_err(|trouble| {
            let why = format!(
                "no client for it can be made ({}); is HTTPS_PROXY an address?",
                if let Trouble::Request(error) = &trouble { innermost(error) } else { String::new() }
            );
            ImageError::Unreachable { registry: name.registry().to_owned(), why }
        })?;
        Ok(Self { session, name, found })
    }

    /// The manifest (of an image or of several), checked against the digest that it was asked for by. And its own digest.
    pub(super) async fn manifest(&self, digest: Option<&str>) -> Result<(OciManifest, String), ImageError> {
        let expected = digest.or(self.name.digest());
        let place = format!("manifests/{}", expected.or(self.name.reference().tag()).unwrap_or("latest"));
        let asked = async {
            let answer = self.session.get(&place, &ACCEPTED.join(", ")).await?;
            session::body(answer, "its manifest", LARGEST).await
        };
        let late = |_| ImageError::Registry { registry: self.name.registry().to_owned(), why: "its answer took too long".to_owned() };
        let bytes = tokio::time::timeout(PATIENCE, asked).await.map_err(late)?.map_err(|trouble| self.mistake(trouble))?;
        let found = digest_of(&bytes);
        match expected {
            Some(expected) if expected != found => Err(ImageError::Digest { what: "the manifest".to_owned(), expected: expected.to_owned(), found }),
            _ => {
                let manifest =
                    serde_json::from_slice(&bytes).map_err(|error| self.malformed(format!("its manifest can not be read: {}", said(error))))?;
                Ok((manifest, found))
            }
        }
    }

    /// Writes what a descriptor names to a new file, and checks that it is that. `told` hears how much of it is here.
    pub(super) async fn blob(&self, wanted: &OciDescriptor, to: &Path, limit: u64, told: &mut (dyn FnMut(u64) + Send)) -> Result<(), ImageError> {
        let size = u64::try_from(wanted.size).unwrap_or(u64::MAX);
        if size > limit {
            return Err(self.malformed(format!("{} has {size} bytes, and {limit} are the most", said(&wanted.digest))));
        }
        if !is_sha256(&wanted.digest) {
            return Err(self.malformed(format!("it names something by {}, which is no sha256 digest", said(&wanted.digest))));
        }
        // Other places that a manifest names for it are not asked: it may name any.
        let place = format!("blobs/{}", wanted.digest);
        let asked = self.session.get(&place, "*/*");
        let late = |_| ImageError::Registry { registry: self.name.registry().to_owned(), why: "its answer took too long".to_owned() };
        let mut answer = tokio::time::timeout(PATIENCE, asked).await.map_err(late)?.map_err(|trouble| self.mistake(trouble))?;
        let mut file = tokio::fs::File::create(to).await.map_err(ImageError::at(to))?;
        let mut hash = Sha256::new();
        let mut written = 0;
        while let Some(piece) = answer.chunk().await.map_err(|error| self.mistake(Trouble::Request(error)))? {
            written += piece.len() as u64;
            if written > size {
                break;
            }
            hash.update(&piece);
            file.write_all(&piece).await.map_err(ImageError::at(to))?;
            told(written);
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

    fn mistake(&self, trouble: Trouble) -> ImageError {
        let registry = self.name.registry().to_owned();
        let (code, body) = match trouble {
            Trouble::Status(code, body) => (code, body),
            Trouble::TooLong { what, most } => return self.malformed(format!("{what} is larger than {most} bytes")),
            Trouble::Challenge(why) => return ImageError::Registry { registry, why: said(self.hide(why)) },
            Trouble::Request(error) => return ImageError::Unreachable { registry, why: innermost(&error) },
        };
        let not_found = || ImageError::NotFound { reference: self.name.to_string() };
        match serde_json::from_slice::<OciEnvelope>(&body) {
            _ if code == 401 => self.not_let_in(),
            Ok(envelope) if (400..500).contains(&code) => match envelope.errors.first().map(|error| &error.code) {
                Some(OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::BlobUnknown | OciErrorCode::NotFound) => not_found(),
                Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => self.not_let_in(),
                _ => ImageError::Registry { registry, why: said(self.hide(envelope)) },
            },
            _ if code == 404 => not_found(),
            _ if code == 403 => self.not_let_in(),
            _ => ImageError::Registry { registry, why: format!("it said {code}") },
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
