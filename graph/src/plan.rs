use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use crate::id::{JobId, JobVertexId};
use crate::job_graph::{JobEdge, JobGraph, JobVertex, OperatorInfo, ResultPartitionType, RuntimeMode};

/// Deepest operator that is still indented by one more step: a chain of thousands must not cost its square in spaces.
const DEEPEST_INDENT: usize = 64;

/// A JobGraph in the shape of Flink's `/jobs/:jobid/plan`, for the caller to serialise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JsonPlan {
    /// The job.
    pub jid: JobId,
    /// Its name.
    pub name: String,
    /// STREAMING or BATCH.
    #[serde(rename = "type")]
    pub mode: RuntimeMode,
    /// The vertices, each before those it reads from, as Flink lists them.
    pub nodes: Vec<PlanNode>,
}

/// A vertex of a [`JsonPlan`]. Fields that Flink keeps from its old batch optimizer are there and empty, as in Flink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanNode {
    /// The vertex.
    pub id: JobVertexId,
    /// Empty.
    pub operator: &'static str,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Empty.
    pub operator_strategy: &'static str,
    /// The operators as a tree; HTML, with line breaks as `<br/>`.
    pub description: String,
    /// Empty.
    pub optimizer_properties: BTreeMap<String, String>,
    /// What the vertex reads; left out for a source.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<PlanInput>,
}

/// An input of a [`PlanNode`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanInput {
    /// The vertex that is read from.
    pub id: JobVertexId,
    /// Index of the input.
    pub num: usize,
    /// How the data set is handed on: see [`exchange_name`].
    pub exchange: String,
    /// How records choose their consumer.
    pub ship_strategy: String,
}

impl JsonPlan {
    /// The plan of a graph.
    #[must_use]
    pub fn new(graph: &JobGraph) -> Self {
        let nodes = graph.vertices.iter().rev().map(|vertex| PlanNode::of(graph, vertex)).collect();
        Self { jid: graph.job_id, name: graph.name.clone(), mode: graph.mode, nodes }
    }
}

impl PlanNode {
    /// A vertex.
    #[must_use]
    pub fn new(id: JobVertexId, parallelism: u32, operators: &[OperatorInfo], inputs: Vec<PlanInput>) -> Self {
        Self {
            id,
            operator: "",
            parallelism,
            operator_strategy: "",
            description: html(&operator_tree(operators)),
            optimizer_properties: BTreeMap::new(),
            inputs,
        }
    }

    fn of(graph: &JobGraph, vertex: &JobVertex) -> Self {
        let inputs = vertex.inputs.iter().enumerate().map(|(num, edge)| PlanInput {
            id: edge.source.producer,
            num,
            exchange: exchange_name(result_type(graph, edge)).to_owned(),
            ship_strategy: edge.ship_strategy.to_string(),
        });
        Self::new(vertex.id, vertex.parallelism, &vertex.operators, inputs.collect())
    }
}

/// How a data set is handed on, in the words of Flink's REST API.
#[must_use]
pub fn exchange_name(result_type: ResultPartitionType) -> &'static str {
    match result_type {
        ResultPartitionType::Pipelined => "pipelined_bounded",
        ResultPartitionType::Blocking => "blocking",
    }
}

/// The graph for people: what `flink-yarn info` prints.
#[must_use]
pub fn text(graph: &JobGraph) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "Job:      {} ({})", one_line(&graph.name), graph.mode);
    let _ = writeln!(out, "Vertices: {}", graph.vertices.len());
    let _ = writeln!(out, "Slots:    {} needed{}", graph.required_slots(), slot_groups(graph));
    let numbers: BTreeMap<JobVertexId, usize> = (1..).zip(&graph.vertices).map(|(n, v)| (v.id, n)).collect();
    for (number, vertex) in (1..).zip(&graph.vertices) {
        vertex_text(&mut out, graph, &numbers, number, vertex);
    }
    out
}

/// The graph for Graphviz: one box a vertex, dashed edges for blocking data sets.
#[must_use]
pub fn dot(graph: &JobGraph) -> String {
    let mut out = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n", quoted(&graph.name));
    for vertex in &graph.vertices {
        let label = format!("{}\nparallelism {}{}", vertex.name, vertex.parallelism, dot_details(vertex));
        let _ = writeln!(out, "  \"{}\" [label={}];", vertex.id, quoted(&label));
    }
    for vertex in &graph.vertices {
        for edge in &vertex.inputs {
            let style = match result_type(graph, edge) {
                ResultPartitionType::Pipelined => "",
                ResultPartitionType::Blocking => ", style=dashed",
            };
            let (producer, label) = (edge.source.producer, edge.ship_strategy);
            let _ = writeln!(out, "  \"{producer}\" -> \"{}\" [label=\"{label}\"{style}];", vertex.id);
        }
    }
    out.push_str("}\n");
    out
}

