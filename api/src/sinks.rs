//! Sinks as operators, and those that come with the engine: print, discard, collect.

/// What is said of a sink behind it.
mod settings;

use std::fmt::Display;
use std::io::Write;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flink_graph::{AccumulatorValue, ShipStrategy, options};
use flink_taskmanager::data::Data;
use flink_taskmanager::operator::{BoxError, Operator, OperatorContext, Output};

use crate::chain::{Chain, ChainOperator};
use crate::datastream::DataStream;
use crate::sink::{Sink, SinkContext, SinkWriter};
use crate::stream_graph::SinkOnClient;
pub use settings::DataStreamSink;

fn sink_context(context: &OperatorContext) -> SinkContext {
    SinkContext {
        job: context.job,
        subtask: context.subtask,
        parallelism: context.parallelism,
        attempt: context.attempt,
        configuration: context.configuration.clone(),
        accumulators: context.accumulators.clone(),
    }
}

/// A sink's writer as an operator; it emits what is to be committed.
struct WriterOperator<T, S: Sink<T>> {
    sink: S,
    writer: Option<S::Writer>,
}

impl<T, S: Sink<T>> WriterOperator<T, S> {
    fn new(sink: S) -> Self {
        Self { sink, writer: None }
    }
}

impl<T, S: Sink<T>> Clone for WriterOperator<T, S> {
    fn clone(&self) -> Self {
        Self::new(self.sink.clone())
    }
}

impl<T: Data, S: Sink<T>> Operator<T> for WriterOperator<T, S> {
    type Out = Vec<u8>;

    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        self.writer = Some(self.sink.create_writer(&sink_context(context))?);
        Ok(())
    }

    #[inline]
    fn process(&mut self, record: T, _: &mut impl Output<Vec<u8>>) -> Result<(), BoxError> {
        self.writer.as_mut().map_or(Ok(()), |writer| writer.write(record))
    }

    fn end(&mut self, output: &mut impl Output<Vec<u8>>) -> Result<(), BoxError> {
        if let Some(writer) = &mut self.writer {
            output.collect(writer.finish()?);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        self.writer.as_mut().map_or(Ok(()), SinkWriter::flush)
    }
}

impl<T: Data, S: Sink<T>> ChainOperator<T> for WriterOperator<T, S> {}

/// Collects what the writers prepared, and publishes it when all have finished.
struct CommitOperator<T, S: Sink<T>> {
    sink: S,
    committables: Vec<Vec<u8>>,
    uncommitted: Option<SinkContext>,
    record: PhantomData<fn() -> T>,
}

impl<T, S: Sink<T>> CommitOperator<T, S> {
    fn new(sink: S) -> Self {
        Self { sink, committables: Vec::new(), uncommitted: None, record: PhantomData }
    }
}

impl<T, S: Sink<T>> Clone for CommitOperator<T, S> {
    fn clone(&self) -> Self {
        Self::new(self.sink.clone())
    }
}

impl<T: 'static, S: Sink<T>> Operator<Vec<u8>> for CommitOperator<T, S> {
    type Out = ();

    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        self.uncommitted = Some(sink_context(context));
        Ok(())
    }

    fn process(&mut self, committable: Vec<u8>, _: &mut impl Output<()>) -> Result<(), BoxError> {
        self.committables.push(committable);
        Ok(())
    }

    fn end(&mut self, _: &mut impl Output<()>) -> Result<(), BoxError> {
        if let Some(context) = self.uncommitted.take() {
            self.sink.commit(&context, std::mem::take(&mut self.committables))?;
        }
        Ok(())
    }
}

impl<T: 'static, S: Sink<T>> ChainOperator<Vec<u8>> for CommitOperator<T, S> {}

impl<T, S: Sink<T>> Drop for CommitOperator<T, S> {
    fn drop(&mut self) {
        if let Some(context) = &self.uncommitted {
            self.sink.abort(context);
        }
    }
}

/// A sink where the job is submitted.
struct OnClient<T, S> {
    sink: S,
    record: PhantomData<fn() -> T>,
}

impl<T, S: Sink<T>> SinkOnClient for OnClient<T, S> {
    fn prepare(&self, context: &SinkContext) -> Result<(), BoxError> {
        self.sink.prepare(context)
    }

    fn settle(&self, context: &SinkContext) {
        self.sink.settle(context);
    }

    fn abort(&self, context: &SinkContext) {
        self.sink.abort(context);
    }
}

impl<T: Data, C: Chain<Out = T>> DataStream<T, C> {
    /// Writes the stream to a sink.
    pub fn sink_to<S: Sink<T>>(self, sink: S) -> DataStreamSink {
        self.named_sink("Sink: Writer", sink)
    }

