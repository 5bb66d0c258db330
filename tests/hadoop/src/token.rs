//! WebHDFS gives out the NameNode's delegation tokens under a kind of its own and without a service. The same token is good
//! for RPC once it is named as RPC names it: four fields, each with its length in front, in the base64 of URLs.

const KIND: &[u8] = b"HDFS_DELEGATION_TOKEN";
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The text of a token that RPC takes, made of one that WebHDFS takes.
pub(crate) fn for_rpc(text: &str, service: &str) -> String {
    let bytes = decode(text);
    let (identifier, rest) = field(&bytes);
    let (password, _) = field(rest);
    let mut named = Vec::new();
    for part in [identifier, password, KIND, service.as_bytes()] {
        named.extend(length(part.len()));
        named.extend_from_slice(part);
    }
    encode(&named)
}

/// Hadoop's variable length: up to 127 as it is, else a byte that says how many follow.
fn length(value: usize) -> Vec<u8> {
    match value {
        0..=127 => vec![value as u8],
        128..=255 => vec![(-113_i8).cast_unsigned(), value as u8],
        _ => panic!("a field of {value} bytes in a token"),
    }
}

fn field(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = match bytes[0].cast_signed() {
        short @ 0.. => (short as usize, &bytes[1..]),
        -113 => (usize::from(bytes[1]), &bytes[2..]),
        other => panic!("a length that begins with {other} in a token"),
    };
    rest.split_at(length)
}

fn decode(text: &str) -> Vec<u8> {
    let (mut bits, mut held, mut found) = (0_u32, 0, Vec::new());
    for byte in text.trim_end_matches('=').bytes() {
        let six = ALPHABET.iter().position(|known| *known == byte).expect("base64 of URLs");
        bits = bits << 6 | six as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            found.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    found
}

fn encode(bytes: &[u8]) -> String {
    let group = |three: &[u8]| {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        (0..=three.len()).map(|place| ALPHABET[(bits >> (18 - 6 * place) & 63) as usize] as char).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}
