use std::ffi::OsString;
use std::io::Write;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::daemon::{Daemons, JobManagerOptions, TaskManagerOptions};
use crate::error::{ClientError, Exit, Result};
use crate::output::Format;
use crate::yarn::{doctor, flink_options, kill, session};
use crate::{cancel, completions, info, list, logs, output, run, standalone};

const HELP: &str = "\
{about}

{usage-heading} {usage}

Jobs:
  run          Run a program: in this process, or on a cluster
  info         Show the plan of a program without running it
  list         List the jobs of a cluster
  cancel       Cancel a job
  logs         Show what JobManager, TaskManagers and jobs have written

Hadoop YARN:
  session      Start a session, attach to one, or show what the cluster has free
  kill         End an application
  doctor       Look for what keeps applications from running

Clusters:
  standalone   Start, stop or look at a cluster on this host, or on the hosts of a workers file
  jobmanager   Run a JobManager in the foreground
  taskmanager  Run a TaskManager in the foreground

More:
  completions  Print a completion script for a shell
  help         Explain a command

{options}{after-help}";

const AFTER_HELP: &str = "\
Examples:
  flink-yarn run ./wordcount --input text.txt --output counts
  flink-yarn standalone start --taskmanagers 2 --slots 2
  flink-yarn run -p 4 -d ./wordcount --input text.txt --output counts
  flink-yarn list -a
  flink-yarn run -t yarn-application ./wordcount --input hdfs:///text ...

Exit codes:
  0    the job finished, the command succeeded
  1    the job failed, the command did not succeed
  2    wrong option, configuration or file; nothing was started
  3    no JobManager, ResourceManager or NameNode answers
  4    the program crashed or was refused while its plan was made
  5    the job was canceled, but not by this command
  130  ended by Ctrl-C or SIGTERM
  141  nobody reads the output any more
With `run -t local` the exit code is the program's own.

With --output json, standard output has results alone, and an error is one
line of JSON, the last of standard error:
{\"error\": {\"message\", \"causes\", \"hint\", \"exit-code\"}}.";

/// Batch and stream processing in Rust: runs programs, starts and looks after clusters.
#[derive(Debug, Parser)]
#[command(name = "flink-yarn", version, help_template = HELP, after_help = AFTER_HELP, max_term_width = 110)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// All commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run a program: in this process, or on a cluster
    Run(run::RunOptions),
    /// Show the plan of a program without running it
    Info(info::InfoOptions),
    /// List the jobs of a cluster
    List(list::ListOptions),
    /// Cancel a job
    Cancel(cancel::CancelOptions),
    /// Show what JobManager, TaskManagers and jobs have written
    Logs(logs::LogsOptions),
    /// Start a session on YARN, attach to one, or show what the cluster has free
    Session(session::SessionOptions),
    /// End an application on YARN
    Kill(kill::KillOptions),
    /// Look for what keeps applications on YARN from running
    Doctor(doctor::DoctorOptions),
    /// Start, stop or look at a cluster on this host, or on the hosts of a workers file
    Standalone(standalone::StandaloneOptions),
    /// Run a JobManager in the foreground
    Jobmanager(JobManagerOptions),
    /// Run a TaskManager in the foreground
    Taskmanager(TaskManagerOptions),
    /// Print a completion script for a shell
    Completions(completions::CompletionsOptions),
}

impl Command {
    /// How results and errors are told.
    fn format(&self) -> Format {
        match self {
            Self::Run(options) => options.format(),
            Self::Info(options) => options.format(),
            Self::List(options) => options.format(),
            Self::Cancel(options) => options.format(),
            Self::Session(options) => options.format(),
            Self::Kill(options) => options.format(),
            Self::Doctor(options) => options.format(),
            Self::Standalone(options) => options.format(),
            Self::Jobmanager(options) => options.format(),
            Self::Taskmanager(options) => options.format(),
            Self::Logs(_) | Self::Completions(_) => Format::Text,
        }
    }

    fn execute(self, daemons: &dyn Daemons) -> Result<()> {
        match self {
            Self::Run(options) => run::execute(&options),
            Self::Info(options) => info::execute(&options),
            Self::List(options) => list::execute(&options),
            Self::Cancel(options) => cancel::execute(&options),
            Self::Logs(options) => logs::execute(&options),
            Self::Session(options) => session::execute(&options),
            Self::Kill(options) => kill::execute(&options),
            Self::Doctor(options) => doctor::execute(&options),
            Self::Standalone(options) => standalone::execute(&options),
            Self::Jobmanager(options) => options.execute(daemons),
            Self::Taskmanager(options) => options.execute(daemons),
            Self::Completions(options) => completions::execute(&options, &mut CommandLine::command()),
        }
    }
}

/// Runs the command that `arguments` (the first of which is the name that this was called by) ask for. Everything that
/// goes wrong is told on standard error and by the exit code.
pub fn execute(arguments: impl IntoIterator<Item = OsString>, daemons: &dyn Daemons) -> u8 {
    let words = std::iter::once(OsString::from("flink-yarn")).chain(arguments.into_iter().skip(1));
    let words: Vec<OsString> = words.collect();
    let format = format_in(&words);
    let words = match flink_options::translate(words, &CommandLine::command()) {
        Ok(translated) => {
            translated.warnings.iter().for_each(|warning| output::notice(format!("warning: {warning}")));
            translated.words
        }
        Err(error) => {
            tell(&error, format);
            return error.exit() as u8;
        }
    };
    let line = match CommandLine::try_parse_from(&words) {
        Ok(line) => line,
        Err(error) => return explain(&error, format_in(&words)),
    };
    let format = line.command.format();
    let Err(error) = line.command.execute(daemons) else { return 0 };
    if error.exit() != Exit::OutputClosed {
        tell(&error, format);
    }
    error.exit() as u8
}

