//! Small programs for tests, each under the name that is its first argument. Most of them go wrong, as users' programs do.
#![allow(clippy::panic)] // that is what it is for

use std::io::Write;
use std::time::Duration;

use flink::accumulators::LongCounter;
use flink::files::{InvalidUtf8, TextFileSource};
use flink::prelude::*;

fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let env = StreamExecutionEnvironment::get_execution_environment()?;
    match words[..] {
        ["trivial"] => trivial(&env),
        ["nap", millis] => nap(&env, millis.parse()?),
        ["fail", at] => fail(&env, at.parse()?),
        ["panic", at] => panics(&env, at.parse()?),
        ["exit", at] => exits(&env, at.parse()?),
        ["loop"] => loops(&env),
        ["allocate"] => allocates(&env),
        ["print", megabytes] => prints(&env, megabytes.parse()?),
        ["says"] => says(&env),
        ["differ"] => differs(&env),
        ["endless"] => endless(&env),
        ["accumulate", records] => return accumulates(&env, records.parse()?),
        ["driver"] => return drives(&env),
        ["async"] => return goes_on(&env),
        ["leaves"] => return leaves(&env),
        ["handles"] => return handles(&env),
        ["stuck"] => stuck(&env),
        ["skips", input] => skips(&env, input),
        ["counts", output, events, rate] => counts(&env, output, events.parse()?, rate.parse()?),
        ["lines", output, number] => lines(&env, output, number.parse()?),
        ["shuffle", number] => shuffles(&env, number.parse()?),
        ["swamp", number] => swamps(&env, number.parse()?),
        _ => return Err(format!("there is no program {words:?}").into()),
    }
    env.execute(words[0])?;
    Ok(())
}

fn trivial(env: &StreamExecutionEnvironment) {
    env.from_sequence(1, 10).discard();
}

/// Prints a number now and then, and ends.
fn says(env: &StreamExecutionEnvironment) {
    let source = GeneratorSource::new(|tick: Tick| tick.index, Some(20)).rate_per_second(10.0);
    env.from_source(source, "Numbers").print();
}

/// Takes its time with the one record of each subtask.
fn nap(env: &StreamExecutionEnvironment, millis: u64) {
    let sleep = move |number| {
        std::thread::sleep(Duration::from_millis(millis));
        number
    };
    env.from_sequence(1, 1).map(sleep).discard();
}

fn fail(env: &StreamExecutionEnvironment, at: u64) {
    let pick = move |number: u64| {
        if number == at { Err(format!("number {number} is not to my taste").into()) } else { Ok(number) }
    };
    env.from_sequence(1, 100_000).boxed().try_map(pick).name("Picky").disable_chaining().discard();
}

fn panics(env: &StreamExecutionEnvironment, at: u64) {
    let look = move |number: u64| {
        assert!(number != at, "never expected {at}");
        number
    };
    env.from_sequence(1, 100_000).map(look).name("Surprised").discard();
}

fn exits(env: &StreamExecutionEnvironment, at: u64) {
    let leave = move |number: u64| {
        if number == at {
            std::process::exit(7);
        }
        number
    };
    env.from_sequence(1, 100_000).map(leave).name("Impatient").discard();
}

