//! Small programs for tests of faults, each under the name that is its first argument. They take their time until a
//! file appears, so that a fault comes in the middle of a job however fast the machine is.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use flink::files::TextFileSink;
use flink::prelude::*;
use flink_examples::wordcount::count_words;

/// Time for each line while the gate is closed.
const PER_LINE: Duration = Duration::from_millis(20);

/// What is allocated at once, and how much in all: the test's machine is not to suffer.
const PIECE: usize = 4 << 20;
const MAX_PIECES: usize = 256;

/// More addresses than a container of some hundred megabytes may have.
const RESERVED: usize = 4 << 30;

fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words == ["hold"] {
        hold();
        return Ok(());
    }
    let env = StreamExecutionEnvironment::get_execution_environment()?;
    env.set_runtime_mode(RuntimeMode::Batch);
    match words[..] {
        ["count", input, output, gate] => count(&env, input, output, gate),
        ["copy", input, output, gate] => copy(&env, input, output, gate),
        ["two", input, first, second, gate] => {
            count(&env, input, first, "/");
            env.execute("first")?;
            count(&env, input, second, gate);
        }
        ["both", input, first, second, first_gate, second_gate] => {
            copy(&env, input, first, first_gate);
            let first = env.execute_async("first")?;
            copy(&env, input, second, second_gate);
            env.execute_async("second")?;
            first.wait()?;
            return Ok(());
        }
        ["say", gate] => says(&env, gate),
        ["hoard"] => hoards(&env),
        ["lets-hoard"] => lets_hoard(&env),
        ["reserve"] => reserves(&env),
        ["fail", gate] => {
            fails(&env, gate);
            env.execute(words[0]).map_err(|error| format!("{error}; main knows {}", all_it_knows()))?;
        }
        _ => return Err(format!("there is no program {words:?}").into()),
    }
    env.execute(words[0])?;
    Ok(())
}

/// Slow while there is no file `gate`; then it adds a byte to `gate.lines` for each line, so that a test sees it go on.
fn slowly<T: Data>(gate: &str) -> impl Fn(T) -> Result<T, BoxError> + Clone + Send + 'static + use<T> {
    let (gate, lines) = (PathBuf::from(gate), format!("{gate}.lines"));
    move |line| {
        if !gate.exists() {
            std::fs::OpenOptions::new().create(true).append(true).open(&lines)?.write_all(b".")?;
            std::thread::sleep(PER_LINE);
        }
        Ok(line)
    }
}

/// The words of `input` with their numbers.
fn count(env: &StreamExecutionEnvironment, input: &str, output: &str, gate: &str) {
    let lines = env.read_text_file(input).try_map(slowly(gate)).name("Slow");
    count_words(lines).sink_to(TextFileSink::new(output));
}

/// The lines of `input`; files are open for writing all the time.
fn copy(env: &StreamExecutionEnvironment, input: &str, output: &str, gate: &str) {
    env.read_text_file(input).try_map(slowly(gate)).name("Slow").sink_to(TextFileSink::new(output));
}

/// Every subtask of `Speak` prints a line when it begins and one when its input has ended.
fn says(env: &StreamExecutionEnvironment, gate: &str) {
    // Pipelined, so that the one is printed while the job runs.
    env.set_runtime_mode(RuntimeMode::Streaming);
    let numbers = env.from_sequence(1, 10_000).try_map(slowly(gate)).name("Slow");
    numbers.rebalance().process(Speak::default()).name("Speak").discard();
}

#[derive(Clone, Default)]
struct Speak {
    subtask: u32,
}

impl ProcessFunction<u64> for Speak {
    type Out = u64;

    fn open(&mut self, context: &RuntimeContext) -> Result<(), BoxError> {
        self.subtask = context.subtask_index();
        println!("Speak {} has begun", self.subtask);
        Ok(())
    }

    fn process(
        &mut self,
        record: u64,
        _: &mut ProcessContext<'_>,
        output: &mut impl Output<u64>,
    ) -> Result<(), BoxError> {
        output.collect(record);
        Ok(())
    }

    fn finish(&mut self, _: &mut ProcessContext<'_>, _: &mut impl Output<u64>) -> Result<(), BoxError> {
        println!("Speak {} has ended", self.subtask);
        Ok(())
    }
}

/// Fails when the gate opens, and tells all that it knows: a program cannot be trusted with more than it may tell.
fn fails(env: &StreamExecutionEnvironment, gate: &str) {
    let (is_open, gate) = (PathBuf::from(gate), gate.to_owned());
    let fail = move |number: u64| match is_open.exists() {
        true => {
            println!("the gate is open");
            Err(format!("it was to fail; a task knows {}", all_it_knows()))
        }
        false => Ok(number),
    };
    let numbers = env.from_sequence(1, 1_000_000).try_map(slowly(&gate)).name("Slow");
    numbers.try_map(move |number| fail(number).map_err(BoxError::from)).name("Fail").discard();
}

/// Arguments and environment of this process.
fn all_it_knows() -> String {
    let environment: std::collections::BTreeMap<_, _> = std::env::vars().collect();
    format!("{:?} {environment:?}", std::env::args().collect::<Vec<_>>())
}

/// Allocates without end in the worker.
fn hoards(env: &StreamExecutionEnvironment) {
    let hoard = |number: u64| {
        hold();
        number
    };
    env.from_sequence(1, 1).map(hoard).name("Hoarder").discard();
}

/// Allocates without end in a process that the program has started, of which the TaskManager knows nothing.
fn lets_hoard(env: &StreamExecutionEnvironment) {
    let hoard = |number: u64| -> Result<u64, BoxError> {
        let ended = std::process::Command::new(std::env::current_exe()?).arg("hold").status()?;
        Err(format!("the process ended: {ended}, for {number}").into())
    };
    env.from_sequence(1, 1).try_map(hoard).name("Hoarder").discard();
}

/// Takes addresses, and next to no memory.
fn reserves(env: &StreamExecutionEnvironment) {
    let reserve = |number: u64| {
        let reserved: Vec<u8> = Vec::with_capacity(RESERVED);
        while reserved.capacity() >= RESERVED {
            std::thread::sleep(Duration::from_millis(50));
        }
        number
    };
    env.from_sequence(1, 1).map(reserve).name("Reserver").discard();
}

/// Holds more and more, until whoever has started this is gone.
fn hold() {
    let parent = std::os::unix::process::parent_id();
    let mut held = Vec::new();
    while std::os::unix::process::parent_id() == parent {
        if held.len() < MAX_PIECES {
            held.push(vec![1_u8; PIECE]);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
