//! Chains: operators as one generic struct, built for each subtask from prototypes.
//!
//! A stream's type holds its chain: `Then<Then<FromSource<S>, Map<F>>, Filter<G>>`. To build it, what takes the chain's
//! records is handed in from behind, wrapped in each operator in turn, and boxed at the head.

use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use flink_taskmanager::data::Data;
use flink_taskmanager::driver::{Driver, OneInputDriver};
use flink_taskmanager::operator::{BoxError, Chained, ChunkConsumer, Head, Operator, Stage};

use crate::task_builder::TaskBuilder;

/// What every subtask gets a clone of. The lock makes functions usable that may move between threads but not be shared.
pub(crate) struct Prototype<T>(Mutex<T>);

impl<T: Clone> Prototype<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn instance(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Operators from the head of a task, or from a place in the middle where chunks are handed on, up to the end of a stream.
pub trait Chain: Send + Sync + 'static {
    /// What comes out.
    type Out: Data;
    /// The chain, once built: boxed at its head.
    type Built: Send + 'static;

    /// Builds the chain in front of `next`.
    #[doc(hidden)]
    fn build<N>(&self, builder: &mut TaskBuilder<'_>, next: N) -> Result<Self::Built, BoxError>
    where
        N: Stage<Self::Out> + 'static;

    /// Makes the built chain the head of a task.
    #[doc(hidden)]
    fn driver(&self, builder: &mut TaskBuilder<'_>, built: Self::Built) -> Result<Box<dyn Driver>, BoxError>;
}

/// The beginning of a chain that takes what another chain has handed on.
pub struct Start<T>(PhantomData<fn() -> T>);

impl<T> Start<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for Start<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T: Data> Chain for Start<T> {
    type Out = T;
    type Built = Box<dyn ChunkConsumer<T>>;

    fn build<N>(&self, builder: &mut TaskBuilder<'_>, next: N) -> Result<Self::Built, BoxError>
    where
        N: Stage<T> + 'static,
    {
        Ok(Box::new(Head::new(next, builder.flags())))
    }

    fn driver(&self, builder: &mut TaskBuilder<'_>, built: Self::Built) -> Result<Box<dyn Driver>, BoxError> {
        one_input(builder, built)
    }
}

/// The driver of a chain with one input.
pub(crate) fn one_input<T: Data>(
    builder: &mut TaskBuilder<'_>,
    built: Box<dyn ChunkConsumer<T>>,
) -> Result<Box<dyn Driver>, BoxError> {
    let gate = builder.input_gate::<T>(0)?;
    Ok(Box::new(OneInputDriver::new(gate, built, builder.flags())))
}

/// A chain and one more operator.
pub struct Then<C, Op> {
    chain: C,
    operator: Prototype<Op>,
    /// Place of the operator in its node.
    place: usize,
}

impl<C, Op: Clone> Then<C, Op> {
    pub(crate) fn new(chain: C, operator: Op, place: usize) -> Self {
        Self { chain, operator: Prototype::new(operator), place }
    }

    pub(crate) fn into_parts(self) -> (C, Op) {
        let operator = self.operator.instance();
        (self.chain, operator)
    }
}

/// An operator that can be the prototype of a chain's.
pub trait ChainOperator<In>: Operator<In> + Clone {
    /// Whether it can emit to side outputs.
    const SIDE_OUTPUTS: bool = false;

    /// Takes what it needs from the task that it will run in.
    #[doc(hidden)]
    fn attach(&mut self, builder: &mut TaskBuilder<'_>, place: usize) -> Result<(), BoxError> {
        let _ = (builder, place);
        Ok(())
    }
}

impl<C, Op> Chain for Then<C, Op>
where
    C: Chain,
    Op: ChainOperator<C::Out>,
    Op::Out: Data,
{
    type Out = Op::Out;
    type Built = C::Built;

    fn build<N>(&self, builder: &mut TaskBuilder<'_>, next: N) -> Result<Self::Built, BoxError>
    where
        N: Stage<Self::Out> + 'static,
    {
        let mut operator = self.operator.instance();
        operator.attach(builder, self.place)?;
        let context = builder.context(self.place);
        self.chain.build(builder, Chained::new(operator, context, next))
    }

    fn driver(&self, builder: &mut TaskBuilder<'_>, built: Self::Built) -> Result<Box<dyn Driver>, BoxError> {
        self.chain.driver(builder, built)
    }
}
