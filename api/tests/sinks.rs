//! What is said of a sink: its place in the JobGraph.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

use std::rc::Rc;

use flink_api::sink::{Sink, SinkContext, SinkWriter};
use flink_api::{BoxError, Configuration, ExecuteError, Executor, JobClient, Program, StreamExecutionEnvironment};

/// Runs nothing.
struct Planner;

impl Executor for Planner {
    fn configuration(&self) -> Configuration {
        let mut configuration = Configuration::default();
        configuration.set("parallelism.default", "2");
        configuration
    }

    fn plans(&self, _: u32) -> bool {
        true
    }

    fn submit(&self, _: Program) -> Result<Box<dyn JobClient>, ExecuteError> {
        Err(ExecuteError::Cluster("nothing runs here".to_owned()))
    }
}

/// Publishes, and waits for another system where it is told so.
#[derive(Clone)]
struct Shelf {
    blocks: bool,
}

struct Nothing;

impl SinkWriter<u64> for Nothing {
    fn write(&mut self, _: u64) -> Result<(), BoxError> {
        Ok(())
    }
}

impl Sink<u64> for Shelf {
    type Writer = Nothing;

    const COMMITS: bool = true;

    fn blocks(&self, configuration: &Configuration) -> bool {
        assert_eq!(configuration.raw("parallelism.default"), Some("2"));
        self.blocks
    }

    fn create_writer(&self, _: &SinkContext) -> Result<Nothing, BoxError> {
        Ok(Nothing)
    }
}

/// Name, parallelism, max parallelism, and whether it has threads of its own, of each vertex.
fn plan(build: impl FnOnce(&StreamExecutionEnvironment)) -> Vec<(String, u32, u32, bool)> {
    let env = StreamExecutionEnvironment::with_executor(Rc::new(Planner));
    build(&env);
    let vertices = env.job_graph("planned").unwrap().vertices.into_iter();
    vertices.map(|vertex| (vertex.name, vertex.parallelism, vertex.max_parallelism, vertex.blocking)).collect()
}

fn vertex(name: &str, parallelism: u32, max_parallelism: u32, blocking: bool) -> (String, u32, u32, bool) {
    (name.to_owned(), parallelism, max_parallelism, blocking)
}

#[test]
fn committers_and_sinks_that_say_so_have_threads_of_their_own() {
    let planned = |blocks| plan(|env| drop(env.from_sequence(1, 9).map(|n| n).sink_to(Shelf { blocks })));
    for blocks in [false, true] {
        assert_eq!(
            planned(blocks),
            [
                vertex("Source: Sequence -> Map -> Sink: Writer", 2, 128, blocks),
                vertex("Sink: Committer", 1, 128, true)
            ]
        );
    }
}

#[test]
fn a_sink_is_set_up_like_an_operator() {
    let source = vertex("Source: Sequence", 2, 128, false);
    assert_eq!(
        plan(|env| drop(env.from_sequence(1, 9).discard().blocking().name("Slow"))),
        [source.clone(), vertex("Slow", 2, 128, true)]
    );
    assert_eq!(
        plan(|env| drop(env.from_sequence(1, 9).discard().start_new_chain().set_max_parallelism(7))),
        [source, vertex("Sink: Discard", 2, 7, false)]
    );
}
