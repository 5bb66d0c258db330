use std::cell::Cell;
use std::sync::{Arc, Mutex};

use flink_api::connected::CoProcessFunction;
use flink_api::{
    BoxError, DataStream, ExecuteError, Output, ProcessContext, ProcessFunction, RuntimeContext, RuntimeMode,
    StreamExecutionEnvironment,
};
use flink_graph::ExecutionState;
use flink_protocol::task_manager::FailureKind;

use crate::cluster::{Cluster, Fault, FaultKind};
use crate::for_seeds;
use crate::liveness::{Arrivals, Cautious};
use crate::pipelines::Publish;
use crate::random::Random;
use crate::settings::Settings;
use crate::world::Outcome;

const SEEDS: u64 = 300;
const LAST: u64 = 150;
const REASON: &str = "record refused";

type Environment = StreamExecutionEnvironment;

fn wide(random: &mut Random) -> u32 {
    random.between(1, 4) as u32
}

/// No consumer has taken what a producer wrote for complete unless the producer finished; and every failure is of the
/// kind that says whose fault it was.
fn judge(outcome: &Outcome, killed: bool) {
    for (index, subtask) in outcome.deployment.subtasks.iter().enumerate() {
        // A producer with several outputs may have ended one of them, with all its records, before it failed.
        let whole = |producer: &usize| {
            outcome.states[*producer] == ExecutionState::Finished
                || outcome.deployment.vertex(*producer).outputs.len() > 1
        };
        let finished = outcome.states[index] == ExecutionState::Finished;
        let (name, states) = (outcome.deployment.name(index), &outcome.states);
        assert!(
            !finished || subtask.producers.iter().all(whole),
            "{name} finished with a part of its input: {states:?}"
        );
    }
    for (index, failure) in &outcome.failures {
        let worker = |index: usize| outcome.deployment.subtasks[index].worker;
        match &failure.kind {
            FailureKind::PartitionUnavailable { partition } => {
                let producer = outcome.deployment.producer_of(*partition);
                assert!(outcome.deployment.subtasks[*index].producers.contains(&producer));
                assert_ne!(outcome.states[producer], ExecutionState::Finished, "{failure:?}");
            }
            FailureKind::ConnectionLost { partition } => {
                let producer = outcome.deployment.producer_of(*partition);
                assert_ne!(worker(*index), worker(producer), "{failure:?}");
                let cut = outcome.severed == Some((worker(*index), worker(producer)));
                assert!(cut || killed, "a connection that was never cut: {failure:?}");
            }
            FailureKind::TaskManagerLost => assert!(killed),
            FailureKind::User { .. } | FailureKind::Runtime => {}
            FailureKind::Unrecoverable => panic!("{failure:?}"),
        }
    }
}

/// Runs a program that refuses a record somewhere, under every seed.
fn check_refusal(operator: &str, text: &str, build: impl Fn(&Environment, &mut Random)) {
    check_refusal_under(operator, text, |settings| settings, build);
}

fn check_refusal_under(
    operator: &str,
    text: &str,
    change: impl Fn(Settings) -> Settings,
    build: impl Fn(&Environment, &mut Random),
) {
    for_seeds(SEEDS, |seed| {
        let cluster = Cluster::with(seed, change(Settings::draw(&mut Random::new(seed))), None);
        cluster.expand(1000);
        let env = cluster.environment();
        build(&env, &mut Random::new(seed));
        let error = env.execute("refusing").expect_err("a job that fails");
        assert!(matches!(&error, ExecuteError::Failed { cause, .. } if cause.contains(text)), "{error}");
        let outcome = cluster.outcome();
        judge(&outcome, false);
        let (first, others) = outcome.failures.split_first().unwrap();
        let user = FailureKind::User { operator: operator.to_owned() };
        assert_eq!(first.1.kind, user, "{:?}", first.1);
        for (_, failure) in others {
            let follows = matches!(failure.kind, FailureKind::PartitionUnavailable { .. });
            assert!(follows || failure.kind == user, "{failure:?}");
        }
    });
}

/// Refuses one record.
fn refuse(refused: u64) -> impl Fn(u64) -> Result<u64, BoxError> + Clone + Send + 'static {
    move |n| if n == refused { Err(REASON.into()) } else { Ok(n) }
}

fn numbers(env: &Environment) -> DataStream<u64> {
    env.from_sequence(1, LAST).boxed()
}

