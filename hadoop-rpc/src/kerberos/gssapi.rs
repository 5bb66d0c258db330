use std::ffi::{CString, c_int};
use std::ptr::{null, null_mut};
use std::time::Duration;

use super::library::{
    Buffer, HOST_BASED_SERVICE, KERBEROS, KeyValue, KeyValueSet, Library, MECHANISMS, PRINCIPAL_NAME, RawContext,
    RawCredential, RawName,
};
use super::{KerberosError, KerberosLogin};

const INDEFINITE: u32 = u32::MAX;
const INITIATE: c_int = 1;
const CONTINUE_NEEDED: u32 = 1;
/// The bits of a status that are errors; the lower ones are remarks.
const ERRORS: u32 = 0xffff_0000;

const MUTUAL: u32 = 2;
const REPLAY: u32 = 4;
const SEQUENCE: u32 = 8;
const CONFIDENTIALITY: u32 = 16;
const INTEGRITY: u32 = 32;

/// The name of a server.
pub(crate) struct Name(RawName);

impl Name {
    /// A principal: `service/host@REALM`.
    pub(crate) fn principal(text: &str) -> Result<Self, KerberosError> {
        Self::import(text, &PRINCIPAL_NAME)
    }

    /// A service on a host, whose realm the library finds: `service@host`.
    pub(crate) fn service(text: &str) -> Result<Self, KerberosError> {
        Self::import(text, &HOST_BASED_SERVICE)
    }

    fn import(text: &str, kind: &super::library::Oid) -> Result<Self, KerberosError> {
        let library = Library::get()?;
        let (mut minor, mut name) = (0, null_mut());
        // SAFETY: the buffer and the object id live during the call; the name is written on success.
        let major = unsafe { (library.import_name)(&mut minor, &Buffer::reading(text.as_bytes()), kind, &mut name) };
        check(library, major, minor, || format!("the name `{text}`"))?;
        Ok(Self(name))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Ok(library) = Library::get() {
            // SAFETY: the name came from the library and is released once.
            unsafe { (library.release_name)(&mut 0, &mut self.0) };
        }
    }
}

/// A user's tickets.
pub(crate) struct Credential(RawCredential);

impl Credential {
    /// Finds the tickets of a login. Asks the Kerberos server where a keytab is used: it may block.
    pub(crate) fn acquire(login: &KerberosLogin) -> Result<Self, KerberosError> {
        match login {
            KerberosLogin::TicketCache => {
                Self::from_store(null_mut(), &[]).map_err(|error| error.with_advice("run kinit"))
            }
            KerberosLogin::Keytab { principal, file } => {
                let name = Name::principal(principal)?;
                let keytab = c_string(&format!("FILE:{}", file.display()))?;
                // A cache of this process: the user's own tickets stay as they are.
                let cache = c_string(&format!("MEMORY:hadoop-rpc-{principal}-{}", file.display()))?;
                let store = [
                    KeyValue { key: c"client_keytab".as_ptr(), value: keytab.as_ptr() },
                    KeyValue { key: c"ccache".as_ptr(), value: cache.as_ptr() },
                ];
                let advice = format!("check the keytab {} and its principal {principal}", file.display());
                Self::from_store(name.0, &store).map_err(|error| error.with_advice(&advice))
            }
        }
    }

    fn from_store(name: RawName, store: &[KeyValue]) -> Result<Self, KerberosError> {
        let library = Library::get()?;
        let set = KeyValueSet { count: u32::try_from(store.len()).unwrap_or(0), elements: store.as_ptr() };
        let set = if store.is_empty() { null() } else { &raw const set };
        let (mut minor, mut credential) = (0, null_mut());
        // SAFETY: the name, the set and its strings live during the call; null pointers are allowed for the rest.
        let major = unsafe {
            (library.acquire_cred_from)(
                &mut minor,
                name,
                INDEFINITE,
                &MECHANISMS,
                INITIATE,
                set,
                &mut credential,
                null_mut(),
                null_mut(),
            )
        };
        check(library, major, minor, || "the tickets".to_owned())?;
        Ok(Self(credential))
    }

