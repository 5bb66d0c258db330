use bytes::{Bytes, BytesMut};
use prost::Message;

use crate::ipc::frame::{decode_response, decode_sasl, take_frame};
use crate::ipc::sasl::{self, digest::Challenge, message, state};
use crate::proto::hdfs::{DatanodeInfoProto, GetBlockLocationsResponseProto, LocatedBlockProto, LocatedBlocksProto};
use crate::proto::rpc::{RpcResponseHeaderProto, RpcSaslProto, SaslAuth};
use crate::proto::yarn::{ApplicationReportProto, ContainerStatusProto, NodeReportProto, QueueInfoProto};
use crate::proto::yarn_service::{
    AllocateResponseProto, GetApplicationsResponseProto, GetClusterNodesResponseProto, GetQueueInfoResponseProto,
    RegisterApplicationMasterResponseProto, StartContainersResponseProto,
};
use crate::yarn::{
    AllocateResponse, ApplicationId, ApplicationReport, ContainerId, NodeReport, QueueInfo, Registration,
};

/// What a server sends on a connection.
pub fn frames(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(frame)) = take_frame(&mut buffer, 1 << 20) {
        let _ = decode_response(frame.clone(), "host");
        let _ = decode_sasl(frame, "host");
    }
    let _ = decode_response(Bytes::copy_from_slice(bytes), "host");
}

/// Well-formed ones.
#[must_use]
pub fn frame_seeds() -> Vec<Vec<u8>> {
    let exception = RpcResponseHeaderProto {
        call_id: 7,
        status: 2,
        exception_class_name: Some("a.b$C".to_owned()),
        error_msg: Some("a.b$C: d\n\tat e".to_owned()),
        error_detail: Some(15),
    };
    let auth = SaslAuth { method: "TOKEN".to_owned(), mechanism: "DIGEST-MD5".to_owned(), ..SaslAuth::default() };
    let negotiate = RpcSaslProto { auths: vec![auth], ..message(state::NEGOTIATE, Some(vec![1])) };
    let header = RpcResponseHeaderProto { call_id: (-33_i32).cast_unsigned(), ..RpcResponseHeaderProto::default() };
    let frame = [header.encode_length_delimited_to_vec(), negotiate.encode_length_delimited_to_vec()].concat();
    let length = u32::try_from(frame.len()).unwrap_or_default().to_be_bytes();
    vec![[length.as_slice(), &frame].concat(), exception.encode_length_delimited_to_vec()]
}

/// What a server asks in DIGEST-MD5, and sealed messages that it sends.
pub fn sasl(bytes: &[u8]) {
    let _ = Challenge::parse(bytes);
    for mut layer in sasl::digest_layers() {
        let _ = layer.opener.open(bytes);
    }
}

/// Messages that the layers would open if they came from the other side.
#[must_use]
pub fn sealed_seeds() -> Vec<Vec<u8>> {
    sasl::digest_layers().into_iter().map(|mut layer| layer.sealer.seal(b"a sealed message")).collect()
}

/// Answers of YARN and of the NameNode.
pub fn answers(bytes: &[u8]) {
    let _ = AllocateResponseProto::decode(bytes).map(AllocateResponse::from);
    let _ = RegisterApplicationMasterResponseProto::decode(bytes).map(Registration::from);
    let _ = GetQueueInfoResponseProto::decode(bytes).map(|answer| answer.queue_info.map(QueueInfo::from));
    let reports = |answer: GetApplicationsResponseProto| {
        answer
            .applications
            .into_iter()
            .map(ApplicationReport::from)
            .map(|report| report.id.to_string())
            .collect::<Vec<_>>()
    };
    let _ = GetApplicationsResponseProto::decode(bytes).map(reports);
    let nodes = |answer: GetClusterNodesResponseProto| {
        answer.node_reports.into_iter().map(NodeReport::from).map(|report| report.id.to_string()).collect::<Vec<_>>()
    };
    let _ = GetClusterNodesResponseProto::decode(bytes).map(nodes);
    let blocks = |answer: GetBlockLocationsResponseProto| {
        let locations = answer.locations.unwrap_or_default();
        locations.blocks.into_iter().map(crate::hdfs::Block::from).collect::<Vec<_>>()
    };
    let _ = GetBlockLocationsResponseProto::decode(bytes).map(blocks);
    let started = |answer: StartContainersResponseProto| {
        let failures = answer.failed_requests.into_iter();
        failures.map(|failure| crate::yarn::ContainerFailure::new(failure, "host").to_string()).collect::<Vec<_>>()
    };
    let _ = StartContainersResponseProto::decode(bytes).map(started);
}

/// Some with a little in each.
#[must_use]
pub fn answer_seeds() -> Vec<Vec<u8>> {
    let application = ApplicationId { cluster_timestamp: 1_700_000_000_000, id: 1 };
    let container = ContainerId { attempt: application.attempt(1), id: 1 << 40 | 2 };
    let status =
        ContainerStatusProto { container_id: Some(container.into()), exit_status: Some(-104), ..Default::default() };
    let report = ApplicationReportProto {
        application_id: Some(application.into()),
        yarn_application_state: Some(5),
        ..ApplicationReportProto::default()
    };
    let queue = QueueInfoProto { child_queues: vec![QueueInfoProto::default()], ..QueueInfoProto::default() };
    let block = LocatedBlockProto { locs: vec![DatanodeInfoProto::default()], ..LocatedBlockProto::default() };
    let locations = LocatedBlocksProto { blocks: vec![block], ..LocatedBlocksProto::default() };
    vec![
        AllocateResponseProto { completed_container_statuses: vec![status], ..Default::default() }.encode_to_vec(),
        GetApplicationsResponseProto { applications: vec![report] }.encode_to_vec(),
        GetQueueInfoResponseProto { queue_info: Some(queue) }.encode_to_vec(),
        GetClusterNodesResponseProto { node_reports: vec![NodeReportProto::default()] }.encode_to_vec(),
        GetBlockLocationsResponseProto { locations: Some(locations) }.encode_to_vec(),
    ]
}