    fn named_sink<S: Sink<T>>(self, name: &str, sink: S) -> DataStreamSink {
        let environment = self.environment.clone();
        let blocks = sink.blocks(&environment.configuration());
        let mut writer = self.boxed().then(name, WriterOperator::new(sink.clone()));
        writer.sink = Some(Arc::new(OnClient { sink: sink.clone(), record: PhantomData }));
        let written = writer.boxed();
        let node = written.inputs[0].node;
        environment.with_graph(|graph| {
            let node = graph.node_mut(node);
            node.is_sink = true;
            node.blocking = blocks;
        });
        if S::COMMITS {
            let mut prepared = written;
            prepared.inputs[0].strategy = Some(ShipStrategy::Global);
            let committer = prepared.then("Sink: Committer", CommitOperator::new(sink)).boxed();
            let node = committer.inputs[0].node;
            environment.with_graph(|graph| {
                let node = graph.node_mut(node);
                node.parallelism = Some(1);
                node.is_sink = true;
                // Publishing waits for disks and other systems, and nobody is to wait with it.
                node.blocking = true;
            });
        }
        DataStreamSink::new(environment, node)
    }

    /// Prints each record as a line to the standard output of the worker that has it; with several subtasks, behind the
    /// number of the subtask, as Flink does.
    pub fn print(self) -> DataStreamSink
    where
        T: Display,
    {
        self.named_sink("Sink: Print", PrintSink)
    }

    /// Drops the records: for measurements.
    pub fn discard(self) -> DataStreamSink {
        self.named_sink("Sink: Discard", DiscardSink)
    }

    /// Gathers all records into the accumulator `name`.
    pub(crate) fn collect_into(self, name: String) -> DataStreamSink {
        let environment = self.environment.clone();
        let collected = self.boxed().then("Sink: Collect", CollectOperator::new(name)).boxed();
        let node = collected.inputs[0].node;
        environment.with_graph(|graph| graph.node_mut(node).is_sink = true);
        DataStreamSink::new(environment, node)
    }
}

/// Whether a job of this process has a sink that prints.
static PRINTS: AtomicBool = AtomicBool::new(false);

/// Whether jobs that were submitted by this process print records: in local mode to this process's own standard output, over
/// which nothing else should draw then.
pub fn prints() -> bool {
    PRINTS.load(Ordering::Relaxed)
}

/// Prints records.
#[derive(Clone)]
struct PrintSink;

struct PrintWriter {
    prefix: String,
    line: Vec<u8>,
}

impl<T: Display + Data> Sink<T> for PrintSink {
    type Writer = PrintWriter;

    fn prepare(&self, _: &SinkContext) -> Result<(), BoxError> {
        PRINTS.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn create_writer(&self, context: &SinkContext) -> Result<PrintWriter, BoxError> {
        let prefix = if context.parallelism > 1 { format!("{}> ", context.subtask + 1) } else { String::new() };
        Ok(PrintWriter { prefix, line: Vec::new() })
    }
}

impl PrintWriter {
    const BUFFER: usize = 8 << 10;
}

impl<T: Display> SinkWriter<T> for PrintWriter {
    fn write(&mut self, record: T) -> Result<(), BoxError> {
        writeln!(self.line, "{}{record}", self.prefix)?;
        if self.line.len() >= Self::BUFFER { SinkWriter::<T>::flush(self) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&self.line).and_then(|()| stdout.flush())?;
        self.line.clear();
        Ok(())
    }
}

/// Drops records.
#[derive(Clone)]
struct DiscardSink;

impl<T: Data> Sink<T> for DiscardSink {
    type Writer = Self;

    fn create_writer(&self, _: &SinkContext) -> Result<Self, BoxError> {
        Ok(Self)
    }
}

impl<T> SinkWriter<T> for DiscardSink {
    #[inline]
    fn write(&mut self, _: T) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Gathers encoded records for `execute_and_collect`. They travel with the accumulators of the finished task.
struct CollectOperator<T> {
    name: String,
    encoded: Vec<u8>,
    limit: usize,
    context: Option<OperatorContext>,
    record: PhantomData<fn() -> T>,
}

impl<T> CollectOperator<T> {
    fn new(name: String) -> Self {
        Self { name, encoded: Vec::new(), limit: 0, context: None, record: PhantomData }
    }
}

impl<T> Clone for CollectOperator<T> {
    fn clone(&self) -> Self {
        Self::new(self.name.clone())
    }
}

impl<T: Data> Operator<T> for CollectOperator<T> {
    type Out = ();

    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        self.limit = context.configuration.get(&options::COLLECT_MAX_SIZE)?.bytes();
        self.context = Some(context.clone());
        Ok(())
    }

    fn process(&mut self, record: T, _: &mut impl Output<()>) -> Result<(), BoxError> {
        record.encode(&mut self.encoded);
        if self.encoded.len() > self.limit {
            let text = format!(
                "the collected result is over {} bytes; write it to a file, or raise {}",
                self.limit,
                options::COLLECT_MAX_SIZE.key
            );
            return Err(text.into());
        }
        Ok(())
    }

    fn end(&mut self, _: &mut impl Output<()>) -> Result<(), BoxError> {
        if let Some(context) = &self.context {
            let part = std::mem::take(&mut self.encoded);
            context.accumulators.update(
                &self.name,
                || AccumulatorValue::List(Vec::new()),
                |list| {
                    if let AccumulatorValue::List(parts) = list {
                        parts.push(part);
                    }
                },
            );
        }
        Ok(())
    }
}

impl<T: Data> ChainOperator<T> for CollectOperator<T> {}
