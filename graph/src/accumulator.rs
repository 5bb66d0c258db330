use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Values of one kind were to be merged with values of another under the same name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("accumulator `{name}` is a {left} in one subtask and a {right} in another; give them different names")]
pub struct AccumulatorError {
    name: String,
    left: &'static str,
    right: &'static str,
}

/// A program asked for an accumulator that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccumulatorLookupError {
    /// No function has made it.
    #[error("there is no accumulator `{name}`{}", if known.is_empty() { String::new() } else { format!("; there are {known}") })]
    Missing {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// It is of another kind.
    #[error("accumulator `{name}` is a {kind}, not a {wanted}")]
    Kind {
        /// The name.
        name: String,
        /// What it is.
        kind: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
}

/// The value of one accumulator in one subtask, or merged over all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AccumulatorValue {
    /// Sum of integers.
    Long(i64),
    /// Sum of floating point numbers.
    Double(f64),
    /// Smallest integer.
    LongMinimum(i64),
    /// Largest integer.
    LongMaximum(i64),
    /// Count and sum, read as their quotient.
    Average {
        /// Number of values added.
        count: u64,
        /// Sum of the values added.
        sum: f64,
    },
    /// Number of times each value was added.
    Histogram(BTreeMap<i64, u64>),
    /// Encoded records, kept in the order of subtasks.
    List(#[serde(with = "crate::byte_strings")] Vec<Vec<u8>>),
}

impl AccumulatorValue {
    /// The name of the kind, as Flink's REST API prints it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Long(_) => "LongCounter",
            Self::Double(_) => "DoubleCounter",
            Self::LongMinimum(_) => "LongMinimum",
            Self::LongMaximum(_) => "LongMaximum",
            Self::Average { .. } => "AverageAccumulator",
            Self::Histogram(_) => "Histogram",
            Self::List(_) => "SerializedListAccumulator",
        }
    }

    fn is_not(&self, name: &str, wanted: &'static str) -> AccumulatorLookupError {
        AccumulatorLookupError::Kind { name: name.to_owned(), kind: self.kind(), wanted }
    }

    fn merge(&mut self, other: &Self, name: &str) -> Result<(), AccumulatorError> {
        match (&mut *self, other) {
            (Self::Long(a), Self::Long(b)) => *a = a.wrapping_add(*b),
            (Self::Double(a), Self::Double(b)) => *a += b,
            (Self::LongMinimum(a), Self::LongMinimum(b)) => *a = (*a).min(*b),
            (Self::LongMaximum(a), Self::LongMaximum(b)) => *a = (*a).max(*b),
            (Self::Average { count, sum }, Self::Average { count: c, sum: s }) => {
                *count += c;
                *sum += s;
            }
            (Self::Histogram(a), Self::Histogram(b)) => {
                b.iter().for_each(|(value, times)| *a.entry(*value).or_default() += times);
            }
            (Self::List(a), Self::List(b)) => a.extend_from_slice(b),
            (left, right) => {
                return Err(AccumulatorError { name: name.to_owned(), left: left.kind(), right: right.kind() });
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for AccumulatorValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Long(v) | Self::LongMinimum(v) | Self::LongMaximum(v) => write!(f, "{v}"),
            Self::Double(v) => write!(f, "{v}"),
            Self::Average { count: 0, .. } => f.write_str("NaN"),
            #[allow(clippy::cast_precision_loss)]
            Self::Average { count, sum } => write!(f, "{}", sum / *count as f64),
            Self::Histogram(times) => f.debug_map().entries(times).finish(),
            Self::List(values) => write!(f, "{} values", values.len()),
        }
    }
}

/// Accumulators by name, ordered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Accumulators(pub BTreeMap<String, AccumulatorValue>);

impl Accumulators {
    /// Bytes of encoded records in all lists: what makes a job's result large.
    #[must_use]
    pub fn list_bytes(&self) -> usize {
        let lists = self.0.values().map(|value| match value {
            AccumulatorValue::List(values) => values.iter().map(Vec::len).sum(),
            _ => 0,
        });
        lists.sum()
    }

