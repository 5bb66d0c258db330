//! Runs a command in a container of the cluster that HADOOP_CONF_DIR describes, and shows what it has written. On a cluster
//! without Kerberos: elsewhere an application needs tokens for HDFS.

use std::process::ExitCode;
use std::time::Duration;

use hadoop_rpc::yarn::{
    ApplicationClient, ApplicationId, ApplicationSubmission, ContainerId, ContainerLaunchContext, NodeLogs, Resource,
};
use hadoop_rpc::{Configuration, Credentials, User};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    match run(&command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: &str) -> Outcome<()> {
    let configuration = Configuration::load()?;
    let user = User::current(&configuration)?;
    let credentials = Credentials::from_environment()?.unwrap_or_default();
    let yarn = ApplicationClient::new(&configuration, &user, &credentials)?;

    // The command is followed by a pause: a node shows the logs of an application as long as that has not ended.
    let script = format!("{{ {command}; }} ><LOG_DIR>/out 2>&1; touch <LOG_DIR>/done; sleep 600");
    let id = yarn.new_application().await?.id;
    let master = ContainerLaunchContext { commands: vec![script], ..ContainerLaunchContext::default() };
    yarn.submit(ApplicationSubmission::new(id, command, master, Resource::new(128, 1))).await?;
    eprintln!("submitted {id}");

    let shown = show(&yarn, &user, id).await;
    while !yarn.kill(id, None).await? {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    shown
}

async fn show(yarn: &ApplicationClient, user: &User, id: ApplicationId) -> Outcome<()> {
    let (container, logs) = loop {
        if let Some(found) = place(yarn, user, id).await? {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    while !logs.list(container).await?.iter().any(|log| log.name == "done") {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut content = logs.read(container, "out", None).await?;
    while let Some(piece) = content.next().await? {
        print!("{}", String::from_utf8_lossy(&piece));
    }
    Ok(())
}

/// The container of the first attempt, and its node, once it has one.
async fn place(yarn: &ApplicationClient, user: &User, id: ApplicationId) -> Outcome<Option<(ContainerId, NodeLogs)>> {
    let report = yarn.report(id).await?;
    if report.state.is_terminal() {
        return Err(format!("the application has ended: {} {}", report.state, report.diagnostics).into());
    }
    let Some(container) = yarn.containers(id.attempt(1)).await?.into_iter().next() else { return Ok(None) };
    let nodes = yarn.nodes(&[]).await?;
    let node = nodes.into_iter().find(|node| node.id == container.node);
    Ok(node.map(|node| (container.id, NodeLogs::new(node.http_address, user.clone()))))
}