#[test]
fn a_refused_record_fails_the_job() {
    check_refusal("Strict", REASON, |env, random| {
        let refused = random.between(1, LAST);
        let checked = numbers(env).shuffle().try_map(refuse(refused)).name("Strict").set_parallelism(wide(random));
        checked.rebalance().map(|n| n).set_parallelism(wide(random)).key_by(|n| n % 5).count().discard();
    });
}

#[test]
fn a_refusal_behind_a_chained_output_fails_the_job() {
    check_refusal("Strict", REASON, |env, random| {
        let stream = numbers(env);
        stream.clone().try_map(refuse(random.between(1, LAST))).name("Strict").boxed().shuffle().map(|n| n).discard();
        stream.clone().try_map(Ok).boxed().discard();
        stream.rebalance().map(|n| n).set_parallelism(wide(random)).discard();
    });
}

#[test]
fn a_refusal_of_a_record_that_waited_for_room_fails_the_job() {
    let narrow = |settings| Settings { chunk_bytes: 8, capacity: 1, ..settings };
    check_refusal_under("Strict", REASON, narrow, |env, random| {
        let stream = numbers(env);
        // The first operator's output is full after each record, and so the record waits in front of the strict one.
        stream.clone().map(|n| n).boxed().rebalance().map(|n| n).set_parallelism(wide(random)).discard();
        stream.try_map(refuse(random.between(1, LAST))).name("Strict").boxed().discard();
    });
}

#[test]
fn a_refusal_of_an_aggregate_fails_the_job() {
    check_refusal("Strict", REASON, |env, random| {
        let mode = if random.once_in(2) { RuntimeMode::Batch } else { RuntimeMode::Streaming };
        env.set_runtime_mode(mode);
        let refused = random.between(1, LAST);
        let sums = numbers(env).key_by(|_| 0u8).try_reduce(move |kept, n| {
            *kept = (*kept).max(n);
            if *kept >= refused { Err(REASON.into()) } else { Ok(()) }
        });
        sums.name("Strict").rebalance().map(|n| n).discard();
    });
}

#[test]
fn a_panic_fails_the_job() {
    std::panic::set_hook(Box::new({
        let earlier = std::panic::take_hook();
        move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"user panic") {
                earlier(info);
            }
        }
    }));
    check_refusal("", "user panic", |env, random| {
        let refused = random.between(1, LAST);
        let strict = numbers(env).rebalance().filter(move |n| if *n == refused { panic!("user panic") } else { true });
        strict.set_parallelism(wide(random)).shuffle().map(|n| n).set_parallelism(wide(random)).discard();
    });
}

/// Fails in a certain part of its life.
#[derive(Clone)]
struct FailsIn {
    open: bool,
}

impl ProcessFunction<u64> for FailsIn {
    type Out = u64;

    fn open(&mut self, _: &RuntimeContext) -> Result<(), BoxError> {
        if self.open { Err(REASON.into()) } else { Ok(()) }
    }

    fn process(&mut self, n: u64, _: &mut ProcessContext<'_>, output: &mut impl Output<u64>) -> Result<(), BoxError> {
        output.collect(n);
        Ok(())
    }

    fn finish(&mut self, _: &mut ProcessContext<'_>, _: &mut impl Output<u64>) -> Result<(), BoxError> {
        Err(REASON.into())
    }
}

#[test]
fn a_function_that_cannot_start_or_finish_fails_the_job() {
    check_refusal("Strict", REASON, |env, random| {
        let open = random.once_in(2);
        let strict = numbers(env).shuffle().process(FailsIn { open }).name("Strict").set_parallelism(wide(random));
        strict.rebalance().map(|n| n).set_parallelism(wide(random)).discard();
    });
}

/// Refuses a record of its second input.
#[derive(Clone)]
struct StrictSecond(u64);

impl CoProcessFunction<u64, u64> for StrictSecond {
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

    fn process_second(&mut self, n: u64, _: &mut ProcessContext<'_>, _: &mut impl Output<u64>) -> Result<(), BoxError> {
        refuse(self.0)(n).map(|_| ())
    }
}

#[test]
fn a_refusal_at_a_second_input_fails_the_job() {
    check_refusal("Strict", REASON, |env, random| {
        let both = numbers(env).rebalance().connect(env.from_sequence(1, LAST).shuffle());
        let both = both.process(StrictSecond(random.between(1, LAST))).name("Strict").set_parallelism(wide(random));
        both.rescale().map(|n| n).set_parallelism(wide(random)).discard();
    });
}