fn result_type(graph: &JobGraph, edge: &JobEdge) -> ResultPartitionType {
    // A graph that was not validated may lack the data set; how it would be handed on is then the usual way.
    graph.data_set(edge.source).map_or(ResultPartitionType::Pipelined, |data_set| data_set.result_type)
}

fn vertex_text(
    out: &mut String,
    graph: &JobGraph,
    numbers: &BTreeMap<JobVertexId, usize>,
    number: usize,
    vertex: &JobVertex,
) {
    let _ = writeln!(out, "\n[{number}] {}", one_line(&vertex.name));
    let _ = writeln!(out, "    id           {}", vertex.id);
    let _ = writeln!(out, "    parallelism  {} (max {})", vertex.parallelism, vertex.max_parallelism);
    let _ = writeln!(out, "    slot group   {}", one_line(&vertex.slot_sharing_group));
    if let Some(splits) = splits_text(vertex) {
        let _ = writeln!(out, "    splits       {splits}");
    }
    for (label, line) in labelled("operators", operator_tree(&vertex.operators).lines()) {
        let _ = writeln!(out, "    {label:<12} {line}");
    }
    let inputs: Vec<String> = vertex.inputs.iter().map(|edge| input_text(graph, numbers, edge)).collect();
    for (label, line) in labelled("inputs", inputs.iter().map(String::as_str)) {
        let _ = writeln!(out, "    {label:<12} {line}");
    }
}

/// The label stands on the first line only.
fn labelled<'a>(label: &'a str, lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = (&'a str, &'a str)> {
    std::iter::once(label).chain(std::iter::repeat("")).zip(lines)
}

fn input_text(graph: &JobGraph, numbers: &BTreeMap<JobVertexId, usize>, edge: &JobEdge) -> String {
    let number = numbers.get(&edge.source.producer).map_or_else(|| "?".to_owned(), ToString::to_string);
    let handed_on = match result_type(graph, edge) {
        ResultPartitionType::Pipelined => "pipelined",
        ResultPartitionType::Blocking => "blocking",
    };
    let records = graph.data_set(edge.source).map(|set| format!(", {}", one_line(&set.record_type)));
    format!("[{number}] {}, {handed_on}{}", edge.ship_strategy, records.unwrap_or_default())
}

fn splits_text(vertex: &JobVertex) -> Option<String> {
    let splits = vertex.input_splits.as_ref()?;
    let bytes = splits.iter().fold(0_u64, |sum, split| sum.saturating_add(split.length));
    let hosts: BTreeSet<&str> = splits.iter().flat_map(|split| split.hosts.iter().map(String::as_str)).collect();
    let size = if bytes == 0 { String::new() } else { format!(", {}", readable(bytes)) };
    let on = match hosts.len() {
        0 => String::new(),
        1 => ", on 1 host".to_owned(),
        hosts => format!(", on {hosts} hosts"),
    };
    Some(format!("{}{size}{on}", splits.len()))
}

/// Says how the slots come together when there is more than one group: ` (default 4, big 2)`.
fn slot_groups(graph: &JobGraph) -> String {
    let mut widest: BTreeMap<&str, u32> = BTreeMap::new();
    for vertex in &graph.vertices {
        let slots = widest.entry(&vertex.slot_sharing_group).or_default();
        *slots = vertex.parallelism.max(*slots);
    }
    if widest.len() < 2 {
        return String::new();
    }
    let groups: Vec<String> = widest.iter().map(|(group, slots)| format!("{} {slots}", one_line(group))).collect();
    format!(" (by slot group: {})", groups.join(", "))
}

fn dot_details(vertex: &JobVertex) -> String {
    let splits = vertex.input_splits.as_ref().map(|splits| format!("\nsplits {}", splits.len()));
    let group = (vertex.slot_sharing_group != "default").then(|| format!("\nslot group {}", vertex.slot_sharing_group));
    format!("{}{}", splits.unwrap_or_default(), group.unwrap_or_default())
}