/// Standard output is for results alone: an error is the last line, or the last lines, of standard error.
fn tell(error: &ClientError, format: Format) {
    match format {
        Format::Text => {
            let text = error.to_string();
            if !text.is_empty() {
                output::notice(text);
            }
        }
        Format::Json => output::notice(error.to_json()),
    }
}

/// The format that is asked for by words that are no command line.
fn format_in(words: &[OsString]) -> Format {
    let asks = |pair: &[OsString]| pair[0] == "--output" && pair[1] == "json";
    let json = words.windows(2).any(asks) || words.iter().any(|word| word == "--output=json");
    if json { Format::Json } else { Format::Text }
}

/// Help and version go to standard output, wrong options to standard error; nobody has to read either.
fn explain(error: &clap::Error, format: Format) -> u8 {
    let is_error = !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if is_error && format == Format::Json {
        let text = error.to_string();
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let message = first.strip_prefix("error: ").unwrap_or(first);
        // Usage and the way to the help are for people.
        let hint = rest.split("\nUsage:").next().and_then(|hint| hint.split("\nFor more information").next());
        let hint = hint.map(|hint| hint.trim().trim_start_matches("tip: ")).filter(|hint| !hint.is_empty());
        let error = ClientError::usage(message);
        tell(&hint.into_iter().fold(error, |error, hint| error.hint(hint)), format);
        return Exit::Usage as u8;
    }
    let _ = error.print();
    let _ = std::io::stdout().flush();
    if is_error { Exit::Usage as u8 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> std::result::Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(std::iter::once("flink-yarn").chain(words.split_whitespace()))
    }

    fn error_of(words: &str) -> String {
        parse(words).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_definition_is_sound_and_the_help_names_every_command() {
        CommandLine::command().debug_assert();
        for command in CommandLine::command().get_subcommands() {
            assert!(HELP.contains(&format!("\n  {} ", command.get_name())), "{}", command.get_name());
        }
    }

    /// Commands for YARN with wider texts.
    const WIDER: [&str; 3] = ["session", "kill", "doctor"];

    /// A terminal has 80 columns as a rule; what is wider is broken in the middle of a line.
    #[test]
    fn what_stands_below_a_help_fits_a_terminal() {
        fn check(command: &clap::Command) {
            let below = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in below.lines() {
                assert!(line.chars().count() < 80, "{}: {line}", command.get_name());
            }
            command.get_subcommands().filter(|command| !WIDER.contains(&command.get_name())).for_each(check);
        }
        check(&CommandLine::command());
    }

    #[test]
    fn logs_of_a_job_manager_are_found_by_its_address_in_both_ways() {
        for words in
            ["logs --jobmanager", "logs --jobmanager h:1 -f", "logs --jobmanager=h:1", "logs -m h:1 --jobmanager"]
        {
            assert!(parse(words).is_ok(), "{words}: {}", error_of(words));
        }
    }

    #[test]
    fn everything_behind_the_program_is_the_programs() {
        let check = |words: &str, expect: &[&str]| {
            let Command::Run(options) = parse(words).unwrap().command else { panic!("{words}") };
            assert_eq!(options.program_words(), expect, "{words}");
        };
        check("run prog", &["prog"]);
        check("run -p 2 prog -p 3 --help", &["prog", "-p", "3", "--help"]);
        check("run -t local prog -- -x --version", &["prog", "--", "-x", "--version"]);
        check("run -p2 -Da=b -d list run help", &["list", "run", "help"]);
        check("run help", &["help"]);
    }

    #[test]
    fn wrong_options_say_what_is_meant() {
        let table = [
            ("run --paralelism 2 prog", "--parallelism"),
            ("run -p none prog", "`none` is not a whole number of at least 1, for example 4"),
            ("run -p 0 prog", "`0` is not a whole number of at least 1"),
            ("run -t yarn prog", "[possible values: local, remote, yarn-session, yarn-application, yarn-per-job]"),
            ("run -D =x prog", "expected key=value"),
            ("lst", "similar subcommand exists: 'list'"),
            ("cancel", "<JOBID>"),
            ("cancel xyz", "is not a valid job id"),
            ("list --output yaml", "[possible values: text, json]"),
            ("standalone start --slots 0", "`0` is not a whole number of at least 1"),
            ("standalone start -n 1001", "the most are 1000"),
        ];
        for (words, expect) in table {
            let error = error_of(words);
            assert!(error.contains(expect), "{words}: {error}");
        }
    }

    #[test]
    fn letters_mean_what_they_mean_in_flink() {
        for words in
            ["list -r -s -a -m h:1", "run -t remote -p 2 -d -m h:1 -D a=b x", "standalone start -n 2 -s 2 -D a=b"]
        {
            assert!(parse(words).is_ok(), "{words}: {}", error_of(words));
        }
    }
}
