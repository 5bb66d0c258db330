//! What the operators of a chain see of one another.

use std::sync::Arc;

/// Any error of user code: `?` converts every error type into it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Takes the records that an operator emits.
pub trait Output<T> {
    /// Hands one record on. It never fails and never blocks: an error further down the chain ends the task after the
    /// operator returned, and records for which there is no room yet are kept.
    fn collect(&mut self, record: T);

    /// True when the operator should return soon, because there is no room downstream or the task is ending. A source
    /// checks it between records; an operator that emits few records for one need not.
    fn is_full(&self) -> bool;
}

impl<T, O: Output<T> + ?Sized> Output<T> for &mut O {
    #[inline]
    fn collect(&mut self, record: T) {
        (**self).collect(record);
    }

    #[inline]
    fn is_full(&self) -> bool {
        (**self).is_full()
    }
}

/// Wakes a task from any thread. Cheap when it is awake already.
#[derive(Clone)]
pub struct TaskWaker(Arc<dyn Fn() + Send + Sync>);

impl TaskWaker {
    /// Makes a waker from what it does.
    #[must_use]
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// Has the task stepped again soon.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl std::fmt::Debug for TaskWaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TaskWaker")
    }
}
