use hadoop_rpc::credentials::{Credentials, DelegationTokenIdentifier, Token};
use hadoop_rpc::{Configuration, Secret, fuzzing};

/// `*-site.xml`: every value can be looked at, however its variables refer to one another.
pub fn configuration(input: &[u8]) {
    let mut configuration = Configuration::new();
    if configuration.add_text("site.xml", &String::from_utf8_lossy(input)).is_ok() {
        for (key, value) in configuration.iter() {
            assert_eq!(configuration.get(key), Some(value), "{key}");
            let _ = (configuration.get_duration(key), configuration.get_i64(key), configuration.get_list(key));
        }
    }
}

/// Files as clusters have them.
pub fn configuration_seeds() -> Vec<Vec<u8>> {
    let files = [
        "<?xml version=\"1.0\"?><!-- c --><configuration><property><name>a</name><value>1</value></property>\n\
         <property><name>b</name><value>${a}${b}</value><final>true</final></property></configuration>",
        "<configuration><property name=\"a\" value=\"x&amp;&#65;\" final=\"true\"/><xi:include href=\"b\"/></configuration>",
        "<configuration><property><name>a</name><value><![CDATA[<]]>${env.HOME:-x}</value></property></configuration>",
        "<!DOCTYPE a [<!ENTITY b \"c\">]><configuration>&b;</configuration>",
    ];
    files.iter().map(|file| file.as_bytes().to_vec()).collect()
}

/// Token files: what is read is read again from what is written.
pub fn credentials(input: &[u8]) {
    if let Ok(read) = Credentials::decode(input) {
        assert_eq!(Credentials::decode(read.encode().expose()).as_ref(), Ok(&read));
        for (_, token) in read.tokens() {
            let _ = DelegationTokenIdentifier::of(token);
        }
    }
}

/// Token files in both formats.
pub fn credential_seeds() -> Vec<Vec<u8>> {
    let mut credentials = Credentials::new();
    for kind in ["HDFS_DELEGATION_TOKEN", "RM_DELEGATION_TOKEN", ""] {
        let identifier = b"\0\x05alice\x04yarn\0\x8a\x01\x8b\xcf\xe5\x68\0\x01\x02\x03".to_vec();
        let (password, kind) = (Secret::new(*b"password"), kind.to_owned());
        credentials.add_token(kind.clone(), Token { identifier, password, kind, service: "127.0.0.1:8020".to_owned() });
    }
    credentials.add_secret("key", Secret::new(*b"value"));
    let protobuf = b"HDTS\x01\x16\x0a\x14\x0a\x01a\x12\x0f\x0a\x02id\x12\x02pw\x1a\x01k\x22\x02s:".to_vec();
    vec![credentials.encode().expose().to_vec(), protobuf]
}

/// Frames of servers.
pub fn frames(input: &[u8]) {
    fuzzing::frames(input);
}

/// Answers, exceptions and SASL messages.
pub fn frame_seeds() -> Vec<Vec<u8>> {
    fuzzing::frame_seeds()
}

/// Challenges, and sealed messages under each cipher.
pub fn sasl(input: &[u8]) {
    fuzzing::sasl(input);
}

/// Challenges as Hadoop's servers send them.
pub fn sasl_seeds() -> Vec<Vec<u8>> {
    let challenges = [
        "realm=\"default\",nonce=\"jE2+Q\",qop=\"auth\",charset=utf-8,algorithm=md5-sess",
        "realm=\"a\\\"b\",nonce=n,qop=\"auth,auth-int,auth-conf\",cipher=\"3des,rc4,des,rc4-56,rc4-40\",maxbuf=65536,\
         algorithm=md5-sess",
    ];
    challenges.iter().map(|text| text.as_bytes().to_vec()).chain(fuzzing::sealed_seeds()).collect()
}

/// Answers of YARN and of the NameNode, down to the types that callers see.
pub fn answers(input: &[u8]) {
    fuzzing::answers(input);
}

/// Answers with something in them.
pub fn answer_seeds() -> Vec<Vec<u8>> {
    fuzzing::answer_seeds()
}
