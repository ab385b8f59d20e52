//! Findings for code scanning.

use std::io::Write as _;

use base64::Engine as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::model::check::Place;
use crate::model::id::CommitId;

use super::super::ForgeError;
use super::call::Request;
use super::{Github, names};

/// Bytes, packed. GitHub takes no more.
const MOST_PACKED: usize = 10 << 20;
/// Bytes, as they are.
const MOST: usize = 100 << 20;

#[derive(Serialize)]
struct Wanted<'a> {
    commit_sha: &'a str,
    r#ref: &'a str,
    sarif: String,
    tool_name: &'a str,
}

#[derive(Deserialize)]
struct Taken {
    #[serde(default)]
    id: String,
}

impl Github {
    /// Under which id it was taken. The same findings again are the same for GitHub. `reference` in full, as `refs/heads/main`.
    pub async fn upload_sarif(&self, place: &Place, commit: &CommitId, reference: &str, sarif: &[u8]) -> Result<String, ForgeError> {
        if sarif.len() > MOST {
            return Err(ForgeError::never(format!("the findings are {} bytes long; GitHub is sent at most {MOST}", sarif.len())));
        }
        let failed = |error: std::io::Error| ForgeError::never(format!("the findings can not be packed: {error}"));
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(sarif).map_err(failed)?;
        let packed = packer.finish().map_err(failed)?;
        if packed.len() > MOST_PACKED {
            return Err(ForgeError::never(format!("the findings are {} bytes long when packed; GitHub takes at most {MOST_PACKED}", packed.len())));
        }
        let wanted = Wanted {
            commit_sha: names::commit(commit)?,
            r#ref: reference,
            sarif: base64::engine::general_purpose::STANDARD.encode(packed),
            tool_name: "tidegate",
        };
        let taken: Taken = self.call(place, Request::post(format!("{}/code-scanning/sarifs", names::repository(place)?), &wanted)).await?;
        Ok(taken.id)
    }
}
