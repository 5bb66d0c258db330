//! The JobGraphs that programs are translated to, and the programs that are refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

use std::fmt::Write;
use std::rc::Rc;

use flink_api::connected::CoProcessFunction;
use flink_api::{
    BoxError, Configuration, DataStream, ExecuteError, Executor, JobClient, Output, OutputTag, ProcessContext,
    ProcessFunction, Program, RuntimeMode, StreamExecutionEnvironment,
};
use flink_graph::{JobGraph, JobVertexId};

type Environment = StreamExecutionEnvironment;

/// Runs nothing.
struct Planner;

impl Executor for Planner {
    fn configuration(&self) -> Configuration {
        Configuration::default()
    }

    fn plans(&self, _: u32) -> bool {
        true
    }

    fn submit(&self, _: Program) -> Result<Box<dyn JobClient>, ExecuteError> {
        Err(ExecuteError::Cluster("nothing runs here".to_owned()))
    }
}

fn plan(build: impl FnOnce(&Environment)) -> Result<JobGraph, ExecuteError> {
    let env = Environment::with_executor(Rc::new(Planner));
    build(&env);
    env.job_graph("planned")
}

/// A line for each vertex: name, parallelism and max parallelism, slot sharing group; then one for each input.
fn text(graph: &JobGraph) -> String {
    let mut text = String::new();
    for vertex in &graph.vertices {
        let blocking = if vertex.blocking { " blocking" } else { "" };
        let (name, group) = (&vertex.name, &vertex.slot_sharing_group);
        writeln!(text, "{name} {}/{} {group}{blocking}", vertex.parallelism, vertex.max_parallelism).unwrap();
        for input in &vertex.inputs {
            let producer = graph.vertex(input.source.producer).unwrap();
            writeln!(text, "  {} {}", input.ship_strategy, producer.name).unwrap();
        }
    }
    text
}

#[track_caller]
fn check(build: impl FnOnce(&Environment), expected: &str) {
    let expected: String =
        expected.lines().map(str::trim_end).filter(|line| !line.is_empty()).fold(String::new(), |mut all, line| {
            writeln!(all, "{}", line.strip_prefix("        ").unwrap_or(line)).unwrap();
            all
        });
    assert_eq!(text(&plan(build).unwrap()), expected);
}

fn numbers(env: &Environment) -> DataStream<u64> {
    env.from_sequence(1, 100).boxed()
}

/// Sends what is odd to the side.
#[derive(Clone)]
struct Odd(OutputTag<String>);

impl ProcessFunction<u64> for Odd {
    type Out = u64;

    fn process(
        &mut self,
        n: u64,
        context: &mut ProcessContext<'_>,
        output: &mut impl Output<u64>,
    ) -> Result<(), BoxError> {
        if n % 2 == 1 {
            context.output(&self.0, n.to_string());
        } else {
            output.collect(n);
        }
        Ok(())
    }
}

/// Passes on both inputs.
#[derive(Clone)]
struct Both;

impl CoProcessFunction<u64, (u64, u64)> for Both {
    type Out = u64;

    fn process_first(
        &mut self,
        n: u64,
        _: &mut ProcessContext<'_>,
        output: &mut impl Output<u64>,
    ) -> Result<(), BoxError> {
        output.collect(n);
        Ok(())
    }

    fn process_second(
        &mut self,
        (n, _): (u64, u64),
        _: &mut ProcessContext<'_>,
        output: &mut impl Output<u64>,
    ) -> Result<(), BoxError> {
        output.collect(n);
        Ok(())
    }
}

#[test]
fn operators_chain_and_keep_their_names() {
    check(
        |env| {
            env.from_sequence(1, 9).map(|n| n + 1).filter(|n| n % 2 == 0).name("Even").discard().name("Nowhere");
        },
        "Source: Sequence -> Map -> Even -> Nowhere 1/128 default",
    );
    check(
        |env| {
            env.set_parallelism(2);
            numbers(env).name("Numbers").map(|n| n).map(|n| n).set_parallelism(3).map(|n| n).print();
        },
        "
        Numbers -> Map 2/128 default
        Map 3/128 default
          REBALANCE Numbers -> Map
        Map -> Sink: Print 2/128 default
          REBALANCE Map
        ",
    );
}

