//! Which task of a job is meant on a command line.

use std::str::FromStr;

/// A vertex by its id or the beginning of its name, and one of its subtasks or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskChoice {
    vertex: String,
    subtask: Option<u32>,
}

impl FromStr for TaskChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Names may hold slashes; what is no number behind the last one belongs to the name.
        let subtask = text.rsplit_once('/').and_then(|(vertex, number)| Some((vertex, number.trim().parse().ok()?)));
        let (vertex, subtask) = subtask.map_or((text, None), |(vertex, number)| (vertex, Some(number)));
        let vertex = vertex.trim().to_owned();
        if vertex.is_empty() {
            return Err(
                "expected a task as `list` and REST show it: its id or the beginning of its name, and /N for one \
                        subtask"
                    .to_owned(),
            );
        }
        Ok(Self { vertex, subtask })
    }
}

impl TaskChoice {
    /// Whether a subtask of a vertex is meant.
    pub(crate) fn fits(&self, id: &str, name: &str, subtask: u32) -> bool {
        (self.vertex == id || name.starts_with(&self.vertex)) && self.subtask.is_none_or(|wanted| wanted == subtask)
    }

    /// The TaskManager in a line of the JobManager's log that tells of the deployment of a task that is meant.
    pub(crate) fn place_in(&self, line: &str, job: &str) -> Option<String> {
        let (_, told) = line.split_once("deploying task ")?;
        let word = |key: &str| {
            let (_, rest) = told.split_once(&format!("{key}="))?;
            Some(rest.split(' ').next().unwrap_or(rest))
        };
        let (_, name) = told.split_once(" name=\"")?;
        let fits = word("job")? == job && self.fits(word("vertex")?, name, word("subtask")?.parse().ok()?);
        fits.then(|| word("task_manager").map(str::to_owned)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_chosen_by_id_name_and_number() {
        let table = [
            ("Source: Text File", true),
            ("Source", true),
            ("Source/1", true),
            ("Source/2", false),
            ("bc76", false),
            ("bc764cd8ddf7a0cff126f51c16239658/1", true),
            ("Sink", false),
        ];
        for (text, expected) in table {
            let choice: TaskChoice = text.parse().unwrap();
            let id = "bc764cd8ddf7a0cff126f51c16239658";
            assert_eq!(choice.fits(id, "Source: Text File -> Words/Lines", 1), expected, "{text}");
            let line = format!(
                "2026-11-30T00:00:00Z  INFO flink_appmaster: deploying task job=j1 vertex={id} subtask=1 attempt=0 \
                 task_manager=container_1_0001_01_000002 name=\"Source: Text File -> Words/Lines\""
            );
            let place = choice.place_in(&line, "j1");
            assert_eq!(place.as_deref(), expected.then_some("container_1_0001_01_000002"), "{text}");
            assert_eq!(choice.place_in(&line, "j2"), None);
        }
        assert!("".parse::<TaskChoice>().is_err() && "/1".parse::<TaskChoice>().is_err());
    }
}
