use std::io::Write;
use std::path::Path;

use flink_files::TextOptions;
use flink_files::compression::Compression;
use tempfile::tempdir;

use super::{read_lines, reader, whole, write};

const ENDINGS: [&str; 3] = ["gz", "zst", "bz2"];

fn pack(ending: &str, content: &[u8]) -> Vec<u8> {
    match Compression::of(&format!("x.{ending}")).unwrap() {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn text(lines: usize) -> String {
    (0..lines).map(|i| format!("line {i} with number {}\n", i.wrapping_mul(2_654_435_761) % 1_000_003)).collect()
}

fn unpack(path: &Path, block_size: usize) -> Result<String, String> {
    let mut reader = reader(TextOptions { block_size, ..TextOptions::default() });
    let lines = read_lines(&mut reader, whole(path)).map_err(|error| error.to_string())?;
    Ok(lines.into_iter().map(|line| line + "\n").collect())
}

#[test]
fn archives_of_several_members_are_read_to_their_ends() {
    let folder = tempdir().unwrap();
    let text = text(30_000);
    for ending in ENDINGS {
        let path = folder.path().join(format!("text.{}", ending.to_uppercase()));
        for members in [1, 2, 7, 300] {
            let pieces = text.as_bytes().chunks(text.len().div_ceil(members));
            let mut packed: Vec<u8> = pieces.flat_map(|piece| pack(ending, piece)).collect();
            write(&path, &packed);
            assert_eq!(unpack(&path, 4096).unwrap(), text, "{ending} of {members}");
            packed.extend(pack(ending, b""));
            packed.extend(pack(ending, b"last\n"));
            packed.extend([0; 5000]);
            write(&path, &packed);
            assert_eq!(unpack(&path, 256 << 10).unwrap(), text.clone() + "last\n", "{ending} of {members}, padded");
        }
    }
}

#[test]
fn many_members_without_content_do_not_hold_up_the_task() {
    let folder = tempdir().unwrap();
    for ending in ENDINGS {
        let path = folder.path().join(format!("text.{ending}"));
        let mut packed = pack(ending, b"").repeat(500);
        packed.extend(pack(ending, b"end\n"));
        write(&path, &packed);
        assert_eq!(unpack(&path, 4096).unwrap(), "end\n", "{ending}");
    }
}

#[test]
fn an_archive_that_was_cut_off_anywhere_is_an_error() {
    let folder = tempdir().unwrap();
    for ending in ENDINGS {
        let path = folder.path().join(format!("text.{ending}"));
        let first = pack(ending, text(20).as_bytes());
        let both = [first.clone(), pack(ending, text(30).as_bytes())].concat();
        for length in (1..both.len()).filter(|&length| length != first.len()) {
            write(&path, &both[..length]);
            let error = unpack(&path, 4096).unwrap_err();
            assert!(error.contains("cut off") && error.contains(&format!("at byte {length} ")), "{length}: {error}");
        }
    }
}

#[test]
fn a_flipped_bit_is_never_taken_for_data() {
    let folder = tempdir().unwrap();
    let text = text(40);
    for ending in ENDINGS {
        let path = folder.path().join(format!("text.{ending}"));
        let packed = pack(ending, text.as_bytes());
        for at in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 1 << (at % 8);
            write(&path, &damaged);
            // A few bits of the headers have no meaning: the time and system in gzip's.
            match unpack(&path, 4096) {
                Ok(unpacked) => assert_eq!(unpacked, text, "{ending} at {at}"),
                Err(error) => {
                    assert!(error.contains("damaged") && error.contains("/text."), "{ending} at {at}: {error}")
                }
            }
        }
    }
}

#[test]
fn other_bytes_than_an_archive_are_refused() {
    let folder = tempdir().unwrap();
    for ending in ENDINGS {
        let path = folder.path().join(format!("text.{ending}"));
        write(&path, "this is plain text\n");
        let error = unpack(&path, 4096).unwrap_err();
        assert!(error.contains("damaged"), "{ending}: {error}");
        write(&path, [pack(ending, b"good\n"), b"then something else".to_vec()].concat());
        assert!(unpack(&path, 4096).unwrap_err().contains("damaged"), "{ending}");
        write(&path, [pack(ending, b"good\n"), vec![0; 300], b"x".to_vec()].concat());
        assert!(unpack(&path, 4096).unwrap_err().contains("something else behind the end"), "{ending}");
    }
}

#[test]
fn a_bomb_is_stopped_by_the_longest_line_allowed() {
    let folder = tempdir().unwrap();
    for ending in ENDINGS {
        let path = folder.path().join(format!("text.{ending}"));
        write(&path, pack(ending, &vec![b'x'; 64 << 20]));
        let mut reader = reader(TextOptions { max_line_length: 1 << 20, ..TextOptions::default() });
        let error = read_lines(&mut reader, whole(&path)).unwrap_err().to_string();
        assert!(error.contains("source.text.max-line-length"), "{ending}: {error}");
    }
}
