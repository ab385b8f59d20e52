//! Tidegate's side of an invocation: it follows the log, passes on the wish that it ends, and reads what came of it. It owns nothing of it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::super::LogSink;

/// Returns when the supervisor has ended, and all of the log that is there has been passed on.
pub(super) async fn until_the_end(
    control: std::os::unix::net::UnixStream,
    log: &Path,
    tail: &mut Tail,
    sink: &mut dyn LogSink,
    mut cancel: watch::Receiver<bool>,
) -> io::Result<()> {
    control.set_nonblocking(true)?;
    let (mut heard, mut said) = UnixStream::from_std(control)?.into_split();
    // Nobody who could cancel is left: then it will not be.
    let unwanted = async move { cancel.wait_for(|cancelled| *cancelled).await.is_ok() };
    tokio::pin!(unwanted);
    let mut asked = false;
    let mut words = [0; 256];
    loop {
        tokio::select! {
            biased;
            unwanted = &mut unwanted, if !asked => {
                asked = true;
                if unwanted {
                    // A supervisor that has just ended hears nothing any more.
                    let _ = said.write_all(&[1]).await;
                }
            }
            word = heard.read(&mut words) => {
                tail.pass_on(log, sink);
                // An error of the socket is its end.
                if !word.is_ok_and(|length| length > 0) {
                    return Ok(());
                }
            }
        }
    }
}

/// A file that grows, from where it was read last. One that is written anew, with the same beginning, is read on from there.
#[derive(Default)]
pub(super) struct Tail {
    file: Option<File>,
    /// What is before it has been passed on.
    said: u64,
    buffer: Vec<u8>,
}

impl Tail {
    pub(super) fn after(said: u64) -> Self {
        Self { said, ..Self::default() }
    }

    /// What can not be read is not shown; it is in the file.
    fn pass_on(&mut self, path: &Path, sink: &mut dyn LogSink) {
        if self.file.is_none() {
            self.file = File::open(path).ok().filter(|mut file| file.seek(SeekFrom::Start(self.said)).is_ok());
            self.buffer.resize(1 << 18, 0);
        }
        let Some(file) = &mut self.file else { return };
        while let Ok(length) = file.read(&mut self.buffer)
            && length > 0
        {
            sink.write(&self.buffer[..length]);
        }
    }
}
