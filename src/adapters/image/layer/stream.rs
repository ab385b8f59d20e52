//! The archive as it comes out of its compression: bounded while it is read, and digested.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use sha2::{Digest as _, Sha256};

use super::{Limits, bad};

/// An uncompressed archive. After its end, `digest` is that of all of it.
pub(super) struct Stream {
    inner: Box<dyn Read>,
    /// Bytes of the file that have been read.
    taken: Rc<Cell<u64>>,
    pub(super) given: u64,
    hash: Sha256,
    limits: Limits,
}

impl Stream {
    /// What it is compressed with is seen by its first bytes, not believed.
    pub(super) fn open(file: File, limits: Limits) -> io::Result<Self> {
        let taken = Rc::new(Cell::new(0));
        let mut file = BufReader::with_capacity(1 << 17, Counted { inner: file, taken: taken.clone() });
        let inner: Box<dyn Read> = match file.fill_buf()? {
            [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(file)),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Box::new(Zstd { frame: Frame::Between(file) }),
            _ => Box::new(file),
        };
        Ok(Self { inner, taken, given: 0, hash: Sha256::new(), limits })
    }

    pub(super) fn digest(self) -> String {
        crate::model::id::Digest::from_sha256(self.hash.finalize().into()).to_string()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.given += length as u64;
        if self.given > self.limits.layer_bytes {
            return Err(bad(format!("it unpacks to more than {} bytes", self.limits.layer_bytes)));
        }
        if self.given > self.limits.ratio_from && self.given / self.limits.ratio > self.taken.get() {
            return Err(bad(format!("it unpacks to more than {} times its size", self.limits.ratio)));
        }
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

struct Counted<R> {
    inner: R,
    taken: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.taken.set(self.taken.get() + length as u64);
        Ok(length)
    }
}

/// Frames of zstd, one after the other: the decoder knows one.
struct Zstd {
    frame: Frame,
}

type Source = BufReader<Counted<File>>;
/// With the bytes back that were looked at.
type Whole = io::Chain<io::Cursor<[u8; 4]>, Source>;

enum Frame {
    Between(Source),
    Within(Box<StreamingDecoder<Whole, FrameDecoder>>),
    Over,
}

impl Read for Zstd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.frame, Frame::Over) {
                Frame::Over => return Ok(0),
                Frame::Between(mut source) => {
                    if !source.fill_buf()?.is_empty() {
                        self.frame = begin(source)?;
                    }
                }
                Frame::Within(mut decoder) => match decoder.read(buffer)? {
                    0 => self.frame = Frame::Between(decoder.into_inner().into_inner().1),
                    length => {
                        self.frame = Frame::Within(decoder);
                        return Ok(length);
                    }
                },
            }
        }
    }
}

/// The next frame. Those that are there to be skipped are.
fn begin(mut source: Source) -> io::Result<Frame> {
    let mut head = [0; 4];
    source.read_exact(&mut head)?;
    if (0x184D_2A50..=0x184D_2A5F).contains(&u32::from_le_bytes(head)) {
        let mut length = [0; 4];
        source.read_exact(&mut length)?;
        io::copy(&mut source.by_ref().take(u32::from_le_bytes(length).into()), &mut io::sink())?;
        return Ok(Frame::Between(source));
    }
    let decoder = StreamingDecoder::new(io::Cursor::new(head).chain(source)).map_err(|error| bad(format!("its compression is damaged: {error}")))?;
    Ok(Frame::Within(Box::new(decoder)))
}
