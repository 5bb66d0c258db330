//! Programs in local mode: what each operator gives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

use std::collections::BTreeMap;
use std::fmt::Debug;

use flink::accumulators::{Average, DoubleCounter, Histogram, LongCounter, LongMaximum, LongMinimum};
use flink::prelude::*;

type Environment = StreamExecutionEnvironment;

fn local(mode: RuntimeMode) -> Environment {
    let mut configuration = Configuration::default();
    configuration.set("parallelism.default", "2");
    let env = Environment::create_local_environment(configuration).unwrap();
    env.set_runtime_mode(mode);
    env
}

/// What a program gives in BATCH mode, in order.
#[track_caller]
fn check<T: Data + Ord + Debug>(build: impl FnOnce(&Environment) -> DataStream<T>, mut expected: Vec<T>) {
    let mut records = build(&local(RuntimeMode::Batch)).execute_and_collect("checked").unwrap();
    records.sort();
    expected.sort();
    assert_eq!(records, expected);
}

/// Why a program fails.
fn failure(build: impl FnOnce(&Environment)) -> String {
    let env = local(RuntimeMode::Streaming);
    build(&env);
    env.execute("failing").unwrap_err().to_string()
}

type Sale = (String, u64, u64);

fn sales(env: &Environment) -> DataStream<Sale> {
    let sales = [("a", 3, 1), ("b", 7, 2), ("a", 1, 3), ("a", 5, 4), ("b", 2, 5)];
    env.from_collection(sales.map(|(who, amount, order)| (who.to_owned(), amount, order))).set_parallelism(1)
}

fn expected(rows: [(&str, u64, u64); 2]) -> Vec<Sale> {
    rows.map(|(who, amount, order)| (who.to_owned(), amount, order)).into()
}

#[test]
fn aggregates_keep_fields_or_records() {
    let key = |sale: &Sale| sale.0.clone();
    check(|env| sales(env).key_by(key).min(|sale| &mut sale.1).boxed(), expected([("a", 1, 1), ("b", 2, 2)]));
    check(|env| sales(env).key_by(key).max(|sale| &mut sale.1).boxed(), expected([("a", 5, 1), ("b", 7, 2)]));
    check(|env| sales(env).key_by(key).min_by(|sale| sale.1).boxed(), expected([("a", 1, 3), ("b", 2, 5)]));
    check(|env| sales(env).key_by(key).max_by(|sale| sale.1).boxed(), expected([("a", 5, 4), ("b", 7, 2)]));
    check(|env| sales(env).key_by(key).sum(|sale| &mut sale.1).boxed(), expected([("a", 9, 1), ("b", 9, 2)]));
    check(|env| sales(env).key_by(key).count().boxed(), vec![("a".to_owned(), 3), ("b".to_owned(), 2)]);
}

#[test]
fn a_running_aggregate_emits_each_value() {
    let running = sales(&local(RuntimeMode::Streaming)).key_by_ref(|sale| &sale.0).max_by(|sale| sale.1);
    let mut running = running.map(|(who, amount, _)| (who, amount)).execute_and_collect("running").unwrap();
    running.sort();
    let expected = [("a", 3), ("a", 3), ("a", 5), ("b", 7), ("b", 7)];
    assert_eq!(running, expected.map(|(who, amount)| (who.to_owned(), amount)));
}