/// The operators of a vertex as a tree, one a line:
///
/// ```text
/// Source: lines
/// :- Filter
/// :  +- Sink: errors
/// +- Map
/// ```
#[must_use]
pub fn operator_tree(operators: &[OperatorInfo]) -> String {
    let children = children(operators);
    let mut out = String::new();
    let mut open: Vec<(usize, String, String)> = Vec::new();
    for root in children.get(&None).into_iter().flatten().rev() {
        open.push((*root, String::new(), String::new()));
    }
    // A stack of our own: a chain may be longer than the thread's stack is deep.
    while let Some((index, own, below)) = open.pop() {
        let name = operators.get(index).map_or("", |operator| &operator.name);
        let _ = writeln!(out, "{own}{}", one_line(name));
        let mut last = true;
        for child in children.get(&Some(index)).into_iter().flatten().rev() {
            let (mark, under) = if last { ("+- ", "   ") } else { (":- ", ":  ") };
            let deeper = below.len() < DEEPEST_INDENT * under.len();
            let next = if deeper { format!("{below}{under}") } else { below.clone() };
            open.push((*child, format!("{below}{mark}"), next));
            last = false;
        }
    }
    out
}

/// Operators by the one that hands them their records; `None` for heads. Names need not be unique in a chain: the
/// nearest earlier operator of that name is meant.
fn children(operators: &[OperatorInfo]) -> BTreeMap<Option<usize>, Vec<usize>> {
    let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
    let mut children: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for (index, operator) in operators.iter().enumerate() {
        let parent = operator.chained_to.iter().find_map(|name| latest.get(name.as_str()).copied());
        children.entry(parent).or_default().push(index);
        latest.insert(&operator.name, index);
    }
    children
}

/// A number of bytes with one decimal of the unit below which it is not worth reading.
#[allow(clippy::cast_precision_loss)]
fn readable(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..0x10_0000 => format!("{:.1} kb", bytes as f64 / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.1} mb", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} gb", bytes as f64 / f64::from(1 << 30)),
    }
}

/// Names are the user's: control characters could rewrite what a terminal shows.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\\' => out.push_str("&#92;"),
            '\n' => out.push_str("<br/>"),
            c => out.push(c),
        }
    }
    out
}

