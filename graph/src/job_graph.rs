use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::configuration::Configuration;
use crate::fingerprint::Fingerprint;
use crate::id::{IntermediateDataSetId, JobId, JobVertexId};

/// How a job treats its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RuntimeMode {
    /// Results are updated as records come.
    Streaming,
    /// Inputs end; a keyed aggregate gives one result a key, at the end.
    Batch,
    /// BATCH when all sources are bounded, else STREAMING.
    Automatic,
}

impl fmt::Display for RuntimeMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Streaming => "STREAMING",
            Self::Batch => "BATCH",
            Self::Automatic => "AUTOMATIC",
        })
    }
}

impl FromStr for RuntimeMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_uppercase().as_str() {
            "STREAMING" => Ok(Self::Streaming),
            "BATCH" => Ok(Self::Batch),
            "AUTOMATIC" => Ok(Self::Automatic),
            _ => Err(format!("`{text}` is not a runtime mode: use STREAMING, BATCH or AUTOMATIC")),
        }
    }
}

/// How a data set is handed from its producers to its consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ResultPartitionType {
    /// Consumed while it is produced, with bounded buffers in between.
    Pipelined,
    /// Written to local disk in full, then consumed; it can be read again after a failure of the consumer alone.
    Blocking,
}

/// Which producers a consumer subtask reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DistributionPattern {
    /// Every consumer from every producer.
    AllToAll,
    /// Each consumer from its share of the producers (or the other way round), as forward and rescale do.
    Pointwise,
}

/// How records choose their consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ShipStrategy {
    /// To the subtask of the same index.
    Forward,
    /// By the key's hash.
    Hash,
    /// In turn to all consumers.
    Rebalance,
    /// In turn to the consumers of this producer's share.
    Rescale,
    /// To a consumer chosen at random.
    Shuffle,
    /// To all consumers.
    Broadcast,
    /// To the first consumer.
    Global,
    /// By a function of the user's.
    Custom,
}

impl ShipStrategy {
    /// Which producers a consumer reads from under this strategy.
    #[must_use]
    pub fn pattern(self) -> DistributionPattern {
        match self {
            Self::Forward | Self::Rescale => DistributionPattern::Pointwise,
            _ => DistributionPattern::AllToAll,
        }
    }
}

impl fmt::Display for ShipStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "FORWARD",
            Self::Hash => "HASH",
            Self::Rebalance => "REBALANCE",
            Self::Rescale => "RESCALE",
            Self::Shuffle => "SHUFFLE",
            Self::Broadcast => "BROADCAST",
            Self::Global => "GLOBAL",
            Self::Custom => "CUSTOM",
        })
    }
}

/// One operator of a vertex, as the user sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorInfo {
    /// The name, from the user or the kind of operator.
    pub name: String,
    /// The user's `uid`, if given.
    pub uid: Option<String>,
    /// Names of the operators in this vertex that hand their records to this one directly; empty at the head.
    pub chained_to: Vec<String>,
}

/// A piece of a source's input that one reader reads alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSplit {
    /// Number of the split within its vertex, from 0.
    pub number: u32,
    /// What the source's reader needs to read it, in the source's own encoding.
    #[serde(with = "serde_bytes")]
    pub descriptor: Vec<u8>,
    /// What it is, for people: `hdfs://…/part-0 [0, 67108864)`.
    pub description: String,
    /// Hosts that hold the data; empty when it is not known or does not matter.
    pub hosts: Vec<String>,
    /// Bytes, when known; larger splits are handed out first.
    pub length: u64,
}

/// One input of a vertex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEdge {
    /// The data set that is read.
    pub source: IntermediateDataSetId,
    /// How its records choose their consumer.
    pub ship_strategy: ShipStrategy,
}

/// What a vertex produces for one or more consumers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntermediateDataSet {
    /// Its name.
    pub id: IntermediateDataSetId,
    /// How it is handed on.
    pub result_type: ResultPartitionType,
    /// The type of its records.
    pub record_type: String,
}

/// Operators that run as one task: chained, with one parallelism.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobVertex {
    /// Its identity over runs of the program.
    pub id: JobVertexId,
    /// The names of its operators, joined as Flink does: `Source: lines -> Map`.
    pub name: String,
    /// Its operators, head first.
    pub operators: Vec<OperatorInfo>,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// Vertices of one group share slots.
    pub slot_sharing_group: String,
    /// Whether user code in it blocks: its subtasks then have threads of their own.
    #[serde(default)]
    pub blocking: bool,
    /// What it reads, in the order of its inputs.
    pub inputs: Vec<JobEdge>,
    /// What it produces.
    pub outputs: Vec<IntermediateDataSet>,
    /// The input splits of a source; `None` for a vertex without input splits.
    pub input_splits: Option<Vec<InputSplit>>,
}