#[test]
fn functions_that_may_fail() {
    let even = |n: &u64| if *n < 100 { Ok(n.is_multiple_of(2)) } else { Err("too large".into()) };
    let twice = |n: u64, out: &mut Collector<u64>| {
        out.extend([n, n]);
        if n < 100 { Ok(()) } else { Err(format!("{n} is too large").into()) }
    };
    check(|env| env.from_sequence(1, 4).try_filter(even).try_flat_map(twice).boxed(), vec![2, 2, 4, 4]);
    let error = failure(|env| drop(env.from_sequence(99, 101).try_filter(even).name("Even").discard()));
    assert!(error.contains("too large") && error.contains("Even"), "{error}");
    let error = failure(|env| drop(env.from_sequence(100, 100).try_flat_map(twice).name("Twice").discard()));
    assert!(error.contains("100 is too large") && error.contains("Twice"), "{error}");
    let text = |text: String| text.parse::<u64>().map_err(BoxError::from);
    let texts = |env: &Environment, text: &str| env.from_collection([text.to_owned()]);
    let number = |n: u64| if n < 100 { Ok(n) } else { Err("too large".into()) };
    check(|env| env.from_sequence(1, 2).connect(texts(env, "7")).try_map(number, text).boxed(), vec![1, 2, 7]);
    for (from, read) in [(1, "x"), (100, "7")] {
        let error = failure(|env| {
            let met = env.from_sequence(from, from).connect(texts(env, read)).try_map(number, text);
            drop(met.name("Meet").discard());
        });
        let expected = if read == "x" { "invalid digit" } else { "too large" };
        assert!(error.contains(expected) && error.contains("Meet"), "{error}");
    }
    let lengths = |text: String, out: &mut Collector<u64>| {
        out.collect(text.len() as u64);
        if text.is_empty() { Err("an empty text".into()) } else { Ok(()) }
    };
    check(|env| env.from_sequence(1, 1).connect(texts(env, "abc")).try_flat_map(twice, lengths).boxed(), vec![1, 1, 3]);
    for (from, read, expected) in [(1, "", "an empty text"), (100, "abc", "100 is too large")] {
        let error = failure(|env| {
            let met = env.from_sequence(from, from).connect(texts(env, read)).try_flat_map(twice, lengths);
            drop(met.name("Meet").discard());
        });
        assert!(error.contains(expected) && error.contains("Meet"), "{error}");
    }
    let made = |tick: Tick| if tick.index < 3 { Ok(tick.index) } else { Err("there is no fourth".into()) };
    check(|env| env.try_from_generator(Some(3), made).boxed(), vec![0, 1, 2]);
    let error = failure(|env| drop(env.try_from_generator(Some(4), made).name("Made").discard()));
    assert!(error.contains("there is no fourth") && error.contains("Made"), "{error}");
    let paced = GeneratorSource::fallible(made, Some(4)).rate_per_second(1000.0);
    let error = failure(|env| drop(env.from_source(paced, "Paced").discard()));
    assert!(error.contains("there is no fourth") && error.contains("Paced"), "{error}");
}

#[test]
fn one_record_makes_very_many() {
    let many = |n: u64, out: &mut Collector<u64>| out.extend((0..n * 100_000).map(|_| n));
    check(
        |env| env.from_sequence(1, 4).flat_map(many).key_by(|n| *n).count().boxed(),
        (1..=4).map(|n| (n, n * 100_000)).collect(),
    );
}

#[test]
fn two_streams_meet() {
    let repeat = |n: u64, out: &mut Collector<String>| out.extend((0..n).map(|_| format!("n{n}")));
    let letters = |text: String, out: &mut Collector<String>| out.extend(text.chars().map(String::from));
    check(
        |env| {
            let texts = env.from_collection(["xy".to_owned()]);
            env.from_sequence(1, 2).connect(texts).flat_map(repeat, letters).boxed()
        },
        ["n1", "n2", "n2", "x", "y"].map(String::from).into(),
    );
}

#[test]
fn generators_and_sequences() {
    check(|env| env.from_generator(Some(5), |tick| tick.index * tick.index).boxed(), vec![0, 1, 4, 9, 16]);
    let paced = |env: &Environment| {
        env.from_source(GeneratorSource::new(|tick: Tick| tick.index, Some(20)).rate_per_second(2000.0), "Paced")
            .boxed()
    };
    check(paced, (0..20).collect());
    check(
        |env| env.from_sequence(u64::MAX - 2, u64::MAX).set_parallelism(2),
        vec![u64::MAX - 2, u64::MAX - 1, u64::MAX],
    );
    check(|env| env.from_sequence(2, 1).boxed(), vec![]);
    check(|env| env.from_source(SequenceSource::new(-2_i64, 1), "Signed").boxed(), vec![-2, -1, 0, 1]);
}

#[test]
fn a_blocking_operator_has_a_thread_of_its_own() {
    let name = || std::thread::current().id();
    check(
        move |env| {
            let source = env.from_sequence(1, 50).map(move |n| (n, format!("{:?}", name()))).set_parallelism(1);
            let slow = source.map(move |(n, source)| {
                std::thread::sleep(std::time::Duration::from_millis(1));
                (n, source != format!("{:?}", name()))
            });
            slow.set_parallelism(1).blocking().map(|(n, other)| if other { n } else { 0 }).boxed()
        },
        (1..=50).collect(),
    );
}

/// Adds the index of the subtask.
#[derive(Clone, Default)]
struct WithSubtask(u32);

