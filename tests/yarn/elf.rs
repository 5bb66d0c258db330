//! What a program asks of the machine that runs it, as its file says to the dynamic linker: the libraries that it needs and
//! the versions of their symbols. Read as the linker does, from the segments, for a program may have lost its sections.

use std::collections::BTreeSet;

/// A segment that is put into memory.
const PT_LOAD: u32 = 1;

/// The segment with the linker's table: pairs of a tag and a value.
const PT_DYNAMIC: u32 = 2;

/// Tags of that table: a library's name, the texts, and the versions that are needed (`.gnu.version_r`).
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_VERNEED: u64 = 0x6fff_fffe;

/// What a program needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Names of libraries.
    pub(crate) libraries: BTreeSet<String>,
    /// Libraries, and versions of symbols of theirs: `libc.so.6` and `GLIBC_2.17`.
    pub(crate) versions: BTreeSet<(String, String)>,
    /// Whether it has what only linkers and debuggers read: symbols above all.
    pub(crate) has_sections: bool,
}

/// Where a segment is in the file, and in memory.
#[derive(Debug)]
struct Segment {
    kind: u32,
    begin: usize,
    size: usize,
    address: u64,
}

struct Elf<'a> {
    bytes: &'a [u8],
    segments: Vec<Segment>,
    dynamic: Vec<(u64, u64)>,
}

impl Needs {
    /// Of a program for 64 bits, little end first, that is linked dynamically.
    #[track_caller]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        assert_eq!(&bytes[..6], b"\x7fELF\x02\x01", "a program for 64 bits, little end first");
        let elf = Elf::new(bytes);
        Self { libraries: elf.libraries(), versions: elf.versions(), has_sections: elf.short(0x3c) > 0 }
    }

    /// The newest glibc of which a symbol is needed: 2 and 17 for `GLIBC_2.17`.
    #[track_caller]
    pub(crate) fn newest_glibc(&self) -> (u32, u32) {
        let number = |version: &str| {
            let (major, rest) = version.strip_prefix("GLIBC_")?.split_once('.')?;
            // What follows is a correction that adds nothing: `2.2.5`.
            Some((major.parse().ok()?, rest.split('.').next()?.parse().ok()?))
        };
        let versions = self.versions.iter().map(|(library, version)| {
            number(version).unwrap_or_else(|| panic!("{version} of {library} is no public version of glibc"))
        });
        versions.max().expect("it needs the C library")
    }
}

impl<'a> Elf<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let mut elf = Self { bytes, segments: Vec::new(), dynamic: Vec::new() };
        let (table, size, count) = (elf.word(0x20) as usize, elf.short(0x36), elf.short(0x38));
        elf.segments = (0..count).map(|number| elf.segment(table + number * size)).collect();
        let dynamic = elf.segments.iter().find(|segment| segment.kind == PT_DYNAMIC).expect("it is linked dynamically");
        let pairs = (dynamic.begin..dynamic.begin + dynamic.size).step_by(16);
        elf.dynamic = pairs.map(|at| (elf.word(at), elf.word(at + 8))).collect();
        elf
    }

    fn segment(&self, at: usize) -> Segment {
        let (begin, size) = (self.word(at + 8) as usize, self.word(at + 32) as usize);
        Segment { kind: self.half(at), begin, size, address: self.word(at + 16) }
    }

    /// A number of 8 bytes.
    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    /// A number of 4 bytes.
    fn half(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    /// A number of 2 bytes.
    fn short(&self, at: usize) -> usize {
        usize::from(u16::from_le_bytes(self.bytes[at..at + 2].try_into().unwrap()))
    }

    fn values(&self, tag: u64) -> impl Iterator<Item = u64> {
        self.dynamic.iter().filter(move |(own, _)| *own == tag).map(|(_, value)| *value)
    }

    /// Where the table of a tag is in the file; the linker's table has addresses in memory.
    fn table(&self, tag: u64) -> usize {
        let address = self.values(tag).next().unwrap_or_else(|| panic!("the linker's table has no {tag:#x}"));
        let holds = |segment: &&Segment| {
            segment.kind == PT_LOAD && (segment.address..segment.address + segment.size as u64).contains(&address)
        };
        let segment = self.segments.iter().find(holds).expect("a segment holds it");
        segment.begin + (address - segment.address) as usize
    }

    fn text(&self, offset: u64) -> String {
        let bytes = &self.bytes[self.table(DT_STRTAB) + offset as usize..];
        let end = bytes.iter().position(|byte| *byte == 0).unwrap();
        String::from_utf8(bytes[..end].to_vec()).unwrap()
    }

    fn libraries(&self) -> BTreeSet<String> {
        self.values(DT_NEEDED).map(|name| self.text(name)).collect()
    }

    /// A list of libraries, each with a list of versions; an entry says how far the next one is.
    fn versions(&self) -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        let mut library = Some(self.table(DT_VERNEED));
        while let Some(at) = library {
            let file = self.text(self.half(at + 4).into());
            let mut version = self.step(at, 8);
            while let Some(at) = version {
                found.insert((file.clone(), self.text(self.half(at + 8).into())));
                version = self.step(at, 12);
            }
            library = self.step(at, 12);
        }
        found
    }

    /// Where an entry leads whose distance to the next one stands at `field`; 0 is the end.
    fn step(&self, entry: usize, field: usize) -> Option<usize> {
        let distance = self.half(entry + field) as usize;
        (distance > 0).then_some(entry + distance)
    }
}
