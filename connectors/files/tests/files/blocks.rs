use std::fs;
use std::io::Write;
use std::path::Path;

use fastrand::Rng;
use flink_files::file_system::FileError;
use flink_files::{FileSplit, InvalidUtf8, TextOptions};
use tempfile::tempdir;

use super::{read_lines, reader, split, whole, write};

/// A stream of blocks with these contents.
fn stream(blocks: &[&[u8]]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    for block in blocks {
        encoder.write_all(block).unwrap();
        encoder.flush().unwrap();
    }
    encoder.finish().unwrap()
}

/// The splits of a file, all of one size but the last.
fn splits(path: &Path, size: u64) -> Vec<FileSplit> {
    let length = fs::metadata(path).unwrap().len();
    let offsets = (0..length).step_by(usize::try_from(size).unwrap());
    offsets.map(|offset| split(path, offset, size.min(length - offset))).collect()
}

/// Two splits that meet at a byte.
fn halves(path: &Path, border: u64) -> Vec<FileSplit> {
    let length = fs::metadata(path).unwrap().len();
    vec![split(path, 0, border), split(path, border, length - border)]
}

fn options(block_size: usize) -> TextOptions {
    TextOptions { block_size, ..TextOptions::default() }
}

/// The lines of some splits, each with a reader of its own.
fn read(splits: Vec<FileSplit>, options: TextOptions) -> Result<Vec<String>, FileError> {
    let lines = splits.into_iter().map(|split| read_lines(&mut reader(options), split));
    Ok(lines.collect::<Result<Vec<_>, _>>()?.concat())
}

fn read_each(splits: Vec<FileSplit>) -> Vec<Result<Vec<String>, FileError>> {
    splits.into_iter().map(|split| read_lines(&mut reader(options(64)), split)).collect()
}

/// Splits of all these sizes give the lines of the whole file.
fn check(path: &Path, sizes: impl Iterator<Item = u64>, block_size: usize) {
    let expected = read(vec![whole(path)], options(256 << 10)).unwrap();
    for size in sizes {
        let found = read(splits(path, size), options(block_size)).unwrap();
        assert!(found == expected, "splits of {size}: {} lines, not {}", found.len(), expected.len());
    }
}

/// Text that is not packed to much less than half.
fn text(random: &mut Rng, length: usize) -> String {
    (0..length).map(|_| random.char('!'..='z')).collect()
}

/// Where marks of blocks begin in a file, in bits.
fn marks(packed: &[u8]) -> Vec<u64> {
    let (mut last, mut found) = (0_u64, Vec::new());
    for bit in 0..packed.len() * 8 {
        last = (last << 1 | u64::from(packed[bit / 8] >> (7 - bit % 8) & 1)) & 0xffff_ffff_ffff;
        if last == 0x3141_5926_5359 {
            found.push(bit as u64 - 47);
        }
    }
    found
}

#[test]
fn small_blocks_in_splits_of_every_size() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text.bz2");
    let blocks: [&[&[u8]]; 9] = [
        &[b"one\n", b"two\nthree", b"\nfour\n", b"five"],
        &[b"\n", b"\n", b"\n\n", b"\n"],
        &[b"a line", b" of", b" many", b" blocks\r", b"\nand ", b"one ", b"more"],
        &[b"short\r\n", b"\r", b"\n", b"\r\n\r", b"end\r\n"],
        &[b"\xef\xbb", b"\xbfmark\n\xef\xbb\xbfno mark\n", b"\xef\xbb\xbfnor here\n"],
        &["ä€".as_bytes(), &[0xf0, 0x9f], &[0x98, 0x80, b'\n'], "ö\n€".as_bytes()],
        &[b"x"],
        &[b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", b"bbbbbbbbbbb", b"bbbbbbbbbbbb\n"],
        &[],
    ];
    for blocks in blocks {
        let one = stream(blocks);
        let each: Vec<u8> = blocks.iter().flat_map(|block| stream(&[block])).collect();
        let empty = [stream(&[]), one.clone(), stream(&[]), stream(&[]), one.clone(), stream(&[])].concat();
        let padded = [one.clone(), vec![0; 30]].concat();
        for packed in [one, each, empty, padded] {
            write(&path, &packed);
            check(&path, 1..=packed.len() as u64, 16);
        }
    }
}

