/// What each word of theirs means.
mod meanings;

/// How clap reads words of ours.
mod reading;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::error::{ClientError, Result};

use meanings::Meaning::{self, AnyProperty, Containers, Flag, Memory, Property, Refused, Renamed, Ship, Without};
use meanings::{meaning, takes_a_program};
use reading::{Word, read};

/// A command line in the words of this version, and what is to be told about the words that were replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Translated {
    /// The words, without the name of the command line itself.
    pub(crate) words: Vec<OsString>,
    /// Warnings about words that have no effect.
    pub(crate) warnings: Vec<String>,
}

/// Commands of Flink that have another name here.
const COMMANDS: &[(&str, &str)] =
    &[("run-application", "run"), ("yarn-session", "session"), ("yarn-session.sh", "session")];

/// Translates the words of Apache Flink's command line, up to the user's program, whose words are its own. `words` begins
/// with the name that the command line was called by.
///
/// # Errors
/// A word that means something else here, with what to write.
pub(crate) fn translate(words: impl IntoIterator<Item = OsString>, definition: &clap::Command) -> Result<Translated> {
    let mut words = words.into_iter();
    let mut out = Translated { words: words.next().into_iter().collect(), warnings: Vec::new() };
    let Some(command) = words.next() else { return Ok(out) };
    let name = command.to_str().unwrap_or_default();
    let name = COMMANDS.iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| *new).to_owned();
    out.words.push(if name.is_empty() { command } else { OsString::from(&name) });
    let Some(definition) = definition.find_subcommand(&name) else {
        out.words.extend(words);
        return Ok(out);
    };
    let mut line = Line { command: &name, definition, out, containers: None, slots: None, parallelism: false };
    line.translate(words.collect())?;
    Ok(line.out)
}

/// One command's line on its way.
struct Line<'a> {
    command: &'a str,
    definition: &'a clap::Command,
    out: Translated,
    containers: Option<u32>,
    slots: Option<u32>,
    parallelism: bool,
}

