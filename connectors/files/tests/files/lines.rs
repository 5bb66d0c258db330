use std::fs;
use std::path::Path;

use fastrand::Rng;
use flink_files::file_system::FileError;
use flink_files::{InvalidUtf8, TextOptions};
use tempfile::tempdir;

use super::{read_lines, reader, split, whole, write};

/// What the lines of a text are, by definition.
fn expected(text: &str) -> Vec<&str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines: Vec<&str> = text.split('\n').collect();
    let last = lines.pop().unwrap();
    let mut lines: Vec<&str> = lines.into_iter().map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    lines.extend(Some(last).filter(|last| !last.is_empty()));
    lines
}

/// The lines of all splits together are those of the text, for each split size and a few block sizes.
fn check(path: &Path, text: &str, split_sizes: impl Iterator<Item = u64> + Clone, block_sizes: &[usize]) {
    write(path, text);
    let length = text.len() as u64;
    for &block_size in block_sizes {
        let mut reader = reader(TextOptions { block_size, ..TextOptions::default() });
        for size in split_sizes.clone() {
            let offsets = (0..length).step_by(usize::try_from(size).unwrap());
            let found: Vec<String> = offsets
                .flat_map(|offset| read_lines(&mut reader, split(path, offset, size.min(length - offset))).unwrap())
                .collect();
            assert_eq!(found, expected(text), "{text:?} in splits of {size}, blocks of {block_size}");
        }
    }
}

#[test]
fn splits_of_every_size_give_the_lines_of_the_file() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text");
    let texts = [
        "a",
        "\n",
        "\n\n\n",
        "\r\n",
        "\r",
        "a\r",
        "a\n",
        "a\nb",
        "a\r\nb\r\n",
        "a\rb\n\rc\r\r\n",
        "\na\n\nb\n\n",
        "one\ntwo\r\n\r\nthree and some more of it\nä€😀\n€\n😀😀\nend",
        "a long line that is longer than the smallest of the blocks\nshort\n\na second line that is quite long too",
        "\u{feff}with a mark\nand without\n\u{feff}within\n",
        "\u{feff}",
        "\u{feff}\n",
    ];
    for text in texts {
        check(&path, text, 1..=text.len() as u64, &[1, 17, 32, 4096]);
    }
}

#[test]
fn random_texts_in_random_splits() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text");
    let mut random = Rng::with_seed(0x9e37_79b9_7f4a_7c15);
    for _ in 0..150 {
        let pieces = ["\n", "\n", "\r\n", "\r", "a", "bc", "ä", "€", "😀", "some words in a row", "\n\n"];
        let text: String = (0..random.usize(..400)).map(|_| pieces[random.usize(..pieces.len())]).collect();
        let sizes: Vec<u64> = (0..4).map(|_| random.u64(1..text.len() as u64 + 4)).collect();
        check(&path, &text, sizes.into_iter(), &[random.usize(16..116), 8192]);
    }
}

#[test]
fn a_line_may_be_as_long_as_allowed_and_no_longer() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text");
    for block_size in [16, 64, 1000, 4096] {
        for ending in ["\n", "\r\n", ""] {
            write(&path, format!("short\n{}{ending}", "x".repeat(1000)));
            let read = |max_line_length| {
                let options = TextOptions { max_line_length, block_size, ..TextOptions::default() };
                read_lines(&mut reader(options), whole(&path))
            };
            assert_eq!(read(1000).unwrap()[1].len(), 1000);
            for limit in [999, 100, 6] {
                let error = read(limit).unwrap_err();
                let text = error.to_string();
                assert!(matches!(error, FileError::LineTooLong { offset: 6, .. }), "{text}");
                assert!(text.contains("source.text.max-line-length") && text.contains("/text"), "{text}");
            }
        }
    }
}

#[test]
fn a_long_line_of_another_split_is_gone_over_without_being_held() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text");
    write(&path, format!("{}\nnext\n", "x".repeat(100_000)));
    let mut reader = reader(TextOptions { max_line_length: 10, block_size: 64, ..TextOptions::default() });
    assert_eq!(read_lines(&mut reader, split(&path, 50, 99_956)).unwrap(), ["next"]);
    assert!(read_lines(&mut reader, split(&path, 50, 50)).unwrap().is_empty());
}

