//! What a writer has prepared, as it travels to the committer.

use super::Place;
use crate::file_system::{FileError, FileUri, FileVersion};

/// The name that the file of a subtask has when it is published.
pub(super) fn part_name(subtask: u32) -> String {
    format!("part-{subtask:05}")
}

/// A finished file that waits to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it is; its name is the one that it keeps.
    pub(super) temporary: FileUri,
    /// What it is: a file of the same name that differs is another one.
    pub(super) version: FileVersion,
}

impl Part {
    /// Folder, name, length and modification time, each on a line.
    pub(super) fn encode(&self) -> Vec<u8> {
        let folder = self.temporary.parent().map(|folder| folder.name().to_owned()).unwrap_or_default();
        let FileVersion { length, modified_nanos } = self.version;
        format!("{folder}\n{}\n{length}\n{modified_nanos}", self.temporary.name()).into_bytes()
    }

    /// Reads what the writers of all subtasks have prepared, in order of subtasks.
    pub(super) fn decode_all(committables: &[Vec<u8>], place: &Place) -> Result<Vec<Self>, FileError> {
        let refuse = |reason: &str| FileError::Commit { uri: place.target.to_string(), reason: reason.to_owned() };
        let decode = |bytes: &Vec<u8>| {
            std::str::from_utf8(bytes)
                .ok()
                .and_then(|text| Self::decode(text, place))
                .ok_or_else(|| refuse("what a writer prepared is damaged. Run the job again"))
        };
        let mut parts = committables.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        parts.sort_by(|a, b| a.temporary.name().cmp(b.temporary.name()));
        if parts.windows(2).any(|two| two[0].temporary.name() == two[1].temporary.name()) {
            return Err(refuse("two writers have prepared the same part. Run the job again"));
        }
        Ok(parts)
    }

    /// Only a file in a temporary folder of this job, with the name of a part, is one.
    fn decode(text: &str, place: &Place) -> Option<Self> {
        let mut fields = text.split('\n');
        let (folder, name) = (fields.next()?, fields.next()?);
        let version =
            FileVersion { length: fields.next()?.parse().ok()?, modified_nanos: fields.next()?.parse().ok()? };
        let attempt = place.attempt_of(folder)?;
        let subtask = name.strip_prefix("part-")?.parse().ok()?;
        let named_as_written = place.attempt_folder(attempt).name() == folder && part_name(subtask) == name;
        let temporary = place.attempt_folder(attempt).join(name);
        (named_as_written && fields.next().is_none()).then_some(Self { temporary, version })
    }
}
