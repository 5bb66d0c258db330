use flink_test_hadoop::{Cluster, Variant};

use crate::process::{Running, eventually, signal};
use crate::programs::program;
use crate::user::User;

#[test]
fn the_client_cancels_what_it_waits_for() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "interrupted");
    let words =
        ["run", "-t", "yarn-application", &program("keyed_count"), "--events", "1000000000000", "--rate", "1000"];
    let running: Running = user.spawn(&words);
    let mut application = String::new();
    eventually("a worker runs", || {
        let all = user.cluster.container_processes();
        let worker = all.iter().find(|process| process.command.contains("keyed_count --events"));
        if let Some(worker) = worker {
            let parts: Vec<&str> = worker.container.split('_').collect();
            application = format!("application_{}_{}", parts[parts.len() - 4], parts[parts.len() - 3]);
        }
        worker.is_some()
    });
    signal("INT", running.pid());
    running.wait().expect(130, &[]);
    user.end_of(&application);
    user.assert_tidy(&application);
}
