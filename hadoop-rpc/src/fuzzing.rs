use bytes::{Bytes, BytesMut};
use prost::Message;

use crate::ipc::frame::{decode_response, decode_sasl, take_frame};
use crate::ipc::sasl::digest::Challenge;
use crate::proto::hdfs::GetBlockLocationsResponseProto;
use crate::proto::yarn_service::{
    AllocateResponseProto, GetApplicationsResponseProto, GetClusterNodesResponseProto, GetQueueInfoResponseProto,
    RegisterApplicationMasterResponseProto,
};
use crate::yarn::{AllocateResponse, ApplicationReport, NodeReport, QueueInfo, Registration};

/// What a server sends on a connection.
pub fn frames(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(frame)) = take_frame(&mut buffer, 1 << 20) {
        let _ = decode_response(frame.clone(), "host");
        let _ = decode_sasl(frame, "host");
    }
    let _ = decode_response(Bytes::copy_from_slice(bytes), "host");
}

/// What a server asks in DIGEST-MD5.
pub fn digest_challenge(bytes: &[u8]) {
    let _ = Challenge::parse(bytes);
}

/// Answers of YARN and of the NameNode.
pub fn answers(bytes: &[u8]) {
    let _ = AllocateResponseProto::decode(bytes).map(AllocateResponse::from);
    let _ = RegisterApplicationMasterResponseProto::decode(bytes).map(Registration::from);
    let _ = GetQueueInfoResponseProto::decode(bytes).map(|answer| answer.queue_info.map(QueueInfo::from));
    let reports = |answer: GetApplicationsResponseProto| {
        answer.applications.into_iter().map(ApplicationReport::from).collect::<Vec<_>>()
    };
    let _ = GetApplicationsResponseProto::decode(bytes).map(reports);
    let nodes = |answer: GetClusterNodesResponseProto| {
        answer.node_reports.into_iter().map(NodeReport::from).collect::<Vec<_>>()
    };
    let _ = GetClusterNodesResponseProto::decode(bytes).map(nodes);
    let _ = GetBlockLocationsResponseProto::decode(bytes);
}
