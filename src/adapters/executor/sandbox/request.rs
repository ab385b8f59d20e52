//! What a supervisor is asked, by a message on its socket: never on disk, as the environment of a step may hold secrets.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::adapters::image::Image;
use crate::adapters::sandbox::Isolation;
use crate::model::invocation::InvocationSpec;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// When tidegate asked, on the clock that all processes share.
    pub(super) asked_us: u64,
    pub(super) spec: InvocationSpec,
    /// The image that it runs in, which is there.
    pub(super) image: Option<Image>,
    /// Those of its services, in their order, which are there as well.
    #[serde(default)]
    pub(super) services: Vec<Image>,
    /// Why this executor runs it, for the record.
    pub(super) chosen: String,
    /// Bytes that are in the log already, and stay there.
    pub(super) said: u64,
    /// How much of its time was over when it was asked: its image had to be pulled.
    pub(super) took: Duration,
    pub(super) isolation: Isolation,
    /// Protections without which the step must not begin.
    pub(super) required: Vec<String>,
    pub(super) host_tools: Vec<PathBuf>,
    /// The `PATH` of whoever started tidegate: for a hint about a tool that is not found.
    pub(super) host_path: String,
    pub(super) state: PathBuf,
    /// Where it may write: the folder in the scratch space of the tidegate that asks.
    pub(super) own: PathBuf,
    /// The name that its folder there shall have: whoever asks can take that away when the supervisor was killed.
    pub(super) scratch: String,
    /// Who files must belong to for the step to be able to change them.
    pub(super) owner: Option<u32>,
    /// The record's folder.
    pub(super) place: PathBuf,
    /// The file for what the step says.
    pub(super) log: PathBuf,
    /// Whether it shall end when nobody follows it any more.
    pub(super) for_followers: bool,
}
