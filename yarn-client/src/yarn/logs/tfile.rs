//! Hadoop's TFile, the form of aggregated logs: blocks of keys and values, an index of the blocks, and at the end of the
//! file where the index is.
//!
//! ```text
//! magic | block … | meta blocks (index of the blocks, …) | meta index | its offset (8) | version (4) | magic (16)
//! ```
//!
//! Nothing is kept in memory but one piece of a value: values are streams. All lengths are checked before they are used.

use std::io::{self, Read, Seek, SeekFrom};

/// First and last bytes of a file.
const MAGIC: [u8; 16] =
    [0xd1, 0x11, 0xd3, 0x68, 0x91, 0xb5, 0xd7, 0xb6, 0x39, 0xdf, 0x41, 0x40, 0x92, 0xba, 0xe1, 0x50];

/// Offset of the meta index, version, magic.
const TAIL: u64 = 8 + 4 + 16;

/// The version that is known; a smaller minor number would do as well.
const MAJOR: u16 = 1;

/// Longest index that is read: a block has a mebibyte, so that this is for terabytes.
const MAX_INDEX_BYTES: u64 = 16 << 20;

/// Longest key: a container's name has 60 bytes.
const MAX_KEY_LENGTH: usize = 64 << 10;

/// Name of the index of blocks among the meta blocks.
const BLOCK_INDEX: &str = "data:BCFile.index";

/// Where a block is, compressed and not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    offset: u64,
    compressed: u64,
    raw: u64,
}

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Zlib,
}

/// A file that is being read from its first block to its last.
pub(crate) struct TFile<R> {
    source: R,
    compression: Compression,
    blocks: Vec<Region>,
}

impl<R: Read + Seek> TFile<R> {
    /// Reads the index.
    ///
    /// # Errors
    /// The file cannot be read, is cut off, or is not a TFile.
    pub(crate) fn open(mut source: R) -> io::Result<Self> {
        let length = source.seek(SeekFrom::End(0))?;
        let tail_at = length.checked_sub(TAIL).ok_or_else(|| wrong("it is too short; it may still be written"))?;
        let index_at = read_tail(&mut source, tail_at)?;
        if index_at >= tail_at || tail_at - index_at > MAX_INDEX_BYTES {
            return Err(wrong("its index is not where it should be"));
        }
        source.seek(SeekFrom::Start(index_at))?;
        let (compression, region) = find_block_index(&mut (&mut source).take(tail_at - index_at))?;
        check(&region, tail_at)?;
        if region.raw > MAX_INDEX_BYTES || region.compressed > MAX_INDEX_BYTES {
            return Err(wrong("its index is too large"));
        }
        let (compression, blocks) = read_block_index(&mut block(&mut source, compression, region)?)?;
        blocks.iter().try_for_each(|region| check(region, tail_at))?;
        Ok(Self { source, compression, blocks })
    }

    /// Hands each key with its value to `visit`, which may read the value or leave it, and says whether to go on.
    ///
    /// # Errors
    /// The file is damaged, cannot be read, or `visit` failed.
    pub(crate) fn each<E: From<io::Error>>(
        &mut self,
        mut visit: impl FnMut(&[u8], &mut dyn Read) -> Result<bool, E>,
    ) -> Result<(), E> {
        for index in 0..self.blocks.len() {
            let mut block = block(&mut self.source, self.compression, self.blocks[index])?;
            while let Some(key) = read_key(&mut block)? {
                let mut value = Value::begin(&mut block)?;
                let go_on = visit(&key, &mut value)?;
                if !go_on {
                    return Ok(());
                }
                value.skip()?;
            }
        }
        Ok(())
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a log that YARN has aggregated: {what}"))
}

fn read_tail(source: &mut (impl Read + Seek), at: u64) -> io::Result<u64> {
    source.seek(SeekFrom::Start(at))?;
    let mut tail = [0; TAIL as usize];
    source.read_exact(&mut tail)?;
    if tail[12..] != MAGIC {
        return Err(wrong("it does not end like one; it may still be written"));
    }
    let (index, version) = tail[..12].split_at(8);
    if version[..2] != MAJOR.to_be_bytes() {
        return Err(wrong(&format!("its version is {}, not {MAJOR}", u16::from_be_bytes([version[0], version[1]]))));
    }
    index.try_into().map(u64::from_be_bytes).map_err(io::Error::other)
}

fn check(region: &Region, end: u64) -> io::Result<()> {
    let inside = region.offset.checked_add(region.compressed).is_some_and(|last| last <= end);
    if inside { Ok(()) } else { Err(wrong("a block lies outside of it")) }
}

fn find_block_index(index: &mut impl Read) -> io::Result<(Compression, Region)> {
    for _ in 0..read_length(index)? {
        let name = read_text(index)?;
        let compression = read_text(index)?;
        let region = read_region(index)?;
        if name == BLOCK_INDEX {
            return Ok((Compression::of(&compression)?, region));
        }
    }
    Err(wrong("it has no index"))
}

fn read_block_index(index: &mut impl Read) -> io::Result<(Compression, Vec<Region>)> {
    let compression = Compression::of(&read_text(index)?)?;
    let count = read_length(index)?;
    // Memory is taken as entries are really there, not as the count says.
    let mut blocks = Vec::new();
    for _ in 0..count {
        blocks.push(read_region(index)?);
    }
    Ok((compression, blocks))
}

impl Compression {
    fn of(name: &str) -> io::Result<Self> {
        match name {
            "none" => Ok(Self::None),
            "gz" => Ok(Self::Zlib),
            other => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "logs are compressed with {other} (yarn.nodemanager.log-aggregation.compression-type), which is not \
                     known here; `yarn logs` reads them"
                ),
            )),
        }
    }
}