#[test]
fn bytes_that_are_not_utf8_by_policy() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text");
    write(&path, b"good\nb\xffad\n\xe2\x82\nalso g\xc3\xb6od\n\xf0\x9f\x98");
    let read = |invalid_utf8, block_size| {
        let mut reader = reader(TextOptions { invalid_utf8, block_size, ..TextOptions::default() });
        let lines = read_lines(&mut reader, whole(&path));
        (lines, reader.skipped_lines())
    };
    for block_size in [16, 4096] {
        let (lines, skipped) = read(InvalidUtf8::Replace, block_size);
        assert_eq!((lines.unwrap().join("|").as_str(), skipped), ("good|b\u{fffd}ad|\u{fffd}|also göod|\u{fffd}", 0));
        let (lines, skipped) = read(InvalidUtf8::SkipAndCount, block_size);
        assert_eq!((lines.unwrap().join("|").as_str(), skipped), ("good|also göod", 3));
        let error = read(InvalidUtf8::Fail, block_size).0.unwrap_err();
        assert!(matches!(error, FileError::InvalidUtf8 { offset: 6, byte: 0xff, .. }), "{error}");
    }
}

#[test]
fn the_offset_of_a_wrong_byte_counts_from_the_beginning_of_the_file() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text");
    for at in [0, 1, 50, 99, 5000, 9999] {
        let mut content = b"123456789\n".repeat(1000);
        content[at] = 0x80;
        write(&path, &content);
        for size in [7, 1000, 10_000] {
            let mut reader = reader(TextOptions { block_size: 128, ..TextOptions::default() });
            let errors: Vec<FileError> = (0..10_000)
                .step_by(usize::try_from(size).unwrap())
                .filter_map(|offset| read_lines(&mut reader, split(&path, offset, size.min(10_000 - offset))).err())
                .collect();
            assert_eq!(errors.len(), 1);
            assert!(matches!(errors[0], FileError::InvalidUtf8 { offset, .. } if offset == at as u64), "{}", errors[0]);
        }
    }
}

#[test]
fn a_file_that_was_changed_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text");
    let mut reader = reader(TextOptions { block_size: 16, ..TextOptions::default() });
    let mut check = |change: &dyn Fn()| {
        write(&path, "one\ntwo\n");
        let split = whole(&path);
        change();
        let error = read_lines(&mut reader, split).unwrap_err();
        assert!(matches!(error, FileError::Changed { .. }), "{error}");
    };
    check(&|| fs::write(&path, "one\ntwo\nthree\n").unwrap());
    check(&|| fs::write(&path, "one\n").unwrap());
    check(&|| {
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    });
}

#[test]
fn a_file_that_is_cut_off_while_it_is_read_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text");
    write(&path, "0123456\n".repeat(100));
    let mut reader = reader(TextOptions { block_size: 64, ..TextOptions::default() });
    reader.start_split(whole(&path)).unwrap();
    reader.for_each_line(1, |_| ()).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(200).unwrap();
    let error = reader.for_each_line(1000, |_| ()).unwrap_err().to_string();
    assert!(error.contains("it had 800 bytes and ends after 200"), "{error}");
}

#[test]
fn errors_say_what_to_do() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text");
    write(&path, "x\n");
    let split = whole(&path);
    let mut reader = reader(TextOptions::default());
    fs::remove_file(&path).unwrap();
    let error = reader.start_split(split.clone()).unwrap_err().to_string();
    assert!(error.contains("cannot open file:/") && error.contains("Check the path for typing errors"), "{error}");
    fs::create_dir(&path).unwrap();
    let error = reader.start_split(split.clone()).unwrap_err().to_string();
    assert!(error.contains("It is a folder, not a file"), "{error}");
    fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let error = reader.start_split(split).unwrap_err().to_string();
    assert!(error.contains("symbolic links"), "{error}");
}
