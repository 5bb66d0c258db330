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