/// A quoted string of the dot language. A backslash would start an escape of Graphviz's (`\N` is the node's name).
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Configuration;
    use crate::fingerprint::Fingerprint;
    use crate::id::IntermediateDataSetId;
    use crate::job_graph::{InputSplit, IntermediateDataSet, ShipStrategy};

    fn operators(chain: &[(&str, &[&str])]) -> Vec<OperatorInfo> {
        let operator = |(name, chained_to): &(&str, &[&str])| OperatorInfo {
            name: (*name).to_owned(),
            uid: None,
            chained_to: chained_to.iter().map(|name| (*name).to_owned()).collect(),
        };
        chain.iter().map(operator).collect()
    }

    fn vertex(id: u128, name: &str, parallelism: u32, chain: &[(&str, &[&str])]) -> JobVertex {
        JobVertex {
            id: JobVertexId::from_u128(id),
            name: name.to_owned(),
            operators: operators(chain),
            parallelism,
            max_parallelism: 128,
            slot_sharing_group: "default".to_owned(),
            blocking: false,
            inputs: vec![],
            outputs: vec![],
            input_splits: None,
        }
    }

    fn data_set(producer: u128, result_type: ResultPartitionType, record_type: &str) -> IntermediateDataSet {
        let id = IntermediateDataSetId { producer: JobVertexId::from_u128(producer), index: 0 };
        IntermediateDataSet { id, result_type, record_type: record_type.to_owned() }
    }

    fn edge(producer: u128, ship_strategy: ShipStrategy) -> JobEdge {
        let source = IntermediateDataSetId { producer: JobVertexId::from_u128(producer), index: 0 };
        JobEdge { source, ship_strategy }
    }

    fn split(number: u32, host: &str) -> InputSplit {
        let hosts = vec![host.to_owned()];
        InputSplit { number, descriptor: vec![], description: String::new(), hosts, length: 32 << 20 }
    }

    fn word_count() -> JobGraph {
        let mut source =
            vertex(1, "Source: lines -> Tokens", 4, &[("Source: lines", &[]), ("Tokens", &["Source: lines"])]);
        source.input_splits = Some(vec![split(0, "a"), split(1, "b"), split(2, "a")]);
        source.outputs = vec![data_set(1, ResultPartitionType::Pipelined, "(String, u64)")];
        let mut count = vertex(2, "Count", 3, &[("Count", &[])]);
        count.inputs = vec![edge(1, ShipStrategy::Hash)];
        count.outputs = vec![data_set(2, ResultPartitionType::Blocking, "(String, u64)")];
        let mut sink = vertex(3, "Sink: \"C:\\out\" <1>", 1, &[("Sink: \"C:\\out\" <1>", &[])]);
        sink.slot_sharing_group = "output".to_owned();
        sink.inputs = vec![edge(2, ShipStrategy::Rebalance)];
        JobGraph {
            job_id: JobId::from_u128(0xa3),
            name: "word count".to_owned(),
            mode: RuntimeMode::Batch,
            configuration: Configuration::default(),
            vertices: vec![source, count, sink],
            fingerprint: Fingerprint::default(),
            arguments: vec![],
            action: 0,
            earlier_results: vec![],
            program: None,
        }
    }

    #[test]
    fn text_shows_what_runs_where() {
        let expected = r#"Job:      word count (BATCH)
Vertices: 3
Slots:    5 needed (by slot group: default 4, output 1)

[1] Source: lines -> Tokens
    id           00000000000000000000000000000001
    parallelism  4 (max 128)
    slot group   default
    splits       3, 96.0 mb, on 2 hosts
    operators    Source: lines
                 +- Tokens

[2] Count
    id           00000000000000000000000000000002
    parallelism  3 (max 128)
    slot group   default
    operators    Count
    inputs       [1] HASH, pipelined, (String, u64)

[3] Sink: "C:\out" <1>
    id           00000000000000000000000000000003
    parallelism  1 (max 128)
    slot group   output
    operators    Sink: "C:\out" <1>
    inputs       [2] REBALANCE, blocking, (String, u64)
"#;
        let shown = text(&word_count());
        assert_eq!(shown, expected, "got:\n{shown}");
    }

    #[test]
    fn json_has_the_shape_of_flink() {
        let expected = serde_json::json!({
            "jid": "000000000000000000000000000000a3",
            "name": "word count",
            "type": "BATCH",
            "nodes": [
                {
                    "id": "00000000000000000000000000000003", "operator": "", "parallelism": 1,
                    "operator_strategy": "",
                    "description": "Sink: &quot;C:&#92;out&quot; &lt;1&gt;<br/>",
                    "optimizer_properties": {},
                    "inputs": [{
                        "id": "00000000000000000000000000000002", "num": 0, "exchange": "blocking",
                        "ship_strategy": "REBALANCE"
                    }]
                },
                {
                    "id": "00000000000000000000000000000002", "operator": "", "parallelism": 3,
                    "operator_strategy": "", "description": "Count<br/>", "optimizer_properties": {},
                    "inputs": [{
                        "id": "00000000000000000000000000000001", "num": 0, "exchange": "pipelined_bounded",
                        "ship_strategy": "HASH"
                    }]
                },
                {
                    "id": "00000000000000000000000000000001", "operator": "", "parallelism": 4,
                    "operator_strategy": "", "description": "Source: lines<br/>+- Tokens<br/>",
                    "optimizer_properties": {}
                }
            ]
        });
        assert_eq!(serde_json::to_value(JsonPlan::new(&word_count())).unwrap(), expected);
    }

    #[test]
    fn dot_escapes_labels() {
        let expected = r#"digraph "word count" {
  rankdir=LR;
  node [shape=box];
  "00000000000000000000000000000001" [label="Source: lines -> Tokens\nparallelism 4\nsplits 3"];
  "00000000000000000000000000000002" [label="Count\nparallelism 3"];
  "00000000000000000000000000000003" [label="Sink: \"C:\\out\" <1>\nparallelism 1\nslot group output"];
  "00000000000000000000000000000001" -> "00000000000000000000000000000002" [label="HASH"];
  "00000000000000000000000000000002" -> "00000000000000000000000000000003" [label="REBALANCE", style=dashed];
}
"#;
        let shown = dot(&word_count());
        assert_eq!(shown, expected, "got:\n{shown}");
    }

    #[test]
    fn branches_are_drawn_as_in_flink() {
        let check = |chain: &[(&str, &[&str])], expected: &str| {
            assert_eq!(operator_tree(&operators(chain)), expected);
        };
        check(&[], "");
        check(&[("A", &[]), ("B", &["A"]), ("C", &["B"]), ("D", &["A"])], "A\n:- B\n:  +- C\n+- D\n");
        // One name several times: a chain, not a star.
        check(&[("Map", &[]), ("Map", &["Map"]), ("Map", &["Map"])], "Map\n+- Map\n   +- Map\n");
        // A parent that is not there does not hide the operator.
        check(&[("A", &[]), ("B", &["?"])], "A\nB\n");
        check(&[("A\u{1b}[2J\n", &[])], "A [2J \n");
    }

    #[test]
    fn a_very_long_chain_stays_small() {
        let chain: Vec<(&str, &[&str])> = (0..10_000).map(|_| ("Map", ["Map"].as_slice())).collect();
        let tree = operator_tree(&operators(&chain));
        assert_eq!(tree.lines().count(), 10_000);
        assert!(tree.len() < 3_000_000, "{} bytes", tree.len());
    }
}