    /// The value of an accumulator.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn value(&self, name: &str) -> Result<&AccumulatorValue, AccumulatorLookupError> {
        self.0.get(name).ok_or_else(|| {
            // What begins with two underscores is the engine's own.
            let known: Vec<_> = self.0.keys().filter(|name| !name.starts_with("__")).map(String::as_str).collect();
            AccumulatorLookupError::Missing { name: name.to_owned(), known: known.join(", ") }
        })
    }

    /// The value of a whole number: a `LongCounter`, a `LongMinimum` or a `LongMaximum`.
    ///
    /// # Errors
    /// There is none of that name, or it is of another kind.
    pub fn long(&self, name: &str) -> Result<i64, AccumulatorLookupError> {
        match self.value(name)? {
            AccumulatorValue::Long(v) | AccumulatorValue::LongMinimum(v) | AccumulatorValue::LongMaximum(v) => Ok(*v),
            other => Err(other.is_not(name, "LongCounter, LongMinimum or LongMaximum")),
        }
    }

    /// The value of a number: a `DoubleCounter`, or the mean of an average (`NaN` where nothing was added).
    ///
    /// # Errors
    /// There is none of that name, or it is of another kind.
    pub fn double(&self, name: &str) -> Result<f64, AccumulatorLookupError> {
        match self.value(name)? {
            AccumulatorValue::Double(v) => Ok(*v),
            #[allow(clippy::cast_precision_loss)] // a mean is not exact
            AccumulatorValue::Average { count, sum } => Ok(sum / *count as f64),
            other => Err(other.is_not(name, "DoubleCounter or AverageAccumulator")),
        }
    }

    /// How often each value was added to a histogram.
    ///
    /// # Errors
    /// There is none of that name, or it is of another kind.
    pub fn histogram(&self, name: &str) -> Result<&BTreeMap<i64, u64>, AccumulatorLookupError> {
        match self.value(name)? {
            AccumulatorValue::Histogram(counts) => Ok(counts),
            other => Err(other.is_not(name, "Histogram")),
        }
    }

    /// Merges the values of another subtask into these.
    ///
    /// # Errors
    /// Two subtasks use one name for two kinds.
    pub fn merge(&mut self, other: &Self) -> Result<(), AccumulatorError> {
        for (name, value) in &other.0 {
            match self.0.get_mut(name) {
                Some(mine) => mine.merge(value, name)?,
                None => {
                    self.0.insert(name.clone(), value.clone());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: AccumulatorValue) -> Accumulators {
        Accumulators([("a".to_owned(), value)].into())
    }

    #[test]
    fn values_of_a_kind_merge() {
        let mut a = of(AccumulatorValue::Long(2));
        a.merge(&of(AccumulatorValue::Long(3))).unwrap();
        assert_eq!(a.0["a"].to_string(), "5");
        let mut a = of(AccumulatorValue::Average { count: 1, sum: 1.0 });
        a.merge(&of(AccumulatorValue::Average { count: 1, sum: 2.0 })).unwrap();
        assert_eq!(a.0["a"].to_string(), "1.5");
    }

    #[test]
    fn values_are_read_by_name_and_kind() {
        let mut all = of(AccumulatorValue::Long(2));
        all.0.insert("mean".to_owned(), AccumulatorValue::Average { count: 2, sum: 3.0 });
        assert_eq!((all.long("a"), all.double("mean")), (Ok(2), Ok(1.5)));
        assert_eq!(
            all.double("a").unwrap_err().to_string(),
            "accumulator `a` is a LongCounter, not a DoubleCounter or AverageAccumulator"
        );
        assert_eq!(all.histogram("b").unwrap_err().to_string(), "there is no accumulator `b`; there are a, mean");
        assert_eq!(Accumulators::default().long("b").unwrap_err().to_string(), "there is no accumulator `b`");
    }

    #[test]
    fn kinds_do_not_mix() {
        let error = of(AccumulatorValue::Long(2)).merge(&of(AccumulatorValue::Double(3.0))).unwrap_err();
        assert!(error.to_string().contains("`a` is a LongCounter in one subtask and a DoubleCounter"), "{error}");
    }
}
