//! From files to splits.

use std::collections::BTreeMap;
use std::ops::Range;

use flink_api::source::SourceSplit;

use super::FileSplit;
use crate::compression::Compression;
use crate::file_system::{self, BlockLocation, FileError, FileStatus};

/// Splits are made small enough for each subtask to get so many: those that read faster take more of them.
const SPLITS_PER_SUBTASK: u64 = 4;

/// Smaller splits than this cost more to hand out than they balance.
const MIN_SPLIT_SIZE: u64 = 1 << 20;

/// More splits than this would burden the JobManager.
const MAX_SPLITS: u64 = 1_000_000;

/// Hosts named for one split.
const MAX_HOSTS: usize = 3;

/// How files are cut.
#[derive(Debug, Clone, Copy)]
pub struct CutOptions {
    /// Largest split, in bytes (`source.file.split-size`).
    pub max_size: u64,
    /// Number of subtasks that will read.
    pub parallelism: u32,
}

/// Cuts files into splits of about one size, which do not reach over the border of two blocks. Empty files give none, and
/// an archive gives one where its parts cannot be unpacked alone.
///
/// # Errors
/// There would be too many, or the blocks of a file cannot be found out.
pub fn cut(files: &[FileStatus], options: CutOptions) -> Result<Vec<SourceSplit<FileSplit>>, FileError> {
    let size = split_size(files, options);
    let count: u64 = files.iter().map(|file| file.version.length.div_ceil(size)).sum();
    if count > MAX_SPLITS {
        let input = files.first().map(|file| file.uri.to_string()).unwrap_or_default();
        let reason = format!("it would be cut into {count} splits; raise source.file.split-size, which is {size}");
        return Err(FileError::InvalidInput { input, reason });
    }
    let mut splits = Vec::new();
    for file in files.iter().filter(|file| file.version.length > 0) {
        cut_file(file, size, &mut splits)?;
    }
    Ok(splits)
}

fn split_size(files: &[FileStatus], options: CutOptions) -> u64 {
    let total = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.version.length));
    let wanted = total.div_ceil(u64::from(options.parallelism.max(1)) * SPLITS_PER_SUBTASK);
    wanted.max(MIN_SPLIT_SIZE).min(options.max_size.max(1))
}

fn cut_file(file: &FileStatus, size: u64, splits: &mut Vec<SourceSplit<FileSplit>>) -> Result<(), FileError> {
    let blocks = file_system::of(&file.uri)?.block_locations(file)?;
    if Compression::of(file.uri.name()).is_some_and(|compression| !compression.is_splittable()) {
        splits.push(split_of(file, 0..file.version.length, &blocks));
        return Ok(());
    }
    for extent in extents(file.version.length, &blocks) {
        let length = extent.end - extent.start;
        let pieces = length.div_ceil(size).max(1);
        for piece in 0..pieces {
            let at = |piece: u64| extent.start + scaled(length, piece, pieces);
            splits.push(split_of(file, at(piece)..at(piece + 1), &blocks));
        }
    }
    Ok(())
}

/// `length * piece / pieces`, for lengths of any size.
fn scaled(length: u64, piece: u64, pieces: u64) -> u64 {
    let exact = u128::from(length) * u128::from(piece) / u128::from(pieces);
    u64::try_from(exact).unwrap_or(length)
}

/// The blocks of a file; the file as one where they are not known.
fn extents(length: u64, blocks: &[BlockLocation]) -> Vec<Range<u64>> {
    let borders = blocks.iter().map(|block| block.offset).filter(|&offset| offset > 0 && offset < length);
    let mut starts: Vec<u64> = std::iter::once(0).chain(borders).collect();
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).copied().chain([length]).collect::<Vec<_>>();
    starts.into_iter().zip(ends).map(|(start, end)| start..end).collect()
}

fn split_of(file: &FileStatus, range: Range<u64>, blocks: &[BlockLocation]) -> SourceSplit<FileSplit> {
    let split = FileSplit {
        uri: file.uri.to_string(),
        offset: range.start,
        length: range.end - range.start,
        file_length: file.version.length,
        modified_nanos: file.version.modified_nanos,
    };
    SourceSplit { description: split.to_string(), hosts: hosts_of(&range, blocks), length: split.length, split }
}