/// A file that the job needs on every TaskManager.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Artifact {
    /// File name, without folders.
    pub name: String,
    /// SHA-256 of the content, in hexadecimal: the address under which it is stored.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
}

/// A program, ready to be scheduled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobGraph {
    /// The job's identity, new at each submission.
    pub job_id: JobId,
    /// The job's name.
    pub name: String,
    /// STREAMING or BATCH, never AUTOMATIC.
    pub mode: RuntimeMode,
    /// Configuration of the job: what the program and the client set.
    pub configuration: Configuration,
    /// The vertices, each after those it reads from.
    pub vertices: Vec<JobVertex>,
    /// What a worker's own graph must equal.
    pub fingerprint: Fingerprint,
    /// Arguments of the program, without its own name.
    pub arguments: Vec<String>,
    /// Which of the program's actions (`execute`, `execute_and_collect`) this is, from 0.
    pub action: u32,
    /// Results of the actions before this one, as the program saw them: replayed to the workers.
    #[serde(with = "crate::byte_strings")]
    pub earlier_results: Vec<Vec<u8>>,
    /// The program itself; `None` in local mode, where workers run in the process of the program.
    pub program: Option<Artifact>,
}

/// Largest number of key groups of a vertex, as in Flink: each subtask in front of a keyed shuffle has a table of them.
pub const MAX_PARALLELISM: u32 = 1 << 15;

/// A JobGraph is not one that can be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// There is nothing to run.
    #[error("the job has no operators: add a source and a sink before calling execute")]
    Empty,
    /// Two vertices have one id.
    #[error("vertices `{first}` and `{second}` have the same id; give each operator a uid of its own")]
    DuplicateVertex {
        /// Name of the one.
        first: String,
        /// Name of the other.
        second: String,
    },
    /// A vertex reads what no earlier vertex produces.
    #[error("vertex `{vertex}` reads data set {data_set}, which no vertex before it produces")]
    UnknownDataSet {
        /// Name of the reader.
        vertex: String,
        /// What it wants to read.
        data_set: IntermediateDataSetId,
    },
    /// Parallelism out of its bounds.
    #[error(
        "`{vertex}` has parallelism {parallelism}; it must be from 1 to its max parallelism {max_parallelism}. To have \
         more, raise pipeline.max-parallelism (-D) or call set_max_parallelism"
    )]
    Parallelism {
        /// Name of the vertex.
        vertex: String,
        /// What was asked for.
        parallelism: u32,
        /// What is possible.
        max_parallelism: u32,
    },
    /// Too many key groups.
    #[error("`{vertex}` has max parallelism {max_parallelism}; it may be at most {MAX_PARALLELISM}")]
    MaxParallelism {
        /// Name of the vertex.
        vertex: String,
        /// What was asked for.
        max_parallelism: u32,
    },
    /// A forward edge between different parallelisms.
    #[error(
        "`{producer}` (parallelism {from}) forwards to `{consumer}` (parallelism {to}): use rebalance or rescale, \
         or give both the same parallelism"
    )]
    Forward {
        /// Name of the producer.
        producer: String,
        /// Its parallelism.
        from: u32,
        /// Name of the consumer.
        consumer: String,
        /// Its parallelism.
        to: u32,
    },
}

impl JobGraph {
    /// The vertex with this id.
    #[must_use]
    pub fn vertex(&self, id: JobVertexId) -> Option<&JobVertex> {
        self.vertices.iter().find(|vertex| vertex.id == id)
    }

    /// The data set with this id.
    #[must_use]
    pub fn data_set(&self, id: IntermediateDataSetId) -> Option<&IntermediateDataSet> {
        self.vertex(id.producer)?.outputs.get(id.index as usize)
    }

    /// The vertices that read a data set, each with the index of the input.
    pub fn consumers(&self, id: IntermediateDataSetId) -> impl Iterator<Item = (&JobVertex, usize)> {
        self.vertices.iter().flat_map(move |vertex| {
            let inputs = vertex.inputs.iter().enumerate();
            inputs.filter(move |(_, edge)| edge.source == id).map(move |(index, _)| (vertex, index))
        })
    }

    /// Slots that must be free at once to run the whole graph: the widest vertex of each slot sharing group.
    #[must_use]
    pub fn required_slots(&self) -> u32 {
        let mut widest: BTreeMap<&str, u32> = BTreeMap::new();
        for vertex in &self.vertices {
            let group = widest.entry(vertex.slot_sharing_group.as_str()).or_default();
            *group = (*group).max(vertex.parallelism);
        }
        widest.values().sum()
    }

