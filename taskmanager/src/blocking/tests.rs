use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::*;
use crate::network::{ReadOutcome, SubpartitionView};
use fastrand::Rng;

const END: &[u8] = b"end";

fn settings(path: &Path, subpartitions: u32, buffer_bytes: usize) -> BlockingSettings {
    BlockingSettings { path: path.to_owned(), subpartitions, buffer_bytes, max_element: 1 << 20 }
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("blocking-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn read_all(view: &dyn SubpartitionView) -> Result<Vec<Vec<u8>>, String> {
    let mut elements = Vec::new();
    loop {
        let mut element = Vec::new();
        match view.read_next(&mut element) {
            ReadOutcome::Data => elements.push(element),
            ReadOutcome::Event { last } => {
                assert!(last && element == END);
                return Ok(elements);
            }
            ReadOutcome::Empty => panic!("a blocking partition is never empty before its end"),
            ReadOutcome::Failed(reason) => return Err(reason),
        }
    }
}

fn written(path: &Path, seed: u64) -> (BlockingPartition, BTreeMap<u32, Vec<Vec<u8>>>) {
    let mut random = Rng::with_seed(seed);
    let subpartitions = random.u32(1..10);
    let mut writer = BlockingPartitionWriter::create(settings(path, subpartitions, 64 << 10)).unwrap();
    let mut expected: BTreeMap<u32, Vec<Vec<u8>>> = (0..subpartitions).map(|s| (s, Vec::new())).collect();
    for _ in 0..random.usize(..400) {
        let size = match random.u8(..20) {
            0 => 0,
            1 => random.usize(..300_000),
            _ => random.usize(..5_000),
        };
        let element: Vec<u8> = (0..size).map(|i| (i as u64 * 31 + seed) as u8).collect();
        let subpartition = random.u32(..subpartitions);
        writer.append(subpartition, &element).unwrap();
        expected.get_mut(&subpartition).unwrap().push(element);
    }
    (writer.finish(END).unwrap(), expected)
}

#[test]
fn every_subpartition_is_read_in_order_and_again() {
    let folder = folder("order");
    for seed in 0..40 {
        let path = folder.join(format!("{seed}"));
        let (partition, expected) = written(&path, seed);
        for _ in 0..2 {
            for (subpartition, elements) in &expected {
                let view = partition.view(*subpartition).unwrap();
                assert_eq!(view.backlog() as usize, elements.len());
                assert_eq!(&read_all(view.as_ref()).unwrap(), elements, "seed {seed}");
            }
        }
        assert!(matches!(partition.view(99), Err(BlockingError::NoSuchSubpartition { .. })));
        drop(partition);
        assert!(!path.exists());
    }
    std::fs::remove_dir(&folder).unwrap();
}

#[test]
fn memory_is_bounded_by_the_buffer() {
    let folder = folder("memory");
    let mut writer = BlockingPartitionWriter::create(settings(&folder.join("p"), 1000, 1 << 20)).unwrap();
    for number in 0..200_000_u32 {
        writer.append(number % 1000, &number.to_le_bytes()).unwrap();
    }
    let partition = writer.finish(END).unwrap();
    let elements = read_all(partition.view(7).unwrap().as_ref()).unwrap();
    assert_eq!(elements.len(), 200);
    assert_eq!(elements[3], 3007_u32.to_le_bytes());
    drop(partition);
    std::fs::remove_dir(&folder).unwrap();
}

#[test]
fn a_full_disk_names_the_file_and_what_to_do() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let path = folder("full").join("partition-3");
    let mut writer = BlockingPartitionWriter::with_file(settings(&path, 1, 1000), full);
    let error = (0..100).find_map(|_| writer.append(0, &[1; 100]).err()).unwrap();
    assert!(matches!(error, BlockingError::DiskFull { offset: 0, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("partition-3 at offset 0") && text.contains("io.tmp.dirs"), "{text}");
    assert!(matches!(writer.append(0, &[1]), Err(BlockingError::Broken)));
    assert!(matches!(writer.finish(END), Err(BlockingError::Broken)));
}

#[test]
fn a_flipped_bit_is_an_error_with_its_place_and_never_data() {
    let folder = folder("damage");
    let path = folder.join("p");
    let (partition, expected) = written(&path, 12);
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut random = Rng::with_seed(99);
    for _ in 0..300 {
        let offset = random.u64(..partition.bytes());
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        let flipped = [byte[0] ^ (1 << random.u8(..8))];
        file.write_all_at(&flipped, offset).unwrap();
        let mut failures = 0;
        for (subpartition, elements) in &expected {
            match read_all(partition.view(*subpartition).unwrap().as_ref()) {
                Ok(read) => assert_eq!(&read, elements),
                Err(reason) => {
                    failures += 1;
                    assert!(reason.contains("is damaged at offset") && reason.contains("run again"), "{reason}");
                }
            }
        }
        assert_eq!(failures, 1, "the bit at {offset} belongs to one subpartition");
        file.write_all_at(&byte, offset).unwrap();
    }
    file.set_len(partition.bytes() / 2).unwrap();
    assert!(read_all(partition.view(0).unwrap().as_ref()).unwrap_err().contains("the file ends too early"));
    drop(partition);
    std::fs::remove_dir(&folder).unwrap();
}

#[test]
fn after_release_nothing_is_read() {
    let folder = folder("release");
    let path = folder.join("p");
    let mut writer = BlockingPartitionWriter::create(settings(&path, 1, 1000)).unwrap();
    writer.append(0, b"a").unwrap();
    assert!(matches!(writer.append(1, b"a"), Err(BlockingError::NoSuchSubpartition { .. })));
    assert!(matches!(writer.append(0, &vec![0; 2 << 20]), Err(BlockingError::TooLarge { .. })));
    assert!(matches!(
        BlockingPartitionWriter::create(settings(&path, 1, 1000)),
        Err(BlockingError::Io { action: "create", .. })
    ));
    let partition = writer.finish(END).unwrap();
    let view = partition.view(0).unwrap();
    partition.release();
    assert!(!path.exists());
    assert!(read_all(view.as_ref()).unwrap_err().contains("released"));
    assert!(matches!(partition.view(0), Err(BlockingError::Released)));
    std::fs::remove_dir(&folder).unwrap();
}

#[test]
fn damaged_runs_of_any_kind_are_refused() {
    let mut run = Vec::new();
    for block in 0..3 {
        let start = block::begin_block(&mut run);
        for size in 0..40 {
            block::push_element(&mut run, &vec![block; size]);
        }
        block::finish_block(&mut run, start, 5);
    }
    assert_eq!(block::read_run(&run, 5, 1 << 16), Ok(120));
    assert_eq!(block::read_run(&run, 4, 1 << 16), Err(block::BlockError::OtherSubpartition));
    let mut random = Rng::with_seed(3);
    for _ in 0..100_000 {
        let mut damaged = run.clone();
        for _ in 0..random.u8(1..4) {
            let at = random.usize(..damaged.len());
            damaged[at] ^= 1 << random.u8(..8);
        }
        if random.u8(..4) == 0 {
            damaged.truncate(random.usize(..damaged.len()));
        }
        let whole_blocks = run.starts_with(&damaged);
        assert!(block::read_run(&damaged, 5, 1 << 16).is_err() || whole_blocks);
    }
}