    /// Whose tickets they are, and for how long they last.
    pub(crate) fn inquire(&self) -> Result<(String, Duration), KerberosError> {
        let library = Library::get()?;
        let (mut minor, mut name, mut lifetime) = (0, null_mut(), 0);
        // SAFETY: the credential is live; the name is written on success, and owned by the wrapper below.
        let major =
            unsafe { (library.inquire_cred)(&mut minor, self.0, &mut name, &mut lifetime, null_mut(), null_mut()) };
        check(library, major, minor, || "the tickets".to_owned())?;
        let name = Name(name);
        let text = output(library, |library, minor, out| {
            // SAFETY: the name is live; the buffer is written by the library and released by `output`.
            unsafe { (library.display_name)(minor, name.0, out, null_mut()) }
        });
        let (text, major, minor) = text;
        check(library, major, minor, || "the name of the principal".to_owned())?;
        Ok((String::from_utf8_lossy(&text).into_owned(), Duration::from_secs(lifetime.into())))
    }
}

impl Drop for Credential {
    fn drop(&mut self) {
        if let Ok(library) = Library::get() {
            // SAFETY: the credential came from the library and is released once.
            unsafe { (library.release_cred)(&mut 0, &mut self.0) };
        }
    }
}

/// A context that is being made.
pub(crate) struct Context {
    raw: Raw,
    credential: Credential,
    target: Name,
    flags: u32,
}

/// What a step of making a context gives.
pub(crate) struct Established {
    /// The token for the other side; may be empty.
    pub(crate) token: Vec<u8>,
    /// Whether the context is complete.
    pub(crate) complete: bool,
}

impl Context {
    pub(crate) fn new(credential: Credential, target: Name, confidential: bool) -> Self {
        let flags = MUTUAL | REPLAY | SEQUENCE | INTEGRITY | if confidential { CONFIDENTIALITY } else { 0 };
        Self { raw: Raw(null_mut()), credential, target, flags }
    }

    /// Takes the other side's token, none at first. Asks the Kerberos server for a ticket: it may block.
    pub(crate) fn step(&mut self, received: &[u8]) -> Result<Established, KerberosError> {
        let library = Library::get()?;
        let (token, major, minor) = output(library, |library, minor, out| {
            // SAFETY: credential, target and context are live (the context is null at first, as the function asks);
            // the buffers live during the call, and what is written to `out` is released by `output`.
            unsafe {
                (library.init_sec_context)(
                    minor,
                    self.credential.0,
                    &mut self.raw.0,
                    self.target.0,
                    &KERBEROS,
                    self.flags,
                    0,
                    null(),
                    &Buffer::reading(received),
                    null_mut(),
                    out,
                    null_mut(),
                    null_mut(),
                )
            }
        });
        check(library, major, minor, || "the ticket for the server".to_owned())?;
        Ok(Established { token, complete: major & CONTINUE_NEEDED == 0 })
    }

    /// Seals a message, encrypted or only signed.
    pub(crate) fn wrap(&self, message: &[u8], confidential: bool) -> Result<Vec<u8>, KerberosError> {
        let library = Library::get()?;
        let mut encrypted = 0;
        let (sealed, major, minor) = output(library, |library, minor, out| {
            // SAFETY: the context is live, the buffers live during the call.
            unsafe {
                let input = Buffer::reading(message);
                (library.wrap)(minor, self.raw.0, c_int::from(confidential), 0, &input, &mut encrypted, out)
            }
        });
        check(library, major, minor, || "sealing a message".to_owned())?;
        if confidential && encrypted == 0 {
            return Err(failed("sealing a message", "it was not encrypted"));
        }
        Ok(sealed)
    }

    /// Opens a message, which must be encrypted where that was agreed, and the next one in order.
    pub(crate) fn unwrap(&self, sealed: &[u8], confidential: bool) -> Result<Vec<u8>, KerberosError> {
        let library = Library::get()?;
        let (mut encrypted, mut quality) = (0, 0);
        let (message, major, minor) = output(library, |library, minor, out| {
            // SAFETY: the context is live, the buffers live during the call.
            unsafe { (library.unwrap)(minor, self.raw.0, &Buffer::reading(sealed), out, &mut encrypted, &mut quality) }
        });
        check(library, major, minor, || "a sealed message".to_owned())?;
        if major != 0 {
            return Err(failed("a sealed message", "it is out of order: one was lost, repeated or added"));
        }
        if confidential && encrypted == 0 {
            return Err(failed("a sealed message", "it is not encrypted"));
        }
        Ok(message)
    }