impl<T: Data> ProcessFunction<T> for WithSubtask {
    type Out = (T, u32);

    fn open(&mut self, context: &RuntimeContext) -> Result<(), BoxError> {
        self.0 = context.subtask_index();
        Ok(())
    }

    fn process(
        &mut self,
        record: T,
        context: &mut ProcessContext<'_>,
        output: &mut impl Output<(T, u32)>,
    ) -> Result<(), BoxError> {
        assert_eq!(context.runtime_context().subtask_index(), self.0);
        output.collect((record, self.0));
        Ok(())
    }
}

#[test]
fn a_partitioner_chooses_the_subtask() {
    let by_tens = |env: &Environment| {
        let stream =
            env.from_sequence(0, 29).partition_custom(|ten: &u64, subtasks| *ten as usize % subtasks, |n| n / 10);
        let first = stream.clone().process(WithSubtask::default()).set_parallelism(3);
        let second = stream.map(|n| n + 100).set_parallelism(2).process(WithSubtask::default()).set_parallelism(2);
        first.union(second)
    };
    let first = (0..30).map(|n| (n, n as u32 / 10));
    check(by_tens, first.chain((0..30).map(|n| (n + 100, n as u32 / 10 % 2))).collect());
    let error = failure(|env| {
        drop(env.from_sequence(0, 3).partition_custom(|_: &u64, _| 7, |n| *n).map(|n| n).set_parallelism(3).discard())
    });
    assert!(error.contains("the partitioner chose subtask 7, but there are 3 (0 to 2)"), "{error}");
}

#[test]
fn a_key_stays_in_its_subtask() {
    for mode in [RuntimeMode::Streaming, RuntimeMode::Batch] {
        let env = local(mode);
        let numbers = env.from_sequence(0, 999).union(env.from_sequence(0, 99)).rebalance();
        let placed = numbers.key_by(|n| n % 50).process(WithSubtask::default()).set_parallelism(3);
        let placed = placed.execute_and_collect("placed").unwrap();
        assert_eq!(placed.len(), 1100);
        let mut places: BTreeMap<u64, u32> = BTreeMap::new();
        for (n, place) in placed {
            assert_eq!(*places.entry(n % 50).or_insert(place), place, "{n}");
        }
        assert!((0..3).all(|place| places.values().any(|other| *other == place)), "{places:?}");
    }
}

#[test]
fn keyed_streams_map_and_filter() {
    check(
        |env| env.from_sequence(1, 6).key_by(|n| n % 2).map(|n| n * 2).filter(|n| n % 3 > 0).boxed(),
        vec![2, 4, 8, 10],
    );
    check(|env| env.from_sequence(1, 6).boxed().key_by(|n| n % 2).filter(|n| *n > 4).boxed(), vec![5, 6]);
    let twice = |n: u64, out: &mut Collector<u64>| out.extend([n, n]);
    check(|env| env.from_sequence(1, 2).key_by(|n| *n).flat_map(twice).boxed(), vec![1, 1, 2, 2]);
    let env = local(RuntimeMode::Streaming);
    env.from_sequence(1, 9).key_by(|n| *n).process(Count::default()).name("Count").key_by(|n| *n).discard();
    assert_eq!(env.execute("keyed").unwrap().long("records").unwrap(), 9);
}

/// Joins names and amounts of one key: whatever comes first waits for the other.
#[derive(Clone, Default)]
struct Join {
    names: BTreeMap<u64, String>,
    amounts: BTreeMap<u64, u64>,
    unmatched: Option<OutputTag<u64>>,
}

impl CoProcessFunction<(u64, String), (u64, u64)> for Join {
    type Out = String;

    fn process_first(
        &mut self,
        (key, name): (u64, String),
        _: &mut ProcessContext<'_>,
        output: &mut impl Output<String>,
    ) -> Result<(), BoxError> {
        match self.amounts.remove(&key) {
            Some(amount) => output.collect(format!("{name} {amount}")),
            None => drop(self.names.insert(key, name)),
        }
        Ok(())
    }

    fn process_second(
        &mut self,
        (key, amount): (u64, u64),
        context: &mut ProcessContext<'_>,
        output: &mut impl Output<String>,
    ) -> Result<(), BoxError> {
        context.runtime_context().long_maximum("largest")?.add(i64::try_from(amount)?);
        match self.names.remove(&key) {
            Some(name) => output.collect(format!("{name} {amount}")),
            None => drop(self.amounts.insert(key, amount)),
        }
        Ok(())
    }

