use std::io;

use flink_graph::PortRange;
use tokio::net::TcpListener;

/// Takes the first free port of a range.
pub(crate) async fn listen_on(host: &str, ports: &PortRange) -> io::Result<TcpListener> {
    let mut failure = io::ErrorKind::AddrInUse.into();
    for port in ports.ports() {
        match TcpListener::bind((host, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => failure = error,
            Err(error) => return Err(error),
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_passed_over() {
        let first = listen_on("127.0.0.1", &PortRange::default()).await.unwrap();
        let taken = PortRange::from(first.local_addr().unwrap().port());
        assert_eq!(listen_on("127.0.0.1", &taken).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let other = listen_on("127.0.0.1", &PortRange::default()).await.unwrap();
        let free = other.local_addr().unwrap().port();
        drop(other);
        let mut configuration = flink_graph::Configuration::default();
        configuration.set("rest.bind-port", format!("{taken},{free}"));
        let range = configuration.get(&flink_graph::options::REST_BIND_PORT).unwrap().unwrap();
        assert_eq!(listen_on("127.0.0.1", &range).await.unwrap().local_addr().unwrap().port(), free);
    }
}
