use std::fmt;
use std::str::FromStr;

use crate::proto::yarn::{ApplicationAttemptIdProto, ApplicationIdProto, ContainerIdProto, NodeIdProto};

/// A text is not an id as Hadoop prints it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct InvalidId {
    text: String,
    expected: &'static str,
}

/// An application: `application_1700000000000_0001`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationId {
    /// When the ResourceManager that gave the id was started, in milliseconds since 1970.
    pub cluster_timestamp: i64,
    /// Its number since then.
    pub id: i32,
}

impl ApplicationId {
    /// One of its attempts; the first is 1.
    #[must_use]
    pub fn attempt(self, attempt: i32) -> ApplicationAttemptId {
        ApplicationAttemptId { application: self, attempt }
    }
}

impl fmt::Display for ApplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "application_{}_{:04}", self.cluster_timestamp, self.id)
    }
}

impl FromStr for ApplicationId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let expected = "an application id: application_<time stamp>_<number>";
        let invalid = || InvalidId { text: text.to_owned(), expected };
        let [timestamp, id] = parts(text, "application_").ok_or_else(invalid)?;
        Ok(Self { cluster_timestamp: number(timestamp).ok_or_else(invalid)?, id: number(id).ok_or_else(invalid)? })
    }
}

/// An attempt to run an application: `appattempt_1700000000000_0001_000001`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationAttemptId {
    /// The application.
    pub application: ApplicationId,
    /// The number of the attempt; the first is 1.
    pub attempt: i32,
}

impl fmt::Display for ApplicationAttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ApplicationId { cluster_timestamp, id } = self.application;
        write!(f, "appattempt_{cluster_timestamp}_{id:04}_{:06}", self.attempt)
    }
}

impl FromStr for ApplicationAttemptId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let expected = "an attempt's id: appattempt_<time stamp>_<application>_<attempt>";
        let invalid = || InvalidId { text: text.to_owned(), expected };
        let [timestamp, id, attempt] = parts(text, "appattempt_").ok_or_else(invalid)?;
        let cluster_timestamp = number(timestamp).ok_or_else(invalid)?;
        let application = ApplicationId { cluster_timestamp, id: number(id).ok_or_else(invalid)? };
        Ok(application.attempt(number(attempt).ok_or_else(invalid)?))
    }
}

/// A container: `container_1700000000000_0001_01_000002`, with `e<epoch>_` before the time stamp when the
/// ResourceManager was restarted since the cluster was formatted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId {
    /// The application's attempt it was given to.
    pub attempt: ApplicationAttemptId,
    /// Its number, with the ResourceManager's epoch in the upper 24 bits.
    pub id: i64,
}

const EPOCH_SHIFT: u32 = 40;
const NUMBER_MASK: i64 = (1 << EPOCH_SHIFT) - 1;

impl ContainerId {
    /// The application it belongs to.
    #[must_use]
    pub fn application(self) -> ApplicationId {
        self.attempt.application
    }

    /// Its number within the attempt and the ResourceManager's epoch.
    #[must_use]
    pub fn number(self) -> i64 {
        self.id & NUMBER_MASK
    }

    /// How often the ResourceManager had been restarted when it gave the container.
    #[must_use]
    pub fn epoch(self) -> i64 {
        self.id >> EPOCH_SHIFT
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ApplicationId { cluster_timestamp, id } = self.attempt.application;
        f.write_str("container_")?;
        if self.epoch() > 0 {
            write!(f, "e{:02}_", self.epoch())?;
        }
        write!(f, "{cluster_timestamp}_{id:04}_{:02}_{:06}", self.attempt.attempt, self.number())
    }
}

impl FromStr for ContainerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let expected = "a container's id: container_[e<epoch>_]<time stamp>_<application>_<attempt>_<number>";
        parse_container(text).ok_or_else(|| InvalidId { text: text.to_owned(), expected })
    }
}

fn parse_container(text: &str) -> Option<ContainerId> {
    let (epoch, [timestamp, id, attempt, container]) = match parts(text, "container_e") {
        Some([epoch, timestamp, id, attempt, container]) => (number(epoch)?, [timestamp, id, attempt, container]),
        None => (0, parts(text, "container_")?),
    };
    let application = ApplicationId { cluster_timestamp: number(timestamp)?, id: number(id)? };
    let container: i64 = number(container)?;
    let epoch: i64 = epoch;
    let fits = container <= NUMBER_MASK && epoch < 1 << (63 - EPOCH_SHIFT);
    fits.then_some(ContainerId { attempt: application.attempt(number(attempt)?), id: epoch << EPOCH_SHIFT | container })
}