    fn finish(&mut self, context: &mut ProcessContext<'_>, _: &mut impl Output<String>) -> Result<(), BoxError> {
        if let Some(tag) = &self.unmatched {
            self.names.keys().chain(self.amounts.keys()).for_each(|key| context.output(tag, *key));
        }
        Ok(())
    }
}

fn joined(env: &Environment, tag: &OutputTag<u64>) -> DataStream<String> {
    let names = env.from_sequence(0, 99).map(|n| (n, format!("name {n}"))).key_by_ref(|(n, _)| n);
    let amounts = env.from_sequence(50, 149).map(|n| (n, n * 10)).rebalance().key_by(|(n, _)| *n);
    let join = Join { unmatched: Some(tag.clone()), ..Join::default() };
    names.connect(amounts).process(join).set_parallelism(3)
}

#[test]
fn two_keyed_streams_meet_by_key() {
    let tag = OutputTag::new("unmatched");
    check(|env| joined(env, &tag), (50..100).map(|n| format!("name {n} {}", n * 10)).collect());
    check(
        |env| {
            let joined = joined(env, &tag);
            joined.clone().discard();
            joined.side_output(&tag)
        },
        (0..50).chain(100..150).collect(),
    );
}

/// Sends what is odd to the side, and at the end what it has counted there.
#[derive(Clone)]
struct Odd {
    tag: OutputTag<String>,
    count: u64,
}

impl ProcessFunction<u64> for Odd {
    type Out = u64;

    fn process(
        &mut self,
        n: u64,
        context: &mut ProcessContext<'_>,
        output: &mut impl Output<u64>,
    ) -> Result<(), BoxError> {
        if n % 2 == 1 {
            self.count += 1;
            context.output(&self.tag, format!("odd {n}"));
        } else {
            output.collect(n);
        }
        Ok(())
    }

    fn finish(&mut self, context: &mut ProcessContext<'_>, _: &mut impl Output<u64>) -> Result<(), BoxError> {
        context.output(&self.tag, format!("{} in all", self.count));
        Ok(())
    }
}

fn odd() -> Odd {
    Odd { tag: OutputTag::new("odd"), count: 0 }
}

#[test]
fn side_outputs_go_their_own_way() {
    check(
        |env| {
            let main = env.from_sequence(1, 5).set_parallelism(1).process(odd()).set_parallelism(1);
            let side = main.side_output(&OutputTag::<String>::new("odd"));
            main.map(|n| format!("even {n}")).union(side.clone()).union(side.map(|text| text + "!"))
        },
        ["even 2", "even 4", "odd 1", "odd 1!", "odd 3", "odd 3!", "odd 5", "odd 5!", "3 in all", "3 in all!"]
            .map(String::from)
            .into(),
    );
}

#[test]
fn a_side_output_of_another_type_fails_the_task() {
    let error = failure(|env| {
        let main = env.from_sequence(1, 5).process(odd()).name("Odd").boxed();
        main.side_output(&OutputTag::<u64>::new("odd")).discard();
    });
    assert!(error.contains("side output `odd` is read as u64, and a record of String was emitted to it"), "{error}");
    assert!(error.contains("Odd"), "{error}");
}

#[test]
fn what_fails_behind_a_side_output_is_named() {
    let error = failure(|env| {
        let main = env.from_sequence(1, 5).process(odd()).boxed();
        let side = main.side_output(&OutputTag::<String>::new("odd"));
        side.try_map(|text| if text == "odd 3" { Err("no threes".into()) } else { Ok(text) }).name("Strict").discard();
    });
    assert!(error.contains("no threes") && error.contains("Strict"), "{error}");
}

#[test]
fn a_broadcast_reaches_every_subtask() {
    check(
        |env| {
            let numbers = env.from_sequence(1, 1000).map(|n| n.to_string()).broadcast();
            numbers.process(WithSubtask::default()).set_parallelism(3)
        },
        (1..=1000).flat_map(|n| (0..3).map(move |place| (n.to_string(), place))).collect(),
    );
}

/// Adds every record to accumulators of every kind.
#[derive(Clone, Default)]
struct Count(Option<Counters>);

#[derive(Clone)]
struct Counters {
    records: LongCounter,
    halves: DoubleCounter,
    smallest: LongMinimum,
    largest: LongMaximum,
    mean: Average,
    digits: Histogram,
}

