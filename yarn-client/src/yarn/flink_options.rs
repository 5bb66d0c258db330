use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::error::{ClientError, Result};

/// A command line in the words of this version, and what is to be told about the words that were replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Translated {
    /// The words, without the name of the command line itself.
    pub(crate) words: Vec<OsString>,
    /// Warnings about words that have no effect.
    pub(crate) warnings: Vec<String>,
}

/// What a word of Apache Flink's commands means here.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    /// The option of this name, with a value.
    Renamed(&'static str),
    /// A size in megabytes where it has no unit.
    Memory(&'static str),
    /// These words, without a value.
    Flag(&'static [&'static str]),
    /// `-D key=` and the value.
    Property(&'static str),
    /// `-D` and the value, which is a key and its value.
    AnyProperty,
    /// The number of TaskManagers, which was fixed in Flink 1.5.
    Containers,
    /// A folder or files to ship; in `run` that is what -t is not for.
    Ship,
    /// Nothing: the reason is told. With a value or without.
    Without { value: bool, reason: &'static str },
    /// Refused, with what to write instead.
    Refused(&'static str),
}

use Meaning::{AnyProperty, Containers, Flag, Memory, Property, Refused, Renamed, Ship, Without};

const NO_ZOOKEEPER: Meaning = Without {
    value: true,
    reason: "there is no ZooKeeper: a second attempt of the ApplicationMaster finds its jobs in HDFS",
};
const NO_STREAMING: Meaning = Without { value: false, reason: "a cluster runs streaming and batch programs alike" };
const NO_PYTHON: Meaning = Refused("programs in Python are not available: a program is an executable file");

/// The options of `yarn-session.sh`: letters, long name. In Flink 1.x `flink run` took them with `y` and `yarn` in front.
const SESSION: &[(&str, &str, Meaning)] = &[
    ("n", "container", Containers),
    ("jm", "jobManagerMemory", Memory("--jobmanager-memory")),
    ("tm", "taskManagerMemory", Memory("--taskmanager-memory")),
    ("s", "slots", Renamed("--slots")),
    ("d", "detached", Flag(&["--detached"])),
    ("nm", "name", Property("yarn.application.name")),
    ("at", "applicationType", Property("yarn.application.type")),
    ("q", "query", Flag(&["--query"])),
    ("qu", "queue", Property("yarn.application.queue")),
    ("t", "ship", Ship),
    ("j", "jar", Property("yarn.flink-dist-jar")),
    ("D", "D", AnyProperty),
    ("id", "applicationId", Renamed("--application-id")),
    ("z", "zookeeperNamespace", NO_ZOOKEEPER),
    ("nl", "nodeLabel", Property("yarn.application.node-label")),
    ("st", "streaming", NO_STREAMING),
    ("h", "help", Flag(&["--help"])),
];

/// Words of `flink run` and `flink run-application` that mean something else here, or nothing.
const RUN: &[(&str, Meaning)] = &[
    ("-e", Renamed("--target")),
    ("--executor", Renamed("--target")),
    // The letters that `session` has, where they can mean nothing else.
    ("-jm", Memory("--jobmanager-memory")),
    ("-tm", Memory("--taskmanager-memory")),
    ("--yarndetached", Flag(&["--detached"])),
    ("-sae", Flag(&["-D", "execution.shutdown-on-attached-exit=true"])),
    ("--shutdownOnAttachedExit", Flag(&["-D", "execution.shutdown-on-attached-exit=true"])),
    ("-z", NO_ZOOKEEPER),
    ("--zookeeperNamespace", NO_ZOOKEEPER),
    ("-q", Without { value: false, reason: "logs go to standard error only" }),
    ("--sysoutLogging", Without { value: false, reason: "logs go to standard error only" }),
    ("-c", Refused("a program is an executable file, which has no class to name: leave -c out")),
    ("--class", Refused("a program is an executable file, which has no class to name: leave --class out")),
    ("-C", Refused("there is no class path: link what the program needs, or ship files with --ship")),
    ("--classpath", Refused("there is no class path: link what the program needs, or ship files with --ship")),
    ("-j", Refused("give the program's file without -j: flink-yarn run [OPTIONS] PROGRAM [ARGS]...")),
    ("--jarfile", Refused("give the program's file without --jarfile: flink-yarn run [OPTIONS] PROGRAM [ARGS]...")),
    (
        "-s",
        Refused(
            "in `run`, -s names a savepoint, and there are none yet; slots of a TaskManager are --slots N (or -ys N)",
        ),
    ),
    ("--fromSavepoint", Refused("savepoints are not available yet")),
    (
        "-n",
        Refused(
            "in `run`, -n allows state that is not restored, and there are no savepoints yet; for the number of slots use -p",
        ),
    ),
    ("--allowNonRestoredState", Refused("savepoints are not available yet")),
    ("-cm", Refused("savepoints are not available yet")),
    ("--claimMode", Refused("savepoints are not available yet")),
    ("-rm", Refused("savepoints are not available yet")),
    ("--restoreMode", Refused("savepoints are not available yet")),
    ("-py", NO_PYTHON),
    ("--python", NO_PYTHON),
    ("-pym", NO_PYTHON),
    ("--pyModule", NO_PYTHON),
    ("-pyfs", NO_PYTHON),
    ("--pyFiles", NO_PYTHON),
];

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

/// How a word of ours is read.
#[derive(Debug, PartialEq, Eq)]
enum Word<'a> {
    /// An option whose value is the next word.
    BeforeValue(String),
    /// An option with its value in the same word.
    WithValue(String, &'a OsStr),
    /// An option without a value, or one that is not known.
    Alone,
    /// Not an option: the program.
    Other,
}

impl Line<'_> {
    fn translate(&mut self, words: Vec<OsString>) -> Result<()> {
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if let Some((meaning, inside)) = word.to_str().and_then(|text| self.meaning(text)) {
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
                Word::Other if self.takes_a_program() => {
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

    fn takes_a_program(&self) -> bool {
        matches!(self.command, "run" | "info")
    }

    /// The meaning of a word in this command; with the value that stands in the same word.
    fn meaning(&self, word: &str) -> Option<(Meaning, Option<String>)> {
        if matches!(self.command, "session" | "doctor") {
            return session_word(word, "", "", |letters| !matches!(letters, "h" | "d" | "q"));
        }
        if !matches!(self.command, "run" | "list" | "cancel" | "logs" | "info" | "kill") {
            return None;
        }
        let ours = match word {
            "-yq" | "--yarnquery" => Some((Refused("nodes, queues and what is free: flink-yarn session -q"), None)),
            "-id" => Some((Renamed("--application-id"), None)),
            _ => session_word(word, "y", "yarn", |_| true),
        };
        let run = || RUN.iter().find(|(name, _)| *name == word).map(|(_, meaning)| (*meaning, None));
        ours.or_else(|| if self.takes_a_program() { run() } else { None })
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

/// A word of `yarn-session.sh` with a prefix, as `wanted` letters.
fn session_word(
    word: &str,
    short: &str,
    long: &str,
    wanted: impl Fn(&str) -> bool,
) -> Option<(Meaning, Option<String>)> {
    if word.starts_with(&format!("-{short}D")) && !short.is_empty() {
        let value = word[2 + short.len()..].to_owned();
        return Some((AnyProperty, Some(value).filter(|value| !value.is_empty())));
    }
    let (name, inside) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    let found = SESSION.iter().find(|(letters, full, _)| {
        let same_short = name.strip_prefix('-').and_then(|rest| rest.strip_prefix(short)) == Some(*letters);
        let same_long = name.strip_prefix("--").and_then(|rest| rest.strip_prefix(long)) == Some(*full);
        // What is written as here needs no translation, and clap's own errors are better.
        let theirs = full.contains(char::is_uppercase) || matches!(*full, "name" | "jar" | "container" | "streaming");
        wanted(letters) && (same_short || (same_long && (!long.is_empty() || theirs)))
    })?;
    // `-D` of this command is ours already.
    if short.is_empty() && found.0 == "D" {
        return None;
    }
    Some((found.2, inside))
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

/// How clap will read a word.
fn read<'a>(definition: &clap::Command, word: &'a OsStr) -> Word<'a> {
    let Some(text) = word.to_str() else {
        return if word.as_encoded_bytes().starts_with(b"-") { Word::Alone } else { Word::Other };
    };
    if let Some(long) = text.strip_prefix("--") {
        return read_long(definition, long);
    }
    match text.strip_prefix('-') {
        Some(letters) if !letters.is_empty() => read_letters(definition, letters),
        _ => Word::Other,
    }
}

fn read_long<'a>(definition: &clap::Command, long: &'a str) -> Word<'a> {
    if long.is_empty() {
        // `--`: everything behind it is the program.
        return Word::Other;
    }
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (long, None),
    };
    let argument = definition.get_arguments().find(|argument| {
        argument.get_long() == Some(name) || argument.get_all_aliases().is_some_and(|all| all.contains(&name))
    });
    match (argument, value) {
        (Some(argument), None) if argument.get_action().takes_values() => Word::BeforeValue(long_name(argument)),
        (Some(argument), Some(value)) => Word::WithValue(long_name(argument), OsStr::new(value)),
        _ => Word::Alone,
    }
}

fn read_letters<'a>(definition: &clap::Command, letters: &'a str) -> Word<'a> {
    for (index, letter) in letters.char_indices() {
        let Some(argument) = definition.get_arguments().find(|argument| argument.get_short() == Some(letter)) else {
            return Word::Alone;
        };
        if !argument.get_action().takes_values() {
            continue;
        }
        let rest = &letters[index + letter.len_utf8()..];
        let value = rest.strip_prefix('=').unwrap_or(rest);
        return match rest.is_empty() {
            true => Word::BeforeValue(long_name(argument)),
            false => Word::WithValue(long_name(argument), OsStr::new(value)),
        };
    }
    Word::Alone
}

fn long_name(argument: &clap::Arg) -> String {
    argument.get_long().map_or_else(|| argument.get_short().map(String::from).unwrap_or_default(), str::to_owned)
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