fn read_region(index: &mut impl Read) -> io::Result<Region> {
    let mut number = || u64::try_from(read_vlong(index)?).map_err(|_| wrong("a length is negative"));
    Ok(Region { offset: number()?, compressed: number()?, raw: number()? })
}

/// A block as a stream of its bytes.
fn block<'a, R: Read + Seek>(
    source: &'a mut R,
    compression: Compression,
    region: Region,
) -> io::Result<Box<dyn Read + 'a>> {
    source.seek(SeekFrom::Start(region.offset))?;
    let stored = io::BufReader::with_capacity(256 << 10, source.take(region.compressed));
    Ok(match compression {
        Compression::None => Box::new(stored.take(region.raw)),
        Compression::Zlib => Box::new(io::BufReader::new(flate2::bufread::ZlibDecoder::new(stored)).take(region.raw)),
    })
}

fn read_key(block: &mut dyn Read) -> io::Result<Option<Vec<u8>>> {
    let mut first = [0];
    if block.read(&mut first)? == 0 {
        return Ok(None);
    }
    let length = usize::try_from(vlong_after(first[0], block)?).map_err(|_| wrong("a key's length is negative"))?;
    if length > MAX_KEY_LENGTH {
        return Err(wrong("a key is too long"));
    }
    let mut key = vec![0; length];
    block.read_exact(&mut key)?;
    Ok(Some(key))
}

/// A value: pieces with a length each, negative when another follows.
struct Value<'a> {
    block: &'a mut dyn Read,
    left: u64,
    last: bool,
}

impl<'a> Value<'a> {
    fn begin(block: &'a mut dyn Read) -> io::Result<Self> {
        let mut value = Self { block, left: 0, last: false };
        value.next_piece()?;
        Ok(value)
    }

    fn next_piece(&mut self) -> io::Result<()> {
        let length = read_vlong(&mut self.block)?;
        self.last = length >= 0;
        self.left = length.unsigned_abs();
        Ok(())
    }

    fn skip(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(|_| ())
    }
}