fn loops(env: &StreamExecutionEnvironment) {
    let spin = |number: u64| -> u64 {
        loop {
            if number == 0 {
                return number;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    };
    env.from_sequence(1, 2).map(spin).name("Round and round").discard();
}

fn allocates(env: &StreamExecutionEnvironment) {
    let hoard = |number: u64| -> u64 {
        let mut kept = Vec::new();
        loop {
            kept.push(vec![1_u8; 4 << 20]);
            std::thread::sleep(Duration::from_millis(5));
            if kept.len() > 4096 {
                return number;
            }
        }
    };
    env.from_sequence(1, 1).map(hoard).name("Hoarder").discard();
}

fn prints(env: &StreamExecutionEnvironment, megabytes: u64) {
    let line = [b"chatter ".repeat(127), b".......\n".to_vec()].concat();
    let talk = move |number: u64| -> Result<u64, BoxError> {
        let mut out = std::io::stdout().lock();
        let megabyte = line.repeat(1024);
        for _ in 0..megabytes {
            out.write_all(&megabyte)?;
        }
        out.write_all(b"and that is all\n")?;
        out.flush()?;
        Ok(number)
    };
    env.from_sequence(1, 1).try_map(talk).name("Talker").discard();
}

/// Builds another graph on a worker than on the client.
fn differs(env: &StreamExecutionEnvironment) {
    let numbers = env.from_sequence(1, 10).boxed();
    if std::env::var("FLINK_YARN_MODE").is_ok_and(|mode| mode == "worker") {
        numbers.map(|number| number + 1).name("Only on the worker").discard();
    } else {
        numbers.discard();
    }
}

fn endless(env: &StreamExecutionEnvironment) {
    let source = GeneratorSource::new(|tick: Tick| tick.index, None).rate_per_second(1000.0);
    env.from_source(source, "Numbers").key_by(|number| number % 7).count().boxed().discard();
}

#[derive(Clone, Default)]
struct CountEven(Option<LongCounter>);

impl ProcessFunction<u64> for CountEven {
    type Out = u64;

    fn open(&mut self, context: &RuntimeContext) -> Result<(), BoxError> {
        self.0 = Some(context.long_counter("even")?);
        Ok(())
    }

    fn process(&mut self, number: u64, _: &mut ProcessContext<'_>, out: &mut impl Output<u64>) -> Result<(), BoxError> {
        if let (Some(counter), true) = (&self.0, number.is_multiple_of(2)) {
            counter.add(1);
        }
        out.collect(number);
        Ok(())
    }
}

fn accumulates(env: &StreamExecutionEnvironment, records: u64) -> Result<(), BoxError> {
    env.from_sequence(1, records).process(CountEven::default()).discard();
    let result = env.execute("accumulate")?;
    for (name, value) in &result.accumulators.0 {
        println!("{name} = {value}");
    }
    Ok(())
}

/// Two jobs, the second of which depends on what the first has found.
fn drives(env: &StreamExecutionEnvironment) -> Result<(), BoxError> {
    let found = env.from_sequence(1, 30).filter(|number| number % 3 == 0).execute_and_collect("find")?;
    println!("found {}", found.len());
    let mut squares =
        env.from_sequence(1, found.len() as u64).map(|number| number * number).execute_and_collect("square")?;
    squares.sort_unstable();
    println!("squares {squares:?}");
    Ok(())
}

/// Goes on while a job runs, ends it, and runs another one.
fn goes_on(env: &StreamExecutionEnvironment) -> Result<(), BoxError> {
    endless(env);
    let client = env.execute_async("endless")?;
    let found = env.from_sequence(1, 30).execute_and_collect("meanwhile")?.len();
    client.cancel()?;
    let ended = client.wait();
    println!("found {found}, canceled {}", matches!(ended, Err(ExecuteError::Canceled(_))));
    env.from_sequence(1, 3).discard();
    env.execute("afterwards")?;
    println!("{}", client.status()?);
    Ok(())
}

/// Does not wait for its job.
fn leaves(env: &StreamExecutionEnvironment) -> Result<(), BoxError> {
    env.from_sequence(1, 1000).map(long_line).map(|line| line.len() as u64).process(CountEven::default()).discard();
    env.execute_async("left")?;
    println!("left");
    Ok(())
}

/// Waits for something that does not come, on workers alone.
fn stuck(env: &StreamExecutionEnvironment) {
    if std::env::var("FLINK_YARN_MODE").is_ok_and(|mode| mode == "worker") {
        std::thread::sleep(Duration::from_secs(600));
    }
    env.from_sequence(1, 10).discard();
}

/// Leaves out lines that are not UTF-8.
fn skips(env: &StreamExecutionEnvironment, input: &str) {
    let source = TextFileSource::new(input).on_invalid_utf8(InvalidUtf8::SkipAndCount);
    env.from_source(source, "Lines").map(|line| line.len() as u64).discard();
}

/// Its first job fails, which it expects.
fn handles(env: &StreamExecutionEnvironment) -> Result<(), BoxError> {
    fail(env, 7);
    match env.execute("fails") {
        Err(ExecuteError::Failed { cause, .. }) => {
            println!("failed: {}", cause.contains("number 7 is not to my taste"))
        }
        other => return Err(format!("this should not be: {other:?}").into()),
    }
    println!("collected {}", env.from_sequence(1, 5).execute_and_collect("after it")?.len());
    Ok(())
}

/// Counts numbers by key into files, at `rate` numbers a second.
fn counts(env: &StreamExecutionEnvironment, output: &str, events: u64, rate: f64) {
    env.set_runtime_mode(RuntimeMode::Batch);
    let source = GeneratorSource::new(|tick: Tick| tick.index, Some(events)).rate_per_second(rate);
    let counted = env.from_source(source, "Numbers").key_by(|number| number % 97).count().boxed();
    counted.map(|(key, count)| format!("{key} {count}")).write_as_text(output);
}

fn long_line(number: u64) -> String {
    format!("{number:0>100}")
}

fn lines(env: &StreamExecutionEnvironment, output: &str, number: u64) {
    env.from_sequence(1, number).map(long_line).write_as_text(output);
}

fn shuffles(env: &StreamExecutionEnvironment, number: u64) {
    env.set_runtime_mode(RuntimeMode::Batch);
    env.from_sequence(1, number).map(long_line).rebalance().map(|line| line.len() as u64).discard();
}

/// Reads a line of 10 kB now and then, and counts them.
#[derive(Clone, Default)]
struct Slow(Option<LongCounter>);

impl ProcessFunction<String> for Slow {
    type Out = u64;

    fn open(&mut self, context: &RuntimeContext) -> Result<(), BoxError> {
        self.0 = Some(context.long_counter("seen")?);
        Ok(())
    }

    fn process(&mut self, line: String, _: &mut ProcessContext<'_>, _: &mut impl Output<u64>) -> Result<(), BoxError> {
        std::thread::sleep(Duration::from_millis(1));
        if let Some(seen) = self.0.as_mut().filter(|_| line.len() == 10_000) {
            seen.add(1);
        }
        Ok(())
    }
}

/// Makes lines much faster than they are taken.
fn swamps(env: &StreamExecutionEnvironment, number: u64) {
    let lines = env.from_sequence(1, number).map(|number| format!("{number:0>10000}"));
    lines.rebalance().process(Slow::default()).blocking().discard();
}