    /// Checks what the scheduler relies on.
    ///
    /// # Errors
    /// The first thing found wrong, in the user's words.
    pub fn validate(&self) -> Result<(), GraphError> {
        if self.vertices.is_empty() {
            return Err(GraphError::Empty);
        }
        let mut seen = BTreeSet::new();
        let mut produced = BTreeMap::new();
        for vertex in &self.vertices {
            if !seen.insert(vertex.id) {
                let first = self.vertex(vertex.id).map(|v| v.name.clone()).unwrap_or_default();
                return Err(GraphError::DuplicateVertex { first, second: vertex.name.clone() });
            }
            if vertex.max_parallelism > MAX_PARALLELISM {
                return Err(GraphError::MaxParallelism {
                    vertex: vertex.name.clone(),
                    max_parallelism: vertex.max_parallelism,
                });
            }
            if vertex.parallelism == 0 || vertex.parallelism > vertex.max_parallelism {
                return Err(GraphError::Parallelism {
                    vertex: vertex.name.clone(),
                    parallelism: vertex.parallelism,
                    max_parallelism: vertex.max_parallelism,
                });
            }
            for edge in &vertex.inputs {
                let producer: &&JobVertex = produced
                    .get(&edge.source)
                    .ok_or_else(|| GraphError::UnknownDataSet { vertex: vertex.name.clone(), data_set: edge.source })?;
                if edge.ship_strategy == ShipStrategy::Forward && producer.parallelism != vertex.parallelism {
                    return Err(GraphError::Forward {
                        producer: producer.name.clone(),
                        from: producer.parallelism,
                        consumer: vertex.name.clone(),
                        to: vertex.parallelism,
                    });
                }
            }
            produced.extend(vertex.outputs.iter().map(|output| (output.id, vertex)));
        }
        Ok(())
    }
}

/// The producers that consumer `subtask` of `consumers` reads from.
///
/// Pointwise shares are contiguous and as even as possible, as in Flink's `EdgeManagerBuildUtil`.
#[must_use]
pub fn producers_of(pattern: DistributionPattern, producers: u32, consumers: u32, subtask: u32) -> Vec<u32> {
    match pattern {
        DistributionPattern::AllToAll => (0..producers).collect(),
        DistributionPattern::Pointwise if producers >= consumers => {
            let bound = |s: u32| scaled(s, producers, consumers);
            (bound(subtask)..bound(subtask + 1)).collect()
        }
        DistributionPattern::Pointwise => {
            (0..producers).filter(|p| consumers_of(pattern, producers, consumers, *p).contains(&subtask)).collect()
        }
    }
}

/// The consumers that producer `subtask` of `producers` writes to; one subpartition for each, in this order.
#[must_use]
pub fn consumers_of(pattern: DistributionPattern, producers: u32, consumers: u32, subtask: u32) -> Vec<u32> {
    match pattern {
        DistributionPattern::AllToAll => (0..consumers).collect(),
        DistributionPattern::Pointwise if consumers >= producers => {
            let bound = |s: u32| scaled(s, consumers, producers);
            (bound(subtask)..bound(subtask + 1)).collect()
        }
        DistributionPattern::Pointwise => {
            (0..consumers).filter(|c| producers_of(pattern, producers, consumers, *c).contains(&subtask)).collect()
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // the quotient is at most `many`
fn scaled(index: u32, many: u32, few: u32) -> u32 {
    (u64::from(index) * u64::from(many)).div_ceil(u64::from(few.max(1))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointwise_shares_cover_each_side_once() {
        for (producers, consumers) in [(1, 1), (4, 2), (2, 4), (3, 2), (2, 3), (5, 3), (3, 7), (128, 5)] {
            let pattern = DistributionPattern::Pointwise;
            let mut pairs = BTreeSet::new();
            for consumer in 0..consumers {
                let share = producers_of(pattern, producers, consumers, consumer);
                assert!(!share.is_empty(), "{producers}->{consumers}: {consumer} reads nothing");
                pairs.extend(share.into_iter().map(|producer| (producer, consumer)));
            }
            let mut seen = BTreeSet::new();
            for producer in 0..producers {
                let share = consumers_of(pattern, producers, consumers, producer);
                assert!(!share.is_empty(), "{producers}->{consumers}: {producer} writes nowhere");
                seen.extend(share.into_iter().map(|consumer| (producer, consumer)));
            }
            assert_eq!(pairs, seen);
            assert_eq!(pairs.len() as u32, producers.max(consumers));
        }
    }
}