    /// The largest message that is at most `sealed` bytes when it is sealed.
    pub(crate) fn size_limit(&self, confidential: bool, sealed: u32) -> Result<usize, KerberosError> {
        let library = Library::get()?;
        let (mut minor, mut limit) = (0, 0);
        // SAFETY: the context is live; the numbers are written.
        let major = unsafe {
            (library.wrap_size_limit)(&mut minor, self.raw.0, c_int::from(confidential), 0, sealed, &mut limit)
        };
        check(library, major, minor, || "the size of messages".to_owned())?;
        Ok(usize::try_from(limit).unwrap_or(usize::MAX).max(1))
    }
}

// SAFETY: the library's objects are not bound to a thread. They are used by one thread at a time, because every use
// borrows the value, and none of them is `Sync`.
unsafe impl Send for Context {}

/// The library's context.
struct Raw(RawContext);

impl Drop for Raw {
    fn drop(&mut self) {
        if let (false, Ok(library)) = (self.0.is_null(), Library::get()) {
            // SAFETY: the context came from the library and is deleted once; no token is wanted.
            unsafe { (library.delete_sec_context)(&mut 0, &mut self.0, null_mut()) };
        }
    }
}

/// Calls a function that fills a buffer of the library's; gives its content and the function's status.
fn output(library: &Library, call: impl FnOnce(&Library, *mut u32, *mut Buffer) -> u32) -> (Vec<u8>, u32, u32) {
    let (mut minor, mut buffer) = (0, Buffer::empty());
    let major = call(library, &mut minor, &mut buffer);
    let bytes = if buffer.value.is_null() {
        Vec::new()
    } else {
        // SAFETY: the library says that so many bytes are there, and they stay until the buffer is released below.
        unsafe { std::slice::from_raw_parts(buffer.value.cast::<u8>(), buffer.length) }.to_vec()
    };
    // SAFETY: the buffer was filled by the library or is empty.
    unsafe { (library.release_buffer)(&mut 0, &mut buffer) };
    (bytes, major, minor)
}

fn check(library: &Library, major: u32, minor: u32, what: impl FnOnce() -> String) -> Result<(), KerberosError> {
    const GENERAL: c_int = 1;
    const MECHANISM: c_int = 2;
    if major & ERRORS == 0 {
        return Ok(());
    }
    let mut words = describe(library, minor, MECHANISM);
    if minor == 0 || words.is_empty() {
        words = describe(library, major, GENERAL);
    }
    Err(KerberosError::Failed { what: what(), why: words })
}

fn describe(library: &Library, status: u32, kind: c_int) -> String {
    const MAX_PARTS: usize = 8;
    let (mut parts, mut more) = (Vec::new(), 0);
    for _ in 0..MAX_PARTS {
        let (text, major, _) = output(library, |library, minor, out| {
            // SAFETY: the object id is static, the counter and the buffer live during the call.
            unsafe { (library.display_status)(minor, status, kind, &KERBEROS, &mut more, out) }
        });
        if major != 0 {
            break;
        }
        parts.push(String::from_utf8_lossy(&text).trim().to_owned());
        if more == 0 {
            break;
        }
    }
    parts.join("; ")
}

fn failed(what: &str, why: &str) -> KerberosError {
    KerberosError::Failed { what: what.to_owned(), why: why.to_owned() }
}

impl KerberosError {
    fn with_advice(self, advice: &str) -> Self {
        match self {
            Self::Failed { what, why } => Self::Failed { what, why: format!("{why}; {advice}") },
            other => other,
        }
    }
}

fn c_string(text: &str) -> Result<CString, KerberosError> {
    CString::new(text).map_err(|_| failed(text, "it holds a zero byte"))
}
