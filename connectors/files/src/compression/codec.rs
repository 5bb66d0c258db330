//! One step of unpacking, whatever the format.

use std::io;

use zstd::stream::raw::{InBuffer, Operation, OutBuffer};

use super::Compression;

/// Window bits of a gzip member: 15 is the largest there is.
const GZIP_WINDOW_BITS: u8 = 15;

/// What a step has done.
pub(super) struct Step {
    pub(super) consumed: usize,
    pub(super) produced: usize,
    pub(super) member_ended: bool,
}

/// Unpacks one member. Checksums are verified at its end.
pub(super) enum Codec {
    Gzip(flate2::Decompress),
    Zstd(zstd::stream::raw::Decoder<'static>),
    Bzip2(bzip2::Decompress),
}

impl Codec {
    pub(super) fn new(compression: Compression) -> Result<Self, String> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(flate2::Decompress::new_gzip(GZIP_WINDOW_BITS)),
            Compression::Zstd => Self::Zstd(zstd::stream::raw::Decoder::new().map_err(text)?),
            Compression::Bzip2 => Self::Bzip2(bzip2::Decompress::new(false)),
        })
    }

    /// Takes bytes from the front of `input` and puts bytes to the front of `output`.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
        match self {
            Self::Gzip(gzip) => gzip_step(gzip, input, output),
            Self::Zstd(zstd) => zstd_step(zstd, input, output),
            Self::Bzip2(bzip2) => bzip2_step(bzip2, input, output),
        }
    }
}

fn gzip_step(gzip: &mut flate2::Decompress, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
    let before = (gzip.total_in(), gzip.total_out());
    let status = gzip
        .decompress(input, output, flate2::FlushDecompress::None)
        .map_err(|error| error.message().unwrap_or("the data is not valid").to_owned())?;
    step(before, (gzip.total_in(), gzip.total_out()), status == flate2::Status::StreamEnd)
}

/// One step of bzip2; the error is the reason, for people.
pub(super) fn bzip2_step(bzip2: &mut bzip2::Decompress, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
    let before = (bzip2.total_in(), bzip2.total_out());
    let status = bzip2.decompress(input, output).map_err(|error| match error {
        bzip2::Error::Data => "a checksum or a block is wrong".to_owned(),
        bzip2::Error::DataMagic => "it does not begin as bzip2 data does".to_owned(),
        error => error.to_string(),
    })?;
    step(before, (bzip2.total_in(), bzip2.total_out()), status == bzip2::Status::StreamEnd)
}

fn step(before: (u64, u64), after: (u64, u64), member_ended: bool) -> Result<Step, String> {
    let count = |before: u64, after: u64| usize::try_from(after - before).map_err(|error| error.to_string());
    Ok(Step { consumed: count(before.0, after.0)?, produced: count(before.1, after.1)?, member_ended })
}

fn zstd_step(zstd: &mut zstd::stream::raw::Decoder<'static>, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
    let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(output));
    let wanted = zstd.run(&mut from, &mut to).map_err(text)?;
    let (consumed, produced) = (from.pos(), to.pos());
    // Without any input the decoder answers as it does behind a frame, although it is at the front of one.
    Ok(Step { consumed, produced, member_ended: wanted == 0 && !(input.is_empty() && produced == 0) })
}

fn text(error: io::Error) -> String {
    error.to_string()
}