#[test]
fn random_blocks_in_random_splits() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text.bz2");
    let mut random = Rng::with_seed(0x9e37_79b9_7f4a_7c15);
    for _ in 0..60 {
        let pieces = ["\n", "\n", "\r\n", "\r", "a", "bc", "ä", "€", "😀", "some words in a row", "\n\n"];
        let mut packed = Vec::new();
        for _ in 0..random.usize(..4) {
            let blocks: Vec<String> = (0..random.usize(..8))
                .map(|_| (0..random.usize(..30)).map(|_| pieces[random.usize(..pieces.len())]).collect())
                .collect();
            packed.extend(stream(&blocks.iter().map(|block| block.as_bytes()).collect::<Vec<_>>()));
        }
        write(&path, &packed);
        let sizes: Vec<u64> = (0..8).map(|_| random.u64(1..packed.len() as u64 + 4)).collect();
        check(&path, sizes.into_iter(), random.usize(16..116));
    }
}

#[test]
fn full_blocks_in_splits() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text.bz2");
    let mut random = Rng::with_seed(7);
    // The second and third text have lines that are longer than one block, and than three.
    for longest in [100, 150_000, 400_000] {
        let mut lines = String::new();
        while lines.len() < 700_000 {
            let length = random.usize(..longest);
            lines += &text(&mut random, length);
            lines += ["\n", "\n\n", "\r\n"][random.usize(..3)];
        }
        lines += "the last one";
        let packed = [stream(&[lines.as_bytes()]), stream(&[&lines.as_bytes()[..120_000]])].concat();
        write(&path, &packed);
        assert!(marks(&packed).len() >= 9, "{:?}", marks(&packed));
        check(&path, [20_000, 77_777, 150_000, 400_000].into_iter(), 4096);
        let border = marks(&packed)[3] / 8;
        let expected = read(vec![whole(&path)], options(4096)).unwrap();
        for border in border - 2..border + 3 {
            assert!(read(halves(&path, border), options(256 << 10)).unwrap() == expected, "border {border}");
        }
    }
}

#[test]
fn a_line_that_ends_near_the_end_of_a_full_block() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text.bz2");
    let mut random = Rng::with_seed(3);
    // The library fills a block of level 1 with this many bytes, where none are repeated.
    let filled = 100_000 - 19;
    for length in filled - 4..=filled + 4 {
        let line = text(&mut random, length - 1);
        let lines = format!("{line}\nsecond\nthird{}\n", text(&mut random, 3000));
        let packed = stream(&[lines.as_bytes()]);
        write(&path, &packed);
        let border = marks(&packed)[1] / 8;
        let found = read_each(halves(&path, border));
        let counts: Vec<usize> = found.iter().map(|lines| lines.as_ref().unwrap().len()).collect();
        // The line that begins with the second block, or earlier, is one of the first split.
        let first = if length <= filled { 2 } else { 1 };
        assert_eq!(counts, [first, 3 - first], "a line of {length} bytes");
        check(&path, [border - 1, border, border + 1].into_iter(), 256 << 10);
    }
}

#[test]
fn splits_within_a_long_line_have_no_lines() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text.bz2");
    let blocks = [&b"first\nlong"[..], b"er", b" and", b" longer\nnext\n", b"last"];
    let packed = stream(&blocks);
    write(&path, &packed);
    let starts: Vec<u64> = marks(&packed).iter().map(|bit| bit / 8).collect();
    let ends = starts[1..].iter().copied().chain([packed.len() as u64]);
    let found: Vec<Vec<String>> = [0]
        .into_iter()
        .chain(starts[1..].iter().copied())
        .zip(ends)
        .map(|(begin, end)| read_lines(&mut reader(options(16)), split(&path, begin, end - begin)).unwrap())
        .collect();
    assert_eq!(found, [vec!["first", "longer and longer"], vec![], vec![], vec!["next", "last"], vec![]]);
}