/// The hosts that hold most of a range, the best first.
fn hosts_of(range: &Range<u64>, blocks: &[BlockLocation]) -> Vec<String> {
    let mut bytes_by_host = BTreeMap::<&str, u64>::new();
    for block in blocks {
        let end = block.offset.saturating_add(block.length).min(range.end);
        let overlap = end.saturating_sub(block.offset.max(range.start));
        for host in block.hosts.iter().filter(|_| overlap > 0) {
            *bytes_by_host.entry(host).or_default() += overlap;
        }
    }
    let mut hosts: Vec<_> = bytes_by_host.into_iter().collect();
    hosts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    hosts.into_iter().take(MAX_HOSTS).map(|(host, _)| host.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_system::{FileKind, FileUri, FileVersion};

    const MIB: u64 = 1 << 20;

    fn file(name: &str, length: u64) -> FileStatus {
        let uri = FileUri::parse("/data").unwrap().join(name);
        FileStatus { uri, kind: FileKind::File, version: FileVersion { length, modified_nanos: 7 } }
    }

    fn lengths(files: &[FileStatus], max_size: u64, parallelism: u32) -> Vec<u64> {
        let splits = cut(files, CutOptions { max_size, parallelism }).unwrap();
        let mut next = BTreeMap::<String, u64>::new();
        for split in &splits {
            let expected = next.entry(split.split.uri.clone()).or_default();
            assert_eq!(split.split.offset, *expected, "splits leave no gap");
            *expected = split.split.end();
        }
        for file in files {
            assert_eq!(next.get(&file.uri.to_string()).copied().unwrap_or(0), file.version.length);
        }
        splits.iter().map(|split| split.length).collect()
    }

    #[test]
    fn files_are_cut_by_size_and_parallelism() {
        assert_eq!(lengths(&[file("a", 0)], 64 * MIB, 4), Vec::<u64>::new());
        assert_eq!(lengths(&[file("a", 10)], 64 * MIB, 4), [10]);
        assert_eq!(lengths(&[file("a", 128 * MIB)], 64 * MIB, 1).len(), 4);
        assert_eq!(lengths(&[file("a", 1000 * MIB)], 64 * MIB, 2).len(), 16);
        assert_eq!(lengths(&[file("a", 3 * MIB)], 64 * MIB, 2), [MIB, MIB, MIB]);
        assert_eq!(lengths(&[file("a", 3 * MIB)], MIB / 2, 1).len(), 6);
        assert_eq!(lengths(&[file("a.gz", 300 * MIB), file("b.ZST", 5), file("c.bz2", MIB)], MIB, 8).len(), 3);
        assert_eq!(lengths(&[file("a.gz", 3 * MIB), file("c.bz2", 3 * MIB)], MIB, 8), [3 * MIB, MIB, MIB, MIB]);
        assert_eq!(lengths(&[file("a", 7), file("b", 0), file("c", 9)], 64 * MIB, 2), [7, 9]);
        assert_eq!(lengths(&[file("a", 5)], 1, 1), [1; 5]);
        assert_eq!(lengths(&[file("a", 5)], 0, 1), [1; 5]);
    }

    #[test]
    fn there_are_at_least_as_many_splits_as_subtasks_for_large_files() {
        for parallelism in 1..40 {
            let files = [file("a", 97 * MIB), file("b", 31 * MIB + 1)];
            assert!(lengths(&files, 64 * MIB, parallelism).len() >= parallelism as usize);
        }
    }

    #[test]
    fn too_many_splits_are_refused() {
        let error = cut(&[file("a", u64::MAX / 2)], CutOptions { max_size: 1, parallelism: 1 }).unwrap_err();
        assert!(error.to_string().contains("source.file.split-size"), "{error}");
    }

    #[test]
    fn the_description_is_for_people() {
        let splits = cut(&[file("a.txt", MIB)], CutOptions { max_size: MIB, parallelism: 1 }).unwrap();
        assert_eq!(splits[0].description, "file:/data/a.txt [0, 1048576)");
    }

    #[test]
    fn blocks_give_borders_and_hosts() {
        let block = |offset, length, hosts: &[&str]| BlockLocation {
            offset,
            length,
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        };
        let blocks = [block(0, 100, &["a", "b"]), block(100, 50, &["b", "c"])];
        assert_eq!(extents(150, &blocks), [0..100, 100..150]);
        assert_eq!(extents(150, &[]), vec![Range { start: 0, end: 150 }]);
        assert_eq!(hosts_of(&(100..150), &blocks), ["b", "c"]);
        assert_eq!(hosts_of(&(0..150), &blocks), ["b", "a", "c"]);
        assert!(hosts_of(&(150..160), &blocks).is_empty());
    }
}