impl ProcessFunction<u64> for Count {
    type Out = u64;

    fn open(&mut self, context: &RuntimeContext) -> Result<(), BoxError> {
        self.0 = Some(Counters {
            records: context.long_counter("records")?,
            halves: context.double_counter("halves")?,
            smallest: context.long_minimum("smallest")?,
            largest: context.long_maximum("largest")?,
            mean: context.average("mean")?,
            digits: context.histogram("digits")?,
        });
        Ok(())
    }

    fn process(&mut self, n: u64, _: &mut ProcessContext<'_>, output: &mut impl Output<u64>) -> Result<(), BoxError> {
        let Some(counters) = &self.0 else { return Err("it was not opened".into()) };
        let signed = i64::try_from(n)?;
        counters.records.add(1);
        counters.halves.add(n as f64 / 2.0);
        counters.smallest.add(signed);
        counters.largest.add(signed);
        counters.mean.add(n as f64);
        counters.digits.add(signed % 10);
        output.collect(n);
        Ok(())
    }
}

#[test]
fn accumulators_of_every_kind_are_merged() {
    let env = local(RuntimeMode::Streaming);
    env.from_sequence(1, 100).rebalance().process(Count::default()).set_parallelism(3).discard();
    let result = env.execute("counted").unwrap();
    assert_eq!((result.long("records"), result.long("smallest"), result.long("largest")), (Ok(100), Ok(1), Ok(100)));
    assert_eq!((result.double("halves"), result.double("mean")), (Ok(2525.0), Ok(50.5)));
    assert_eq!(result.histogram("digits"), Ok(&(0..10).map(|digit| (digit, 10)).collect()));
    assert_eq!(result.accumulator("records").unwrap().to_string(), "100");
    assert!(result.double("records").unwrap_err().to_string().contains("is a LongCounter, not a DoubleCounter"));
    assert!(result.long("record").unwrap_err().to_string().contains("there are digits, halves, largest, mean"));
}

/// Counts in a double what others count in a long.
#[derive(Clone)]
struct Disagrees;

impl ProcessFunction<u64> for Disagrees {
    type Out = u64;

    fn open(&mut self, context: &RuntimeContext) -> Result<(), BoxError> {
        context.double_counter("records")?.add(1.0);
        Ok(())
    }

    fn process(&mut self, n: u64, _: &mut ProcessContext<'_>, output: &mut impl Output<u64>) -> Result<(), BoxError> {
        output.collect(n);
        Ok(())
    }
}

#[test]
fn one_name_is_for_one_kind() {
    let error = failure(|env| drop(env.from_sequence(1, 2).process(Count::default()).process(Disagrees).discard()));
    let expected = "accumulator `records` is a DoubleCounter already and cannot be a LongCounter, too";
    assert!(error.contains(expected) && error.contains("Process"), "{error}");
}

/// Counts in the writer what is written.
#[derive(Clone)]
struct Counting;

struct CountingWriter(LongCounter);

impl Sink<u64> for Counting {
    type Writer = CountingWriter;

    fn create_writer(&self, context: &SinkContext) -> Result<CountingWriter, BoxError> {
        Ok(CountingWriter(context.long_counter("written")?))
    }
}

impl SinkWriter<u64> for CountingWriter {
    fn write(&mut self, _: u64) -> Result<(), BoxError> {
        self.0.add(1);
        Ok(())
    }
}

#[test]
fn sinks_have_accumulators() {
    let env = local(RuntimeMode::Streaming);
    env.from_sequence(1, 10).key_by(|n| n % 3).sink_to(Counting).set_parallelism(2);
    assert_eq!(env.execute("written").unwrap().long("written"), Ok(10));
}

#[test]
fn settings_of_the_program_come_last() {
    let arguments = ["--input", "x", "-D", "parallelism.default=3", "-Dpipeline.name=Named"];
    let env = local(RuntimeMode::Streaming);
    env.configure(&Configuration::from_args(arguments).unwrap());
    env.from_sequence(1, 2).discard();
    let graph = env.job_graph("").unwrap();
    assert_eq!((graph.name.as_str(), graph.vertices[0].parallelism), ("Named", 3));
    env.set("pipeline.nmae", "x");
    let refused = env.execute("").unwrap_err().to_string();
    assert!(refused.contains("did you mean `pipeline.name`?"), "{refused}");
}