#[test]
fn settings_are_those_of_the_operator_in_front() {
    check(
        |env| {
            env.set_max_parallelism(64);
            let stream = env.from_sequence(1, 9).set_parallelism(2).set_max_parallelism(8).name("Two");
            stream.slot_sharing_group("blue").map(|n| n).set_parallelism(2).discard().set_parallelism(2);
        },
        "
        Two 2/8 blue
        Map -> Sink: Discard 2/64 blue
          FORWARD Two
        ",
    );
    check(
        |env| {
            let first = env.from_sequence(1, 9).slot_sharing_group("blue");
            let second = env.from_sequence(1, 9).slot_sharing_group("red");
            first.union(second).map(|n| n).map(|n| n).slot_sharing_group("blue").discard();
        },
        "
        Source: Sequence 1/128 blue
        Source: Sequence 1/128 red
        Map 1/128 default
          FORWARD Source: Sequence
          FORWARD Source: Sequence
        Map -> Sink: Discard 1/128 blue
          FORWARD Map
        ",
    );
}

#[test]
fn chains_are_cut_where_the_program_says_so() {
    check(
        |env| {
            let stream = numbers(env).map(|n| n).name("A").start_new_chain().map(|n| n).name("B");
            stream.disable_chaining().map(|n| n).name("C").blocking().map(|n| n).name("D").discard();
        },
        "
        Source: Sequence 1/128 default
        A 1/128 default
          FORWARD Source: Sequence
        B 1/128 default
          FORWARD A
        C 1/128 default blocking
          FORWARD B
        D -> Sink: Discard 1/128 default
          FORWARD C
        ",
    );
    check(
        |env| {
            env.disable_operator_chaining();
            numbers(env).map(|n| n).boxed().key_by(|n| n % 3).count().discard();
        },
        "
        Source: Sequence 1/128 default
        Map 1/128 default
          FORWARD Source: Sequence
        Key 1/128 default
          FORWARD Map
        Count 1/128 default
          HASH Key
        Sink: Discard 1/128 default
          FORWARD Count
        ",
    );
}

#[test]
fn keys_replace_other_exchanges() {
    let summed = "
        Source: Sequence 1/128 default
        Sum -> Sink: Discard 1/128 default
          HASH Source: Sequence
        ";
    let sum = |stream: DataStream<u64>| {
        stream.key_by(|n| n % 3).sum(|n| n).discard();
    };
    check(|env| sum(numbers(env)), summed);
    check(|env| sum(numbers(env).rebalance()), summed);
    check(|env| sum(numbers(env).shuffle().broadcast()), summed);
    check(
        |env| {
            let more = env.from_sequence(1, 9).map(|n| n).set_parallelism(2);
            sum(numbers(env).union(more.rescale()));
        },
        "
        Source: Sequence 1/128 default
        Map 2/128 default
          REBALANCE Source: Sequence
        Source: Sequence 1/128 default
        Sum -> Sink: Discard 1/128 default
          HASH Source: Sequence
          HASH Map
        ",
    );
    check(
        |env| {
            let two = env.from_sequence(1, 9).set_parallelism(2);
            two.union(numbers(env)).rebalance().key_by(|n| n % 3).count().discard();
        },
        "
        Source: Sequence -> Key 2/128 default
        Source: Sequence -> Key 1/128 default
        Count -> Sink: Discard 1/128 default
          HASH Source: Sequence -> Key
          HASH Source: Sequence -> Key
        ",
    );
}