#[test]
fn the_bits_of_a_mark_within_a_block_are_passed_over() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text.bz2");
    // Which bytes a block has stands in its head as a row of bits: for these, the mark.
    let sign =
        |group: u32, bits: u32| (0..16).filter(move |bit| bits >> (15 - bit) & 1 == 1).map(move |bit| group + bit);
    let signs = sign(0x20, 0x3141).chain(sign(0x30, 0x5926)).chain(sign(0x40, 0x5359));
    let signs: String = signs.map(|sign| char::from_u32(sign).unwrap()).collect();
    let mut random = Rng::with_seed(11);
    let blocks: Vec<String> = (0..6)
        .map(|_| {
            let signs: Vec<char> = signs.chars().chain(['\n', '\n']).collect();
            signs.iter().copied().chain((0..40).map(|_| signs[random.usize(..signs.len())])).collect()
        })
        .collect();
    let packed = stream(&blocks.iter().map(|block| block.as_bytes()).collect::<Vec<_>>());
    assert_eq!(marks(&packed).len(), 12, "one mark in front of each block, and one within");
    write(&path, &packed);
    check(&path, 1..=packed.len() as u64, 16);
}

#[test]
fn a_file_that_was_cut_off_is_an_error_of_some_split() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text.bz2");
    let first = stream(&[b"one\ntwo\n", b"three\nfo", b"ur\nfive\n"]);
    let both = [first.clone(), stream(&[b"six\n", b"seven"])].concat();
    for length in (2..both.len()).filter(|&length| length != first.len()) {
        write(&path, &both[..length]);
        for size in [1, 7, 40, 100].into_iter().filter(|&size| size < length as u64) {
            let errors: Vec<String> =
                read_each(splits(&path, size)).into_iter().filter_map(|read| Some(read.err()?.to_string())).collect();
            let cut_off = |error: &String| error.contains("cut off") && error.contains(&format!("at byte {length} "));
            assert!(!errors.is_empty() && errors.iter().all(cut_off), "{length} in splits of {size}: {errors:?}");
        }
    }
}

#[test]
fn a_flipped_bit_is_never_taken_for_data() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text.bz2");
    let packed = [stream(&[b"one\ntwo\n", b"three\nfo", b"ur\nfive\n"]), stream(&[b"six\n", b"seven"])].concat();
    write(&path, &packed);
    let expected = read(vec![whole(&path)], options(64)).unwrap();
    for bit in 0..packed.len() * 8 {
        let mut damaged = packed.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        write(&path, &damaged);
        for size in [9, 50, packed.len() as u64 - 1] {
            // Some bits have no meaning here: the sizes of blocks, and the checksums over all blocks.
            match read(splits(&path, size), options(64)) {
                Ok(lines) => assert_eq!(lines, expected, "bit {bit} in splits of {size}"),
                Err(error) => assert!(matches!(error, FileError::Damaged { .. }), "bit {bit}: {error}"),
            }
        }
    }
}

#[test]
fn the_error_names_the_block_that_is_damaged() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text.bz2");
    let mut packed = stream(&[b"one\ntwo\n", b"three\nfour\n", b"five\n", b"six\n"]);
    let block = marks(&packed)[2] / 8;
    let checksum = usize::try_from(block).unwrap() + 8;
    packed[checksum] ^= 0x10;
    write(&path, &packed);
    for border in [5, block, block + 1] {
        let found = read_each(halves(&path, border));
        let errors: Vec<String> = found.into_iter().filter_map(|read| Some(read.err()?.to_string())).collect();
        assert!(!errors.is_empty());
        for error in errors {
            assert!(error.contains(&format!("damaged bzip2 data at byte {block} of the file: a checksum")), "{error}");
        }
    }
}

