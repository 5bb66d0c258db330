//! What an executable file needs to run: everything up to the end of its last segment. Behind that stand symbols and
//! debugging information, which are most of the bytes of many a build and which no container reads.

/// Bytes of the header of a 64-bit ELF file.
const HEADER: usize = 64;

/// Bytes of a program header.
const PROGRAM_HEADER: usize = 56;

/// Bytes of a section header.
const SECTION_HEADER: usize = 64;

/// A section that occupies no bytes of the file (`.bss`).
const NO_BITS: u32 = 8;

/// How a file is shortened: its first `length` bytes, with this header in place of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stripped {
    /// Bytes that stay.
    pub(super) length: u64,
    /// The header, which no longer names sections.
    pub(super) header: [u8; HEADER],
}

/// How a file may be shortened; none for what is not a little-endian 64-bit ELF file, has nothing to leave out, or carries
/// something behind its sections (programs append data to themselves). `bytes` is the whole file.
pub(super) fn strip(bytes: &[u8]) -> Option<Stripped> {
    let header: [u8; HEADER] = bytes.get(..HEADER)?.try_into().ok()?;
    // Magic, 64 bits, little-endian, version 1.
    if header[..7] != [0x7f, b'E', b'L', b'F', 2, 1, 1] {
        return None;
    }
    let total = bytes.len() as u64;
    let segments = end_of_segments(bytes, &header)?;
    let sections = end_of_sections(bytes, &header)?;
    if segments > total || sections != total || segments >= total {
        return None;
    }
    let mut shortened = header;
    shortened[40..48].fill(0);
    shortened[58..64].fill(0);
    // The size of a section header stays, as in files that never had sections.
    shortened[58..60].copy_from_slice(&header[58..60]);
    Some(Stripped { length: segments, header: shortened })
}

/// How many bytes of a file are needed, where some can be left out.
pub(crate) fn needed(bytes: &[u8]) -> Option<u64> {
    strip(bytes).map(|stripped| stripped.length)
}

fn end_of_segments(bytes: &[u8], header: &[u8; HEADER]) -> Option<u64> {
    let (offset, size, count) = (u64_at(header, 32)?, usize::from(u16_at(header, 54)?), u16_at(header, 56)?);
    // A count of 0xffff is kept in the first section: such files are left alone.
    if size != PROGRAM_HEADER || count == 0 || count == u16::MAX {
        return None;
    }
    let table = table(bytes, offset, size, usize::from(count))?;
    let mut end = offset.checked_add(table.len() as u64)?;
    for entry in table.chunks_exact(size) {
        end = end.max(u64_at(entry, 8)?.checked_add(u64_at(entry, 32)?)?);
    }
    Some(end)
}

fn end_of_sections(bytes: &[u8], header: &[u8; HEADER]) -> Option<u64> {
    let (offset, size, count) = (u64_at(header, 40)?, usize::from(u16_at(header, 58)?), u16_at(header, 60)?);
    if size != SECTION_HEADER || count == 0 {
        return None;
    }
    let table = table(bytes, offset, size, usize::from(count))?;
    let mut end = offset.checked_add(table.len() as u64)?;
    for entry in table.chunks_exact(size) {
        if u32_at(entry, 4)? != NO_BITS {
            end = end.max(u64_at(entry, 24)?.checked_add(u64_at(entry, 32)?)?);
        }
    }
    Some(end)
}

fn table(bytes: &[u8], offset: u64, size: usize, count: usize) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(size.checked_mul(count)?)?)
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(offset..offset + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    fn stripped(bytes: &[u8]) -> Vec<u8> {
        let plan = strip(bytes).unwrap();
        let mut out = bytes[..usize::try_from(plan.length).unwrap()].to_vec();
        out[..HEADER].copy_from_slice(&plan.header);
        out
    }

    /// Another test's child may hold the file for a moment, as it was forked while it was being written.
    fn run(path: &std::path::Path) -> std::process::Output {
        let busy = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ExecutableFileBusy;
        for _ in 0..100 {
            match std::process::Command::new(path).arg("--list").output() {
                Err(error) if busy(&error) => std::thread::sleep(std::time::Duration::from_millis(20)),
                done => return done.unwrap(),
            }
        }
        panic!("{} is busy for ever", path.display());
    }

    #[test]
    fn a_shortened_program_still_runs() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let short = stripped(&own);
        assert!(short.len() < own.len());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&short).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o700)).unwrap();
        drop(file);
        let output = run(&path);
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("a_shortened_program_still_runs"));
        assert_eq!(strip(&short), None, "there is nothing left to leave out");
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        let mut own = std::fs::read("/proc/self/exe").unwrap();
        own.extend_from_slice(b"appended data");
        assert_eq!(strip(&own), None);
        assert_eq!(strip(b"#!/bin/sh\necho hello\n"), None);
        assert_eq!(strip(&[]), None);
        let own = std::fs::read("/proc/self/exe").unwrap();
        for cut in [HEADER, 200, own.len() / 2] {
            assert_eq!(strip(&own[..cut]), None);
        }
        let mut hostile = own[..HEADER + PROGRAM_HEADER].to_vec();
        hostile[32..48].fill(0xff);
        assert_eq!(strip(&hostile), None);
    }
}