impl Read for Value<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            if self.last {
                return Ok(0);
            }
            self.next_piece()?;
        }
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.block.read(&mut buffer[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn read_length(source: &mut impl Read) -> io::Result<u32> {
    u32::try_from(read_vlong(source)?).map_err(|_| wrong("a count is negative"))
}

fn read_text(source: &mut impl Read) -> io::Result<String> {
    let length = usize::try_from(read_vlong(source)?).map_err(|_| wrong("a name is missing"))?;
    if length > MAX_KEY_LENGTH {
        return Err(wrong("a name is too long"));
    }
    let mut bytes = vec![0; length];
    source.read_exact(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| wrong("a name is not text"))
}

/// TFile's own numbers of variable length: one to nine bytes, the first of which says how many.
fn read_vlong(source: &mut (impl Read + ?Sized)) -> io::Result<i64> {
    let mut first = [0];
    source.read_exact(&mut first)?;
    vlong_after(first[0], source)
}

fn vlong_after(first: u8, source: &mut (impl Read + ?Sized)) -> io::Result<i64> {
    let first = i64::from(first.cast_signed());
    let mut more = |count: usize| {
        let mut bytes = [0; 8];
        source.read_exact(&mut bytes[8 - count..])?;
        Ok::<_, io::Error>(u64::from_be_bytes(bytes))
    };
    let with = |high: i64, shift: u32, low: u64| (high << shift) | low.cast_signed();
    Ok(match first {
        -32.. => first,
        -72..=-33 => with(first + 52, 8, more(1)?),
        -104..=-73 => with(first + 88, 16, more(2)?),
        -120..=-105 => with(first + 112, 24, more(3)?),
        _ => {
            let count = usize::try_from(first + 129).map_err(io::Error::other)?;
            if count < 4 {
                return Err(wrong("a number has a wrong length"));
            }
            let unused = 64 - 8 * u32::try_from(count).map_err(io::Error::other)?;
            (more(count)? << unused).cast_signed() >> unused
        }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::{Cursor, Write};

    /// A number in its shortest form.
    pub(crate) fn vlong(number: i64) -> Vec<u8> {
        if (-32..128).contains(&number) {
            return vec![number as u8];
        }
        let magnitude = if number < 0 { !number } else { number };
        let bits = 64 - magnitude.leading_zeros();
        let bytes = number.to_be_bytes();
        match bits {
            0..=12 => vec![((number >> 8) - 52) as u8, bytes[7]],
            13..=20 => vec![((number >> 16) - 88) as u8, bytes[6], bytes[7]],
            21..=27 => vec![((number >> 24) - 112) as u8, bytes[5], bytes[6], bytes[7]],
            _ => {
                let count = (bits as usize + 1).div_ceil(8).max(4);
                let mut out = vec![(count as i64 - 129) as u8];
                out.extend_from_slice(&bytes[8 - count..]);
                out
            }
        }
    }

    fn text(text: &str) -> Vec<u8> {
        [vlong(text.len() as i64), text.as_bytes().to_vec()].concat()
    }

    fn compressed(bytes: &[u8], gz: bool) -> Vec<u8> {
        if !gz {
            return bytes.to_vec();
        }
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Writes a file with one block for each list of keys and values; values in pieces of `piece` bytes.
    pub(crate) fn write(blocks: &[Vec<(Vec<u8>, Vec<u8>)>], piece: usize, gz: bool) -> Vec<u8> {
        let codec = if gz { "gz" } else { "none" };
        let mut file = MAGIC.to_vec();
        let mut index = [text(codec), vlong(blocks.len() as i64)].concat();
        let append = |file: &mut Vec<u8>, raw: &[u8]| {
            let stored = compressed(raw, gz);
            let region = [vlong(file.len() as i64), vlong(stored.len() as i64), vlong(raw.len() as i64)].concat();
            file.extend_from_slice(&stored);
            region
        };
        for block in blocks {
            let mut raw = Vec::new();
            for (key, value) in block {
                raw.extend(vlong(key.len() as i64));
                raw.extend_from_slice(key);
                let mut pieces = value.chunks(piece).peekable();
                if pieces.peek().is_none() {
                    raw.extend(vlong(0));
                }
                while let Some(piece) = pieces.next() {
                    let length = piece.len() as i64;
                    raw.extend(vlong(if pieces.peek().is_some() { -length } else { length }));
                    raw.extend_from_slice(piece);
                }
            }
            index.extend(append(&mut file, &raw));
        }
        let region = append(&mut file, &index);
        let index_at = file.len() as u64;
        file.extend([vlong(2), text("data:TFile.meta"), text("none"), vlong(0), vlong(0), vlong(0)].concat());
        file.extend([text(BLOCK_INDEX), text(codec), region].concat());
        file.extend(index_at.to_be_bytes());
        file.extend([0, 1, 0, 0]);
        file.extend(MAGIC);
        file
    }

    fn read_all(file: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut out = Vec::new();
        TFile::open(Cursor::new(file))?.each(|key, value| {
            let mut bytes = Vec::new();
            value.read_to_end(&mut bytes)?;
            out.push((key.to_vec(), bytes));
            Ok::<_, io::Error>(true)
        })?;
        Ok(out)
    }

    #[test]
    fn numbers_of_every_length() {
        let numbers =
            [0, 1, -1, -32, -33, 127, 128, 1 << 11, 1 << 13, -(1 << 13), 1 << 20, 1 << 27, -(1 << 27), 1 << 31];
        for number in numbers.into_iter().chain([1 << 40, -(1 << 40), i64::MAX, i64::MIN]) {
            assert_eq!(read_vlong(&mut vlong(number).as_slice()).unwrap(), number, "{:?}", vlong(number));
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let pair = |key: &str, size: usize| (key.as_bytes().to_vec(), vec![b'x'; size]);
        let blocks = [vec![pair("a", 0), pair("b", 10)], vec![pair("c", 5_000)], Vec::new()];
        for (piece, gz) in [(1 << 20, false), (7, false), (1_000, true)] {
            assert_eq!(read_all(&write(&blocks, piece, gz)).unwrap(), blocks.concat());
        }
    }

    #[test]
    fn values_may_be_left_unread_and_reading_may_stop() {
        let pair = |key: &str| (key.as_bytes().to_vec(), vec![b'x'; 100]);
        let file = write(&[vec![pair("a"), pair("b"), pair("c")]], 9, false);
        let mut keys = Vec::new();
        let mut opened = TFile::open(Cursor::new(&file)).unwrap();
        opened
            .each(|key, _| {
                keys.push(key.to_vec());
                Ok::<_, io::Error>(key != b"b")
            })
            .unwrap();
        assert_eq!(keys, [b"a", b"b"]);
    }

    #[test]
    fn damage_is_an_error_and_never_more() {
        let file = write(&[vec![(b"key".to_vec(), vec![b'x'; 300])]], 64, false);
        for cut in 0..file.len() {
            assert!(read_all(&file[..cut]).is_err(), "cut at {cut}");
        }
        for position in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[position] ^= 1 << bit;
                let _ = read_all(&damaged);
            }
        }
        let error = read_all(b"short").unwrap_err().to_string();
        assert!(error.contains("may still be written"), "{error}");
    }
}