#[test]
fn other_bytes_than_bzip2_are_refused_by_some_split() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text.bz2");
    let good = stream(&[b"good\n", b"better\n"]);
    let check = |content: &[u8], at: usize, reason: &str| {
        write(&path, content);
        for border in [1, 2, 20, 60, content.len() as u64 - 1].into_iter().filter(|&at| at < content.len() as u64) {
            let error = read(halves(&path, border), options(64)).unwrap_err().to_string();
            let place = format!("at byte {at} of the file: {reason}");
            assert!(error.contains(&place), "{place:?} in two at {border}: {error}");
        }
    };
    let behind = good.len();
    check(b"this is plain text\n", 0, "it does not begin as bzip2 data does");
    check(b"BZh0123456789", 0, "it does not begin as bzip2 data does");
    check(b"BZh9 but nothing else", 0, "no block follows its header");
    check(&[&good[..], b"then something else"].concat(), behind, "it does not begin as bzip2 data does");
    check(&[&good[..], b"ab"].concat(), behind, "it does not begin as bzip2 data does");
    check(&[&good[..], &[0; 300], b"x"].concat(), behind + 300, "there is something else behind the end");
    check(&[&good[..], &[0], &good[..]].concat(), behind + 1, "there is something else behind the end");
}

#[test]
fn errors_in_the_text_say_where_offsets_count_from() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text.bz2");
    let packed = stream(&[b"one\ntwo\n", b"three\nfour\nf\xffve\n", b"six\n"]);
    let block = marks(&packed)[1] / 8;
    write(&path, &packed);
    let error = read(halves(&path, block), options(64)).unwrap_err().to_string();
    let expected = format!("text.bz2 (unpacked from its block at byte {block} on): byte 12 (0xff) is not UTF-8 text");
    assert!(error.contains(&expected), "{error}");
    let error = read(halves(&path, block + 1), options(64)).unwrap_err().to_string();
    assert!(error.contains("text.bz2: byte 20 (0xff) is not UTF-8 text"), "{error}");
    let short = TextOptions { max_line_length: 3, invalid_utf8: InvalidUtf8::Replace, ..options(16) };
    let found = read_lines(&mut reader(short), split(&path, block, packed.len() as u64 - block));
    let error = found.unwrap_err().to_string();
    assert!(error.contains(&format!("byte {block} on): the line that begins at byte 6 is longer")), "{error}");
}

#[test]
fn a_file_that_is_cut_off_while_it_is_read_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text.bz2");
    let text = text(&mut Rng::with_seed(5), 600_000).replace('%', "\n");
    let packed = stream(&[text.as_bytes()]);
    write(&path, &packed);
    let length = packed.len() as u64;
    let mut reader = reader(options(64));
    reader.start_split(split(&path, 1000, length - 1000)).unwrap();
    reader.for_each_line(1, |_| ()).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(length - 100).unwrap();
    let error = reader.for_each_line(1_000_000, |_| ()).unwrap_err().to_string();
    assert!(error.contains(&format!("it had {length} bytes and ends after {}", length - 100)), "{error}");
}

#[test]
fn a_bomb_is_stopped_by_the_longest_line_allowed() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text.bz2");
    let packed = stream(&[&vec![b'x'; 64 << 20], b"\nlast"]);
    write(&path, &packed);
    let short = TextOptions { max_line_length: 1 << 20, ..TextOptions::default() };
    let half = packed.len() as u64 / 2;
    let mut found = halves(&path, half).into_iter().map(|split| read_lines(&mut reader(short), split));
    let error = found.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("source.text.max-line-length"), "{error}");
    assert_eq!(found.next().unwrap().unwrap(), ["last"], "a line of others is gone over without being held");
}