/// A NodeManager: `host:port`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// Its host, as it registered with the ResourceManager.
    pub host: String,
    /// Its RPC port.
    pub port: u16,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for NodeId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { text: text.to_owned(), expected: "a node's id: <host>:<port>" };
        let (host, port) = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).ok_or_else(invalid)?;
        Ok(Self { host: host.to_owned(), port: number(port).ok_or_else(invalid)? })
    }
}

fn parts<'a, const N: usize>(text: &'a str, prefix: &str) -> Option<[&'a str; N]> {
    let parts: Vec<&str> = text.strip_prefix(prefix)?.split('_').collect();
    parts.try_into().ok()
}

/// Digits only: no sign.
fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl From<ApplicationId> for ApplicationIdProto {
    fn from(id: ApplicationId) -> Self {
        Self { id: Some(id.id), cluster_timestamp: Some(id.cluster_timestamp) }
    }
}

impl From<ApplicationIdProto> for ApplicationId {
    fn from(id: ApplicationIdProto) -> Self {
        Self { cluster_timestamp: id.cluster_timestamp(), id: id.id() }
    }
}

impl From<ApplicationAttemptId> for ApplicationAttemptIdProto {
    fn from(id: ApplicationAttemptId) -> Self {
        Self { application_id: Some(id.application.into()), attempt_id: Some(id.attempt) }
    }
}

impl From<ApplicationAttemptIdProto> for ApplicationAttemptId {
    fn from(id: ApplicationAttemptIdProto) -> Self {
        let attempt = id.attempt_id();
        Self { application: id.application_id.map(Into::into).unwrap_or_default(), attempt }
    }
}

impl From<ContainerId> for ContainerIdProto {
    fn from(id: ContainerId) -> Self {
        let app_id = Some(id.application().into());
        Self { app_id, app_attempt_id: Some(id.attempt.into()), id: Some(id.id) }
    }
}

impl From<ContainerIdProto> for ContainerId {
    fn from(id: ContainerIdProto) -> Self {
        let number = id.id();
        Self { attempt: id.app_attempt_id.map(Into::into).unwrap_or_default(), id: number }
    }
}

impl From<NodeId> for NodeIdProto {
    fn from(id: NodeId) -> Self {
        Self { host: Some(id.host), port: Some(id.port.into()) }
    }
}

impl From<NodeIdProto> for NodeId {
    fn from(id: NodeIdProto) -> Self {
        let port = u16::try_from(id.port()).unwrap_or(0);
        Self { host: id.host.unwrap_or_default(), port }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_printed_and_read_as_hadoop_does() {
        let application = ApplicationId { cluster_timestamp: 1_700_000_000_000, id: 12 };
        let container = ContainerId { attempt: application.attempt(3), id: 4 };
        let later = ContainerId { id: 17 << 40 | 4, ..container };
        assert_eq!(application.to_string(), "application_1700000000000_0012");
        assert_eq!(application.attempt(3).to_string(), "appattempt_1700000000000_0012_000003");
        assert_eq!(container.to_string(), "container_1700000000000_0012_03_000004");
        assert_eq!(later.to_string(), "container_e17_1700000000000_0012_03_000004");
        assert_eq!(application.to_string().parse(), Ok(application));
        assert_eq!(application.attempt(3).to_string().parse(), Ok(application.attempt(3)));
        assert_eq!(container.to_string().parse(), Ok(container));
        assert_eq!(later.to_string().parse(), Ok(later));
        assert_eq!("[::1]:80".parse(), Ok(NodeId { host: "[::1]".into(), port: 80 }));
        assert_eq!(ContainerId::from(ContainerIdProto::from(later)), later);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "application_", "application_1_-1", "application_1_2_3", "application_1_99999999999", "app_1_2"]
        {
            assert!(text.parse::<ApplicationId>().is_err(), "{text}");
        }
        for text in ["container_e_1_1_1_1", "container_1_1_1_9999999999999", "container_e99999999999_1_1_1_1"] {
            assert!(text.parse::<ContainerId>().is_err(), "{text}");
        }
        for text in ["host", ":1", "host:70000", "host:"] {
            assert!(text.parse::<NodeId>().is_err(), "{text}");
        }
        let message = "x".parse::<ApplicationId>().unwrap_err().to_string();
        assert_eq!(message, "`x` is not an application id: application_<time stamp>_<number>");
    }
}