#[test]
fn a_refusal_while_the_source_waits_is_not_lost() {
    check_refusal("Strict", REASON, |env, random| {
        let batches: Vec<u64> = (0..6).map(|_| random.magnitude(6)).collect();
        let refused = random.between(1, batches.iter().sum());
        let arrivals = Arrivals::default();
        let stream = env.from_source(Cautious { batches, copies: 1, arrivals: arrivals.clone() }, "Cautious").boxed();
        stream.clone().try_map(refuse(refused)).name("Strict").boxed().discard();
        stream.rebalance().map(move |n| arrivals.note(n)).set_parallelism(wide(random)).discard();
    });
}

/// A program with some of everything, that publishes what it was given.
fn program(env: &Environment, random: &mut Random, published: &Arc<Mutex<Vec<u64>>>) {
    let stream = numbers(env);
    let keyed = stream.clone().shuffle().map(|n| n).set_parallelism(wide(random)).key_by(|n| *n).reduce(|_, _| {});
    let far = stream.clone().rebalance().filter(|n| n % 2 == 0).set_parallelism(wide(random));
    let both = keyed.connect(far.rescale()).map(|n| n, |n| n + 1000).set_parallelism(wide(random));
    stream.map(|n| n + 2000).union(both).sink_to(Publish(published.clone())).set_parallelism(wide(random));
}

fn expected() -> Vec<u64> {
    let even = (1..=LAST).filter(|n| n % 2 == 0).map(|n| n + 1000);
    (1..=LAST).chain(even).chain((1..=LAST).map(|n| n + 2000)).collect()
}

/// Runs the program with a fault at a moment that the seed decides; a job that does not finish publishes nothing or all.
fn check_fault(kind: FaultKind, right: impl Fn(&Outcome)) {
    let struck = Cell::new(0);
    for_seeds(SEEDS, |seed| {
        let mut random = Random::new(seed ^ 0xfa17);
        let mut settings = Settings::draw(&mut random);
        if kind == FaultKind::Sever {
            settings.workers = settings.workers.max(2);
        }
        let fault = Fault { after: random.magnitude(12), kind };
        let cluster = Cluster::with(seed, settings, Some(fault));
        cluster.expand(64);
        let (env, published) = (cluster.environment(), Arc::default());
        if random.once_in(3) {
            env.set_runtime_mode(RuntimeMode::Batch);
            cluster.expand(LAST);
        }
        if random.once_in(2) {
            env.set("execution.batch-shuffle-mode", "ALL_EXCHANGES_BLOCKING");
        }
        program(&env, &mut random, &published);
        let result = env.execute("struck");
        let outcome = cluster.outcome();
        judge(&outcome, kind == FaultKind::KillWorker);
        let mut records = published.lock().unwrap().clone();
        records.sort_unstable();
        assert!(records.is_empty() || records == expected(), "a part was published");
        assert!(result.is_err() || !records.is_empty(), "nothing was published");
        if outcome.fault_fired && result.is_err() {
            struck.set(struck.get() + 1);
            right(&outcome);
        } else {
            assert!(result.is_ok(), "a job failed without a fault: {result:?}");
        }
    });
    let all = std::env::var("SIMULATION_SEED").is_err();
    assert!(!all || struck.get() > SEEDS / 3, "the fault struck only {} times", struck.get());
}

#[test]
fn a_canceled_job_ends() {
    check_fault(FaultKind::CancelJob, |outcome| {
        for (_, failure) in &outcome.failures {
            assert!(matches!(failure.kind, FailureKind::PartitionUnavailable { .. }), "{failure:?}");
        }
    });
}

#[test]
fn a_task_that_is_told_to_fail_does() {
    check_fault(FaultKind::FailTask, |outcome| {
        let (first, others) = outcome.failures.split_first().unwrap();
        assert_eq!(first.1.kind, FailureKind::Runtime, "{:?}", first.1);
        for (_, failure) in others {
            assert!(matches!(failure.kind, FailureKind::PartitionUnavailable { .. }), "{failure:?}");
        }
    });
}

#[test]
fn a_broken_connection_is_told_apart_from_a_failed_producer() {
    check_fault(FaultKind::Sever, |outcome| {
        let (_, first) = outcome.failures.first().unwrap();
        assert!(matches!(first.kind, FailureKind::ConnectionLost { .. }), "{first:?}");
    });
}

#[test]
fn a_killed_worker_ends_the_job() {
    check_fault(FaultKind::KillWorker, |outcome| {
        let (_, first) = outcome.failures.first().unwrap();
        assert_eq!(first.kind, FailureKind::TaskManagerLost);
    });
}