#[test]
fn keyed_streams_have_operators() {
    check(
        |env| {
            env.set_parallelism(2);
            let tag = OutputTag::new("odd");
            let even = env.from_sequence(1, 9).key_by(|n| n % 3).process(Odd(tag.clone())).set_parallelism(3);
            even.side_output(&tag).print();
            let pairs = env.from_sequence(1, 9).map(|n| (n, n));
            even.key_by(|n| *n).connect(pairs.key_by_ref(|(n, _)| n)).process(Both).discard();
        },
        "
        Source: Sequence 2/128 default
        Process 3/128 default
          HASH Source: Sequence
        Sink: Print 2/128 default
          REBALANCE Process
        Source: Sequence -> Map 2/128 default
        Co-Process -> Sink: Discard 2/128 default
          HASH Process
          HASH Source: Sequence -> Map
        ",
    );
}

#[test]
fn a_custom_partitioning_has_any_number_of_readers() {
    check(
        |env| {
            let stream = numbers(env).map(|n| n).partition_custom(|n: &u64, subtasks| *n as usize % subtasks, |n| *n);
            stream.clone().map(|n| n).name("A").set_parallelism(2).discard();
            stream.rebalance().partition_custom(|_: &u64, _| 0, |n| *n).discard();
        },
        "
        Source: Sequence -> Map 1/128 default
        A 2/128 default
          CUSTOM Source: Sequence -> Map
        Sink: Discard 1/128 default
          REBALANCE A
        Sink: Discard 1/128 default
          CUSTOM Source: Sequence -> Map
        ",
    );
}

#[test]
fn ids_come_from_uids_or_from_the_structure() {
    let ids = |build: &dyn Fn(&Environment)| -> Vec<JobVertexId> {
        plan(build).unwrap().vertices.iter().map(|vertex| vertex.id).collect()
    };
    let program = |uid: &'static str, name: &'static str, more: bool| {
        ids(&move |env| {
            let source = numbers(env).uid("numbers").rebalance();
            let source = if more { source.map(|n| n).name("More").rebalance() } else { source };
            let mapped = source.map(|n| n).name(name);
            let mapped = if uid.is_empty() { mapped } else { mapped.uid(uid) };
            mapped.boxed().rebalance().discard();
        })
    };
    let plain = program("", "A", false);
    assert_eq!(plain, program("", "A", false), "nothing changes from run to run");
    assert_ne!(plain[1], program("", "B", false)[1], "without a uid the name counts");
    assert_eq!(plain[0], program("a", "A", true)[0], "a uid stays");
    assert_eq!(program("a", "A", false)[1], program("a", "B", true)[2], "a uid does not depend on names and places");
    assert_ne!(program("a", "A", false)[1], program("b", "A", false)[1]);
}

#[test]
fn the_mode_follows_the_sources() {
    let mode = |mode: RuntimeMode, bounded: bool| {
        plan(|env| {
            env.set_runtime_mode(mode);
            env.from_generator(bounded.then_some(9), |tick| tick.index).discard();
        })
        .map(|graph| graph.mode)
        .map_err(|error| error.to_string())
    };
    use RuntimeMode::{Automatic, Batch, Streaming};
    let table = [
        (Streaming, true, Streaming),
        (Streaming, false, Streaming),
        (Batch, true, Batch),
        (Automatic, true, Batch),
        (Automatic, false, Streaming),
    ];
    for (wanted, bounded, expected) in table {
        assert_eq!(mode(wanted, bounded), Ok(expected), "{wanted} {bounded}");
    }
    let refused = mode(Batch, false).unwrap_err();
    assert_eq!(refused, "Source: Generator: a job in BATCH mode needs sources that end; use STREAMING or AUTOMATIC");
}

