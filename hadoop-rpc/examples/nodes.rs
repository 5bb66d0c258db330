//! Lists the nodes and the queues of the cluster that HADOOP_CONF_DIR describes.

use std::process::ExitCode;
use std::time::Instant;

use hadoop_rpc::yarn::{ApplicationClient, NodeState, QueueInfo};
use hadoop_rpc::{Configuration, Credentials, User};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match list().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn list() -> Result<(), Box<dyn std::error::Error>> {
    let configuration = Configuration::load()?;
    let user = User::current(&configuration)?;
    let credentials = Credentials::from_environment()?.unwrap_or_default();
    let yarn = ApplicationClient::new(&configuration, &user, &credentials)?;

    let began = Instant::now();
    for node in yarn.nodes(&[NodeState::Running]).await? {
        println!("{:<24} {} of {} in {} containers", node.id.to_string(), node.used, node.capability, node.containers);
    }
    let first = began.elapsed();
    if let Some(root) = yarn.queue("root").await? {
        print(&root, 0);
    }
    println!("connected as {} and asked in {first:?}, asked again in {:?}", user.name(), began.elapsed() - first);
    Ok(())
}

fn print(queue: &QueueInfo, depth: usize) {
    let running = queue.statistics.applications_running;
    println!("{:depth$}{} {}, {:.0} %, {running} running", "", queue.name, queue.state, queue.current_capacity * 100.0);
    for child in &queue.children {
        print(child, depth + 2);
    }
}
