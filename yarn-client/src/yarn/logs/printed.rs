use super::OF_THE_START;
use crate::error::Result;
use crate::output;

/// Whether a file of a container's says something that people look for.
pub(super) fn is_telling(name: &str, size: u64) -> bool {
    size > 0 && !OF_THE_START.contains(&name)
}

/// A log on its way to standard output. Pieces of it may end in the middle of a character.
pub(super) struct Printed {
    kept: Vec<u8>,
}

impl Printed {
    /// Begins with a title.
    pub(super) fn begin(container: &str, node: &str, name: &str) -> Result<Self> {
        output::line(format!("==> {container} on {node}: {name} <=="))?;
        Ok(Self { kept: Vec::new() })
    }

    /// Writes a piece.
    pub(super) fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.kept.extend_from_slice(piece);
        let whole = whole_characters(&self.kept);
        output::raw(&String::from_utf8_lossy(&self.kept[..whole]))?;
        self.kept.drain(..whole);
        Ok(())
    }

    /// Ends the last line.
    pub(super) fn end(self) -> Result<()> {
        output::line(String::from_utf8_lossy(&self.kept))
    }
}

/// Bytes up to the last whole character.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_not_cut_in_two() {
        assert_eq!(whole_characters("aä".as_bytes()), 3);
        assert_eq!(whole_characters(&"aä".as_bytes()[..2]), 1);
        assert_eq!(whole_characters(&[b'a', 0xff, b'b']), 3);
    }
}