#[test]
fn what_means_nothing_is_refused() {
    type Build = fn(&Environment);
    let table: &[(Build, &str)] = &[
        (|_| {}, "the job has no operators"),
        (
            |env| drop(numbers(env).rebalance().set_parallelism(2).discard()),
            "`set_parallelism` is for an operator, but stands behind `rebalance`",
        ),
        (
            |env| drop(numbers(env).union(numbers(env)).name("Both").discard()),
            "`name` is for an operator, but stands behind `union`",
        ),
        (
            |env| drop(numbers(env).broadcast().uid("x").discard()),
            "`uid` is for an operator, but stands behind `broadcast`",
        ),
        (|env| drop(numbers(env).global().slot_sharing_group("x").discard()), "stands behind `global`"),
        (|env| drop(numbers(env).forward().start_new_chain().discard()), "stands behind `forward`"),
        (|env| drop(numbers(env).shuffle().blocking().discard()), "stands behind `shuffle`"),
        (|env| drop(numbers(env).rescale().disable_chaining().discard()), "stands behind `rescale`"),
        (
            |env| drop(numbers(env).partition_custom(|_: &u64, _| 0, |n| *n).set_max_parallelism(2).discard()),
            "`set_max_parallelism` is for an operator, but stands behind `partition_custom`",
        ),
        (
            |env| drop(numbers(env).map(|n| n).map(|n| n).name("Last").boxed().set_parallelism(2).discard()),
            "`boxed` has made one piece of the 2 up to `Last`: call it before `boxed`",
        ),
        (
            |env| drop(numbers(env).map(|n| n).boxed().side_output(&OutputTag::<u64>::new("late")).discard()),
            "side output `late` is asked of `Map`, which is not a process function",
        ),
        (
            |env| {
                let main = numbers(env).process(Odd(OutputTag::new("odd"))).map(|n| n).name("Behind").boxed();
                main.side_output(&OutputTag::<String>::new("odd")).discard();
            },
            "side output `odd` is asked of `Behind`",
        ),
        (
            |env| {
                let main = numbers(env).process(Odd(OutputTag::new("odd"))).boxed();
                main.side_output(&OutputTag::<String>::new("odd")).discard();
                main.side_output(&OutputTag::<u64>::new("odd")).discard();
            },
            "`Process`: side output `odd` is read as String and as u64; one name is for one type",
        ),
        (
            |env| {
                let main = numbers(env).process(Odd(OutputTag::new("odd"))).boxed();
                main.side_output(&OutputTag::<String>::new("odd")).side_output(&OutputTag::<u64>::new("x")).discard();
            },
            "side output `x` is asked of side output `odd`, which has none",
        ),
        (
            |env| {
                let main = numbers(env).process(Odd(OutputTag::new("odd"))).boxed();
                main.side_output(&OutputTag::<String>::new("odd")).discard();
                main.side_output(&OutputTag::<String>::new("odd")).print();
            },
            "side output `odd` of `Process` is read more than once: ask for the stream once and `clone` it",
        ),
        (
            |env| drop(env.set("parallelism.defualt", "2").from_sequence(1, 2).discard()),
            "unknown configuration key `parallelism.defualt`; did you mean `parallelism.default`?",
        ),
        (
            |env| drop(env.set("restart-strategy.type", "often").from_sequence(1, 2).discard()),
            "`often` is not one of none",
        ),
        (|env| drop(env.set_parallelism(200).from_sequence(1, 2).discard()), "has parallelism 200"),
        (
            |env| {
                env.from_sequence(1, 2).uid("x").rebalance().map(|n| n).uid("x").discard();
            },
            "have the same id",
        ),
    ];
    for (build, expected) in table {
        let error = plan(build).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nwithout: {expected}");
    }
}

#[test]
fn keys_of_flink_and_of_the_program_do_no_harm() {
    let graph = plan(|env| {
        env.set("execution.checkpointing.interval", "10 s").set("my.key", "x").from_sequence(1, 2).discard();
    });
    assert_eq!(graph.unwrap().configuration.raw("my.key"), Some("x"));
}

#[test]
fn a_side_output_can_be_cloned() {
    check(
        |env| {
            let tag = OutputTag::new("odd");
            let side = numbers(env).process(Odd(tag.clone())).boxed().side_output(&tag);
            side.clone().print();
            side.rebalance().discard();
        },
        "
        Source: Sequence -> Process -> Sink: Print 1/128 default
        Sink: Discard 1/128 default
          REBALANCE Source: Sequence -> Process -> Sink: Print
        ",
    );
}
