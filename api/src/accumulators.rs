//! Accumulators: side results that functions add to, and that reach the program with the result of the job.
//!
//! Functions that use one name add to one accumulator. Look it up once, in `open` or where a reader or writer is made, and
//! keep it. Adding takes a lock and finds the value by name: what is counted for every record is better added up in the
//! function and handed over in larger pieces.

use std::collections::BTreeMap;
use std::sync::Arc;

use flink_graph::AccumulatorValue;
use flink_taskmanager::operator::SharedAccumulators;

/// One name was used for accumulators of two kinds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("accumulator `{name}` is a {before} already and cannot be a {wanted}, too: give them different names")]
pub struct AccumulatorConflict {
    name: String,
    before: &'static str,
    wanted: &'static str,
}

/// A context that knows the accumulators of its subtask.
pub(crate) trait Scope {
    fn shared(&self) -> &SharedAccumulators;
}

/// Gives a context the functions that find accumulators by name.
macro_rules! with_accumulators {
    ($context:ty) => {
        impl $context {
            /// An accumulator that sums integers.
            ///
            /// # Errors
            /// The name is that of an accumulator of another kind.
            pub fn long_counter(
                &self,
                name: &str,
            ) -> Result<$crate::accumulators::LongCounter, $crate::accumulators::AccumulatorConflict> {
                $crate::accumulators::LongCounter::of($crate::accumulators::Scope::shared(self), name)
            }

            /// An accumulator that sums floating point numbers.
            ///
            /// # Errors
            /// The name is that of an accumulator of another kind.
            pub fn double_counter(
                &self,
                name: &str,
            ) -> Result<$crate::accumulators::DoubleCounter, $crate::accumulators::AccumulatorConflict> {
                $crate::accumulators::DoubleCounter::of($crate::accumulators::Scope::shared(self), name)
            }

            /// An accumulator that keeps the smallest integer.
            ///
            /// # Errors
            /// The name is that of an accumulator of another kind.
            pub fn long_minimum(
                &self,
                name: &str,
            ) -> Result<$crate::accumulators::LongMinimum, $crate::accumulators::AccumulatorConflict> {
                $crate::accumulators::LongMinimum::of($crate::accumulators::Scope::shared(self), name)
            }

            /// An accumulator that keeps the largest integer.
            ///
            /// # Errors
            /// The name is that of an accumulator of another kind.
            pub fn long_maximum(
                &self,
                name: &str,
            ) -> Result<$crate::accumulators::LongMaximum, $crate::accumulators::AccumulatorConflict> {
                $crate::accumulators::LongMaximum::of($crate::accumulators::Scope::shared(self), name)
            }

            /// An accumulator that keeps the mean of what was added.
            ///
            /// # Errors
            /// The name is that of an accumulator of another kind.
            pub fn average(
                &self,
                name: &str,
            ) -> Result<$crate::accumulators::Average, $crate::accumulators::AccumulatorConflict> {
                $crate::accumulators::Average::of($crate::accumulators::Scope::shared(self), name)
            }

            /// An accumulator that counts how often each value was added.
            ///
            /// # Errors
            /// The name is that of an accumulator of another kind.
            pub fn histogram(
                &self,
                name: &str,
            ) -> Result<$crate::accumulators::Histogram, $crate::accumulators::AccumulatorConflict> {
                $crate::accumulators::Histogram::of($crate::accumulators::Scope::shared(self), name)
            }
        }
    };
}
pub(crate) use with_accumulators;

#[derive(Clone)]
struct Handle {
    name: Arc<str>,
    accumulators: SharedAccumulators,
}

impl Handle {
    /// Makes sure that the accumulator is there and of its kind.
    fn find(
        accumulators: &SharedAccumulators,
        name: &str,
        initial: fn() -> AccumulatorValue,
    ) -> Result<Self, AccumulatorConflict> {
        let (wanted, mut found) = (initial().kind(), "");
        accumulators.update(name, initial, |value| found = value.kind());
        if found != wanted {
            return Err(AccumulatorConflict { name: name.to_owned(), before: found, wanted });
        }
        Ok(Self { name: name.into(), accumulators: accumulators.clone() })
    }
}

/// Declares an accumulator: its value in the beginning, and how something is added.
macro_rules! accumulator {
    (
        $(#[doc = $doc:literal])+ $kind:ident, $initial:expr;
        $(#[doc = $add_doc:literal])+ $add:ident($($argument:ident: $type:ty),+) to $pattern:pat => $change:expr
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone)]
        pub struct $kind(Handle);

        impl $kind {
            const INITIAL: fn() -> AccumulatorValue = || $initial;

            pub(crate) fn of(accumulators: &SharedAccumulators, name: &str) -> Result<Self, AccumulatorConflict> {
                Handle::find(accumulators, name, Self::INITIAL).map(Self)
            }

            $(#[doc = $add_doc])+
            pub fn $add(&self, $($argument: $type),+) {
                let Handle { name, accumulators } = &self.0;
                accumulators.update(name, Self::INITIAL, |value| {
                    if let $pattern = value {
                        $change;
                    }
                });
            }
        }
    };
}

accumulator! {
    /// Sums integers.
    LongCounter, AccumulatorValue::Long(0);
    /// Adds to the sum.
    add(amount: i64) to AccumulatorValue::Long(sum) => *sum = sum.wrapping_add(amount)
}

accumulator! {
    /// Sums floating point numbers.
    DoubleCounter, AccumulatorValue::Double(0.0);
    /// Adds to the sum.
    add(amount: f64) to AccumulatorValue::Double(sum) => *sum += amount
}

accumulator! {
    /// Keeps the smallest integer; `i64::MAX` when nothing was added.
    LongMinimum, AccumulatorValue::LongMinimum(i64::MAX);
    /// Adds a value.
    add(new: i64) to AccumulatorValue::LongMinimum(smallest) => *smallest = new.min(*smallest)
}

accumulator! {
    /// Keeps the largest integer; `i64::MIN` when nothing was added.
    LongMaximum, AccumulatorValue::LongMaximum(i64::MIN);
    /// Adds a value.
    add(new: i64) to AccumulatorValue::LongMaximum(largest) => *largest = new.max(*largest)
}

accumulator! {
    /// Keeps the mean of what was added.
    Average, AccumulatorValue::Average { count: 0, sum: 0.0 };
    /// Adds a value.
    add(new: f64) to AccumulatorValue::Average { count, sum } => {
        *count += 1;
        *sum += new;
    }
}

accumulator! {
    /// Counts how often each value was added.
    Histogram, AccumulatorValue::Histogram(BTreeMap::new());
    /// Counts a value several times.
    add_many(new: i64, times: u64) to AccumulatorValue::Histogram(counts) => *counts.entry(new).or_default() += times
}

impl Histogram {
    /// Counts a value.
    pub fn add(&self, value: i64) {
        self.add_many(value, 1);
    }
}
