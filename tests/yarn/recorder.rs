use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Stands between clients and a server that does not encrypt, and keeps what the server says.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    /// Of each connection.
    said: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    /// In front of the server at that address, until the tests end.
    pub(crate) fn before(server: &str) -> Self {
        let (listener, server) = (TcpListener::bind("127.0.0.1:0").unwrap(), server.to_owned());
        let (address, said) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let keep = Arc::clone(&said);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Who comes while the server is away is sent away, as the server would.
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let number = {
                    let mut said = keep.lock().unwrap();
                    said.push(Vec::new());
                    said.len() - 1
                };
                let (asks, answers) = ((client.try_clone(), server.try_clone()), Arc::clone(&keep));
                let (Ok(from), Ok(to)) = asks else { continue };
                std::thread::spawn(move || copy(from, to, |_| {}));
                std::thread::spawn(move || {
                    copy(server, client, |bytes| answers.lock().unwrap()[number].extend_from_slice(bytes));
                });
            }
        });
        Self { address, said }
    }

    /// Passwords of tokens of a kind of which the server has told: fields 2 and 3 of a `TokenProto`.
    pub(crate) fn passwords(&self, kind: &str) -> Vec<Vec<u8>> {
        const PASSWORD: [u8; 2] = [0x12, LENGTH as u8];
        /// Of an HMAC with SHA-1.
        const LENGTH: usize = 20;
        let kind = [&[0x1a, kind.len() as u8], kind.as_bytes()].concat();
        let said = self.said.lock().unwrap();
        let fields = said.iter().flat_map(|bytes| bytes.windows(PASSWORD.len() + LENGTH + kind.len()));
        let of_kind = fields.filter(|field| field.starts_with(&PASSWORD) && field.ends_with(&kind));
        of_kind.map(|field| field[PASSWORD.len()..][..LENGTH].to_vec()).collect()
    }
}

/// Hands on what comes, to its end.
fn copy(mut from: TcpStream, mut to: TcpStream, mut keep: impl FnMut(&[u8])) {
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        keep(&piece[..count]);
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
