use flink_yarn_client::decoders;

/// Configuration files in both forms. What is read is what a file that is written from it gives again.
pub fn configuration(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for flink_1 in [false, true] {
        if let Ok(read) = decoders::configuration(&text, flink_1) {
            let written = serde_json::to_string(&read.0).unwrap();
            // JSON is YAML.
            let again = decoders::configuration(&written, false);
            // All but the characters that YAML wants escaped, and JSON does not.
            let is_plain = |text: &String| !text.is_empty() && text.chars().all(|c| !c.is_control() && c < '\u{fe00}');
            let plain = read.0.iter().all(|(key, value)| is_plain(key) && (value.is_empty() || is_plain(value)));
            assert!(!plain || again.as_ref() == Ok(&read), "{again:?} is not {read:?}");
        }
    }
}

/// Files as people write them.
pub fn configuration_seeds() -> Vec<Vec<u8>> {
    let files = [
        "taskmanager:\n  numberOfTaskSlots: 2\n  memory.process.size: 1g\nio.tmp.dirs: [/a, /b]\nx:\n",
        "jobmanager.rpc.address: host # comment\nrest.port: 8081\n",
        "a: &x {b: 1}\nc: *x\n",
        "? [a]\n: b\n",
        "- a\n- b\n",
        "a: {b: {c: {d: 0x10}}}\ne: ~\nf: 'quoted'\n",
    ];
    files.iter().map(|file| file.as_bytes().to_vec()).collect()
}

/// `cluster.json`: what is read is what was written; nothing that it names is touched by reading it.
pub fn cluster_record(input: &[u8]) {
    if let Ok(written) = decoders::cluster_record(input) {
        assert_eq!(decoders::cluster_record(written.as_bytes()).as_ref(), Ok(&written));
    }
}

/// Records of clusters.
pub fn cluster_record_seeds() -> Vec<Vec<u8>> {
    let process = r#"{"name":"jobmanager","host":null,"id":{"pid":7,"start_time":9,"boot":"b"},"log":"/l"}"#;
    let record = format!(r#"{{"address":"h:1","rest":"http://h:2","tls":true,"started":-5,"processes":[{process}]}}"#);
    vec![record.into_bytes(), b"{}".to_vec(), b"[[[[".to_vec()]
}

/// Logs that YARN has aggregated.
pub fn aggregated_logs(input: &[u8]) {
    let _ = decoders::aggregated_logs(input);
}

/// A file with one block of two logs, and pieces of one.
pub fn aggregated_log_seeds() -> Vec<Vec<u8>> {
    const MAGIC: [u8; 16] =
        [0xd1, 0x11, 0xd3, 0x68, 0x91, 0xb5, 0xd7, 0xb6, 0x39, 0xdf, 0x41, 0x40, 0x92, 0xba, 0xe1, 0x50];
    let block = b"\x01a\xfebc\x03def\x01g\x00".to_vec();
    let index = [b"\x04none\x01\x10".as_slice(), &[block.len() as u8, block.len() as u8]].concat();
    let index_at = (MAGIC.len() + block.len()) as u8;
    let region = [index_at, index.len() as u8, index.len() as u8];
    let meta = [b"\x01\x11data:BCFile.index\x04none".as_slice(), &region].concat();
    let meta_at = (u64::from(index_at) + index.len() as u64).to_be_bytes();
    let file = [&MAGIC, block.as_slice(), &index, &meta, &meta_at, &[0, 1, 0, 0], &MAGIC].concat();
    assert_eq!(decoders::aggregated_logs(&file).unwrap(), [5, 0]);
    vec![file, [meta_at.as_slice(), &[0, 1, 0, 0], &MAGIC].concat()]
}

/// Programs: what is needed of one lies inside of it.
pub fn programs(input: &[u8]) {
    if let Some(needed) = decoders::needed_of_program(input) {
        assert!(needed < input.len() as u64);
    }
}

/// An executable with one segment and one section behind it.
pub fn program_seeds() -> Vec<Vec<u8>> {
    let mut header = [0_u8; 64];
    header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(32, &64_u64.to_le_bytes());
    put(40, &150_u64.to_le_bytes());
    put(54, &56_u16.to_le_bytes());
    put(56, &1_u16.to_le_bytes());
    put(58, &64_u16.to_le_bytes());
    put(60, &1_u16.to_le_bytes());
    let mut segment = [0_u8; 56];
    segment[32..40].copy_from_slice(&130_u64.to_le_bytes());
    let file = [header.as_slice(), &segment, &[0; 30], &[0; 64]].concat();
    assert_eq!(decoders::needed_of_program(&file), Some(130));
    vec![file, b"#!/bin/sh\n".to_vec()]
}
