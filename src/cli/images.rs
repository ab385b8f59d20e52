//! `tidegate images`: what is kept of container images, how they come here, and how they go.

use std::fs::File;
use std::io::{self, Read};

use super::args::{Global, ImagesArguments, ImagesCommand, Size};
use super::exit::Exit;
use super::print::{eprintln, println};
use super::session;
use super::settings::{self, SettingsError};
use crate::adapters::image::{ImageError, Images, Keyring, Listed, PullPolicy};
use crate::adapters::sandbox;
use crate::adapters::state::{self, StateError, StateFolder};
use crate::adapters::workspace::{Store, WorkspaceError};
use crate::report::run::text::{bytes, clean, pad};

#[derive(Debug, thiserror::Error)]
enum ImagesError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("{file} can not be read: {why}")]
    Archive { file: String, why: io::Error },
    #[error(transparent)]
    Runtime(#[from] io::Error),
}

impl ImagesError {
    fn exit(&self) -> Exit {
        match self {
            Self::Image(ImageError::Reference { .. }) | Self::Archive { .. } | Self::Settings(_) => Exit::Usage,
            _ => Exit::Infrastructure,
        }
    }
}

pub fn run(global: &Global, arguments: &ImagesArguments) -> Exit {
    answer(global, &arguments.command).map_or_else(|error| session::fail(error.exit(), &error), |()| Exit::Success)
}

fn answer(global: &Global, command: &ImagesCommand) -> Result<(), ImagesError> {
    let state = StateFolder::open(state::locate(global.state_dir.as_deref(), |name| std::env::var_os(name))?)?;
    let store = Store::open(state.root(), sandbox::outer_uid())?;
    store.sweep()?;
    let images = Images::open(state.root(), store, sandbox::outer_uid())?;
    match command {
        ImagesCommand::Ls => ls(&images, global.json)?,
        ImagesCommand::Pull { image } => {
            let images = images.knowing(Keyring::new(settings::load(global)?.settings.registries));
            let mut progress = |line: String| eprintln!("{}", clean(&line));
            let pulled = session::tokio()?.block_on(images.obtain(image, PullPolicy::Always, &mut progress))?;
            println!("{} {}", pulled.0.reference, pulled.0.digest);
        }
        ImagesCommand::Import { file, name } => {
            let archive: Box<dyn Read> = if file.as_os_str() == "-" {
                Box::new(io::stdin().lock())
            } else {
                Box::new(File::open(file).map_err(|why| ImagesError::Archive { file: clean(&file.display().to_string()), why })?)
            };
            for (name, digest) in images.import(archive, name.as_deref())? {
                println!("{name} {digest}");
            }
        }
        ImagesCommand::Prune { keep } => {
            let pruned = images.prune(keep.map_or(0, |Size(bytes)| bytes), true)?;
            pruned.images.iter().for_each(|digest| println!("removed {digest}"));
            println!("{} images, {} layers, {} freed", pruned.images.len(), pruned.layers, bytes(pruned.bytes));
        }
    }
    Ok(())
}

fn ls(images: &Images, json: bool) -> Result<(), ImagesError> {
    let all = images.list()?;
    if json {
        all.iter().for_each(|image| println!("{}", as_json(image)));
        return Ok(());
    }
    if all.is_empty() {
        eprintln!("there are no images yet; `tidegate images pull` and steps with `image:` bring them");
    }
    let name = |image: &Listed| if image.names.is_empty() { "(no name)".to_owned() } else { clean(&image.names.join(" ")) };
    let width = all.iter().map(|image| name(image).chars().count()).max().unwrap_or(0);
    for image in all {
        let used = if image.in_use { "in use".to_owned() } else { format!("used {}", moment(&image)) };
        println!("{}  {}  {:>9}  {} layers  {used}", pad(&name(&image), width), &image.digest[..19], bytes(image.bytes), image.layers);
    }
    Ok(())
}

fn as_json(image: &Listed) -> serde_json::Value {
    let Listed { digest, names, layers, bytes, in_use, .. } = image;
    serde_json::json!({"digest": digest, "names": names, "layers": layers, "bytes": bytes, "used": moment(image), "in_use": in_use})
}

fn moment(image: &Listed) -> String {
    jiff::Timestamp::try_from(image.used).map_or_else(|_| "long ago".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}