impl Line<'_> {
    fn translate(&mut self, words: Vec<OsString>) -> Result<()> {
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if let Some((meaning, inside)) = word.to_str().and_then(|text| meaning(self.command, text)) {
                let shown = word.to_string_lossy().into_owned();
                self.replace(&shown, meaning, inside.as_deref(), &mut words)?;
                continue;
            }
            match read(self.definition, &word) {
                Word::BeforeValue(name) => {
                    let value = words.next();
                    if !self.special(&name, value.as_deref())? {
                        self.out.words.push(word);
                        self.out.words.extend(value);
                    }
                }
                Word::WithValue(name, value) => {
                    let value = value.to_owned();
                    if !self.special(&name, Some(&value))? {
                        self.out.words.push(word);
                    }
                }
                Word::Alone => self.out.words.push(word),
                Word::Other if takes_a_program(self.command) => {
                    self.finish();
                    self.out.words.push(word);
                    self.out.words.extend(words);
                    return Ok(());
                }
                Word::Other => self.out.words.push(word),
            }
        }
        self.finish();
        Ok(())
    }

    fn replace(
        &mut self,
        word: &str,
        meaning: Meaning,
        inside: Option<&str>,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<()> {
        let mut value = || match inside {
            Some(value) => Ok(OsString::from(value)),
            None => rest.next().ok_or_else(|| ClientError::usage(format!("{word} needs a value"))),
        };
        match meaning {
            Renamed(name) => {
                let value = value()?;
                if name == "--slots" {
                    self.slots = value.to_str().and_then(|text| text.parse().ok());
                }
                self.push_pair(name, value);
            }
            Memory(name) => {
                let value = value()?;
                self.push_pair(name, value);
            }
            Flag(words) => self.out.words.extend(words.iter().map(OsString::from)),
            Property(key) => {
                let value = value()?;
                self.push_property(key, &value);
            }
            AnyProperty => {
                let value = value()?;
                self.push_pair("-D", value);
            }
            Containers => {
                let text = value()?;
                let count = text.to_str().and_then(|text| text.parse().ok()).filter(|count| *count > 0);
                self.containers = Some(count.ok_or_else(|| {
                    ClientError::usage(format!(
                        "{word} needs a number of TaskManagers, not `{}`",
                        text.to_string_lossy()
                    ))
                })?);
            }
            Ship => {
                let value = value()?;
                self.check_ship(&value)?;
                self.push_pair("--ship", value);
            }
            Without { value: takes_value, reason } => {
                if takes_value {
                    value()?;
                }
                self.out.warnings.push(format!("{word} has no effect: {reason}"));
            }
            Refused(instead) => return Err(ClientError::usage(format!("{word} cannot be used here")).hint(instead)),
        }
        Ok(())
    }

    fn push_pair(&mut self, name: &str, value: OsString) {
        self.out.words.push(name.into());
        self.out.words.push(value);
    }

    fn push_property(&mut self, key: &str, value: &OsStr) {
        let mut property = OsString::from(format!("{key}="));
        property.push(value);
        self.push_pair("-D", property);
    }

    /// `-t` ships in `session`: a target there is a slip.
    fn check_ship(&self, value: &OsStr) -> Result<()> {
        let text = value.to_string_lossy();
        let is_target = ["local", "remote", "yarn-session", "yarn-application", "yarn-per-job"].contains(&&*text);
        if is_target && !Path::new(value).exists() {
            return Err(ClientError::usage(format!("in `{}`, -t ships files; `{text}` is a target", self.command))
                .hint(
                    "`flink-yarn session` starts a session, whatever the target; programs go into it with \
                       flink-yarn run -t yarn-session PROGRAM",
                ));
        }
        Ok(())
    }

    /// Values of our own options that need another word; true when the option was replaced.
    fn special(&mut self, name: &str, value: Option<&OsStr>) -> Result<bool> {
        let text = value.and_then(OsStr::to_str).unwrap_or_default();
        match (name, text) {
            ("jobmanager" | "m", "yarn-cluster") if self.command == "run" => {
                self.push_pair("--target", "yarn-per-job".into());
                Ok(true)
            }
            ("jobmanager" | "m", "yarn-cluster") => {
                self.out
                    .warnings
                    .push("-m yarn-cluster has no effect here: the session is remembered, or given by -id".into());
                Ok(true)
            }
            ("target" | "t", target) if self.command == "run" => wrong_target(target).map(|()| false),
            ("parallelism" | "p", _) => {
                self.parallelism = true;
                Ok(false)
            }
            ("slots", count) => {
                self.slots = count.parse().ok();
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// In Flink 1.5, a job without a parallelism of its own took all slots of the TaskManagers that were asked for.
    fn finish(&mut self) {
        let Some(containers) = self.containers else { return };
        if self.command == "run" && !self.parallelism {
            let parallelism = containers.saturating_mul(self.slots.unwrap_or(1));
            self.push_pair("-p", parallelism.to_string().into());
            self.out.warnings.push(format!(
                "the number of TaskManagers follows from the job: {containers} of them with {} slot(s) is -p {parallelism}",
                self.slots.unwrap_or(1)
            ));
        } else {
            self.out.warnings.push(
                "the number of TaskManagers has no effect: they are started as jobs need slots, and given back afterwards".into(),
            );
        }
    }
}

fn wrong_target(target: &str) -> Result<()> {
    if target.starts_with("kubernetes") {
        return Err(ClientError::usage(format!("the target `{target}` is not available"))
            .hint("targets are local, remote, yarn-session, yarn-application and yarn-per-job"));
    }
    let known = ["local", "remote", "yarn-session", "yarn-application", "yarn-per-job"].contains(&target);
    if !known && !target.is_empty() && Path::new(target).exists() {
        return Err(ClientError::usage(format!("in `run`, -t names the target; `{target}` is a file or folder"))
            .hint(format!("to put it into the containers: --ship {target} (or -yt {target})")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ArgAction, Command};

    fn definition() -> Command {
        let value = |short: char, long: &'static str| Arg::new(long).short(short).long(long).action(ArgAction::Set);
        let long = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Set);
        let flag = |short: char, long: &'static str| Arg::new(long).short(short).long(long).action(ArgAction::SetTrue);
        let shared = |command: Command| {
            command
                .arg(value('m', "jobmanager"))
                .arg(value('D', "property"))
                .arg(flag('d', "detached"))
                .arg(long("slots"))
                .arg(long("ship"))
                .arg(long("application-id"))
        };
        Command::new("flink-yarn")
            .subcommand(shared(Command::new("run")).arg(value('t', "target")).arg(value('p', "parallelism")))
            .subcommand(shared(Command::new("session")))
            .subcommand(shared(Command::new("doctor")))
            .subcommand(shared(Command::new("list")))
    }

    fn translated(line: &str) -> Result<Translated> {
        let words = std::iter::once("flink-yarn").chain(line.split_whitespace()).map(OsString::from);
        translate(words, &definition())
    }

    fn check(line: &str, expect: &str) {
        let words = translated(line).unwrap().words;
        let text: Vec<_> = words.iter().skip(1).map(|word| word.to_string_lossy()).collect();
        assert_eq!(text.join(" "), expect, "{line}");
    }

    #[test]
    fn the_options_of_flink_one_mean_the_same() {
        check(
            "run -m yarn-cluster -yn 2 -ys 3 -yjm 1024 -ytm 2g -yD a=b -yDc=d prog -ys 4",
            "run --target yarn-per-job --slots 3 --jobmanager-memory 1024 --taskmanager-memory 2g -D a=b -D c=d -p 6 prog -ys 4",
        );
        check("run -m yarn-cluster -yn 2 -p 5 prog", "run --target yarn-per-job -p 5 prog");
        check("run -yid application_1_2 -d prog", "run --application-id application_1_2 -d prog");
        check(
            "run -yd -ynm name -yqu q -yt lib prog",
            "run --detached -D yarn.application.name=name -D yarn.application.queue=q --ship lib prog",
        );
        check(
            "run -t yarn-application -jm 1g -tm 2g prog -tm 1",
            "run -t yarn-application --jobmanager-memory 1g --taskmanager-memory 2g prog -tm 1",
        );
        check("run --yarnqueue q --yarnslots=2 prog", "run -D yarn.application.queue=q --slots 2 prog");
        check("run-application -t yarn-application prog", "run -t yarn-application prog");
        check("list -m yarn-cluster -yid application_1_2", "list --application-id application_1_2");
        check("list -id application_1_2", "list --application-id application_1_2");
    }

    #[test]
    fn the_options_of_yarn_session() {
        check(
            "session -n 2 -jm 1024 -tm 2048m -s 4 -d -nm name -at type -qu q -t lib -D a=b -nl label -z ns -st",
            "session --jobmanager-memory 1024 --taskmanager-memory 2048m --slots 4 -d -D yarn.application.name=name -D \
             yarn.application.type=type -D yarn.application.queue=q --ship lib -D a=b -D yarn.application.node-label=label",
        );
        check("session -id application_1_2", "session --application-id application_1_2");
        check("yarn-session --jobManagerMemory 1g --slots 2", "session --jobmanager-memory 1g --slots 2");
        check("doctor -tm 2g -qu q", "doctor --taskmanager-memory 2g -D yarn.application.queue=q");
        check("session --name n --queue q", "session -D yarn.application.name=n --queue q");
        assert_eq!(translated("session -n 2 -z ns -st").unwrap().warnings.len(), 3);
    }

    #[test]
    fn the_words_of_the_program_stay() {
        check("run prog -yn 2 -m yarn-cluster", "run prog -yn 2 -m yarn-cluster");
        check("run -p 2 -Da=b -t local prog -c x", "run -p 2 -Da=b -t local prog -c x");
        check("run -dp2 prog -s x", "run -dp2 prog -s x");
        check("run -- prog -s x", "run -- prog -s x");
        check("unknown -yn 2", "unknown -yn 2");
    }

    #[test]
    fn wrong_use_says_what_to_write() {
        let table = [
            ("run -t / prog", "--ship /"),
            ("run -t kubernetes-session prog", "targets are local"),
            ("run -s 4 prog", "--slots N"),
            ("run -c Main prog", "leave -c out"),
            ("run -yn none prog", "number of TaskManagers"),
            ("run -yq prog", "flink-yarn session -q"),
            ("session -t yarn-session", "-t ships files"),
            ("session -jm", "-jm needs a value"),
        ];
        for (line, expect) in table {
            let error = translated(line).unwrap_err().to_string();
            assert!(error.contains(expect), "{line}: {error}");
        }
    }
}
