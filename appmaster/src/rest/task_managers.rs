use flink_protocol::overview::TaskManagerSummary;
use serde_json::{Map, Value, json};

/// `/taskmanagers`
pub(super) fn summaries(task_managers: &[TaskManagerSummary]) -> Value {
    let entries: Vec<Value> = task_managers.iter().map(|tm| Value::Object(summary(tm))).collect();
    json!({ "taskmanagers": entries })
}

/// `/taskmanagers/:taskmanagerid`
pub(super) fn details(task_manager: &TaskManagerSummary) -> Value {
    let mut shown = summary(task_manager);
    shown.insert("allocatedSlots".to_owned(), allocated_slots(task_manager));
    shown.insert("metrics".to_owned(), memory_metrics(task_manager));
    Value::Object(shown)
}

fn summary(task_manager: &TaskManagerSummary) -> Map<String, Value> {
    let tasks: u64 = task_manager.allocated.iter().map(|(_, tasks)| u64::from(*tasks)).sum();
    #[allow(clippy::cast_possible_truncation)] // a share of a processor has no place in Flink's field
    let cores = task_manager.hardware.cpu_cores as i64;
    let entries = [
        ("id", json!(task_manager.id)),
        ("path", json!(task_manager.address)),
        // Each worker has a data port of its own, and there is no JMX.
        ("dataPort", json!(-1)),
        ("jmxPort", json!(-1)),
        // In spite of its name Flink's field holds the time of the last heartbeat.
        ("timeSinceLastHeartbeat", json!(task_manager.last_heartbeat)),
        ("slotsNumber", json!(task_manager.slots)),
        ("freeSlots", json!(task_manager.free_slots)),
        ("assignedTasks", json!(tasks)),
        ("totalResource", resource(task_manager, task_manager.slots)),
        ("freeResource", resource(task_manager, task_manager.free_slots)),
        (
            "hardware",
            json!({
                "cpuCores": cores,
                "physicalMemory": task_manager.hardware.physical_memory,
                "freeMemory": task_manager.statistics.free_memory,
                "managedMemory": 0,
            }),
        ),
        ("memoryConfiguration", memory_configuration(task_manager)),
    ];
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The share of some slots in the TaskManager; memory in MiB. Its memory is one pool.
fn resource(task_manager: &TaskManagerSummary, slots: u32) -> Value {
    let all = task_manager.slots.max(1);
    let memory = task_manager.hardware.process_memory >> 20;
    json!({
        "cpuCores": task_manager.hardware.cpu_cores * f64::from(slots) / f64::from(all),
        "taskHeapMemory": memory * u64::from(slots) / u64::from(all),
        "taskOffHeapMemory": 0,
        "managedMemory": 0,
        "networkMemory": 0,
        "extendedResources": {},
    })
}

fn memory_configuration(task_manager: &TaskManagerSummary) -> Value {
    let memory = task_manager.hardware.process_memory;
    json!({
        "frameworkHeap": 0,
        "taskHeap": memory,
        "frameworkOffHeap": 0,
        "taskOffHeap": 0,
        "networkMemory": 0,
        "managedMemory": 0,
        "jvmMetaspace": 0,
        "jvmOverhead": 0,
        "totalFlinkMemory": memory,
        "totalProcessMemory": memory,
    })
}

fn allocated_slots(task_manager: &TaskManagerSummary) -> Value {
    let slot = |(job, tasks): &(flink_graph::JobId, u32)| json!({ "jobId": job, "resource": resource(task_manager, 1), "assignedTasks": tasks });
    task_manager.allocated.iter().map(slot).collect()
}

fn memory_metrics(task_manager: &TaskManagerSummary) -> Value {
    let used = resident(task_manager);
    json!({
        "heapUsed": used,
        "heapCommitted": used,
        "heapMax": task_manager.hardware.process_memory,
        "nonHeapUsed": 0,
        "nonHeapCommitted": 0,
        "nonHeapMax": 0,
        "directCount": 0,
        "directUsed": 0,
        "directMax": 0,
        "mappedCount": 0,
        "mappedUsed": 0,
        "mappedMax": 0,
        "nettyShuffleMemorySegmentsAvailable": 0,
        "nettyShuffleMemorySegmentsUsed": 0,
        "nettyShuffleMemorySegmentsTotal": 0,
        "nettyShuffleMemoryAvailable": 0,
        "nettyShuffleMemoryUsed": 0,
        "nettyShuffleMemoryTotal": 0,
        "garbageCollectors": [],
    })
}

/// Resident memory of the TaskManager with its workers.
pub(super) fn resident(task_manager: &TaskManagerSummary) -> u64 {
    let statistics = &task_manager.statistics;
    statistics.resident_bytes.saturating_add(statistics.workers_resident_bytes)
}
