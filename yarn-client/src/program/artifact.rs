use std::fs::File;
use std::io::Read;

use flink_graph::Artifact;
use flink_protocol::client::{ClientRequestBody, ClientResponseBody};
use sha2::{Digest, Sha256};

use super::Program;
use crate::connection::{Connection, unexpected};
use crate::error::{ClientError, Result};

/// Bytes of one piece of an upload.
const PIECE: usize = 1 << 20;

/// Name, hash and size of the program's file, without blocking other work meanwhile.
pub(crate) async fn describe(program: &Program) -> Result<Artifact> {
    let program = program.clone();
    let hashing = tokio::task::spawn_blocking(move || hash(&program));
    hashing.await.map_err(|error| ClientError::failed("hashing the program did not end").because(&error))?
}

fn hash(program: &Program) -> Result<Artifact> {
    let mut file = open(program)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; PIECE];
    let mut size = 0;
    loop {
        match file.read(&mut buffer).map_err(|error| unreadable(program, &error))? {
            0 => break,
            read => {
                digest.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
    Ok(Artifact { name: program.name(), sha256: flink_transport::token::hex(&digest.finalize()), size })
}

/// Sends the program to the JobManager, unless it is there already.
pub(crate) async fn upload(connection: &mut Connection, program: &Program, artifact: &Artifact) -> Result<()> {
    let question = ClientRequestBody::RequestMissingArtifacts(vec![artifact.sha256.clone()]);
    let ClientResponseBody::MissingArtifacts(missing) = connection.request(question).await? else {
        return Err(unexpected("RequestMissingArtifacts"));
    };
    if missing.contains(&artifact.sha256) { send(connection, program, artifact).await } else { Ok(()) }
}

async fn send(connection: &mut Connection, program: &Program, artifact: &Artifact) -> Result<()> {
    let mut file = open(program)?;
    let mut offset = 0;
    while offset < artifact.size {
        let wanted = (artifact.size - offset).min(PIECE as u64);
        let mut bytes = Vec::new();
        let read = file.by_ref().take(wanted).read_to_end(&mut bytes).map_err(|error| unreadable(program, &error))?;
        if (read as u64) < wanted {
            return Err(changed(program));
        }
        let last = offset + wanted == artifact.size;
        let piece = ClientRequestBody::PutArtifact { sha256: artifact.sha256.clone(), offset, bytes, last };
        match connection.request(piece).await? {
            ClientResponseBody::ArtifactStored => offset += wanted,
            _ => return Err(unexpected("PutArtifact")),
        }
    }
    Ok(())
}

fn open(program: &Program) -> Result<File> {
    File::open(&program.path).map_err(|error| unreadable(program, &error))
}

fn unreadable(program: &Program, error: &std::io::Error) -> ClientError {
    ClientError::usage(format!("cannot read the program {}", program.path.display()))
        .because(error)
        .hint("the file is sent to the cluster, so it must be readable, not only executable")
}

fn changed(program: &Program) -> ClientError {
    Program::error(format!("the program {} changed while it was sent", program.path.display())).hint("run it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        std::fs::write(&path, "abc").unwrap();
        let artifact = hash(&Program { path, arguments: Vec::new() }).unwrap();
        assert_eq!((artifact.name.as_str(), artifact.size), ("p", 3));
        assert_eq!(artifact.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
