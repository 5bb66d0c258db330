use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use libloading::Library as Dynamic;

use super::KerberosError;

const NAME: &str = "libgssapi_krb5.so.2";

/// `gss_buffer_desc`.
#[repr(C)]
pub(super) struct Buffer {
    pub(super) length: usize,
    pub(super) value: *mut c_void,
}

impl Buffer {
    pub(super) fn empty() -> Self {
        Self { length: 0, value: std::ptr::null_mut() }
    }

    /// A view of bytes for a function that only reads them.
    pub(super) fn reading(bytes: &[u8]) -> Self {
        Self { length: bytes.len(), value: bytes.as_ptr().cast_mut().cast() }
    }
}

/// `gss_OID_desc`.
#[repr(C)]
pub(super) struct Oid {
    length: u32,
    elements: *const c_void,
}

// SAFETY: the elements point to bytes of the program that never change.
unsafe impl Sync for Oid {}

/// `gss_OID_set_desc`.
#[repr(C)]
pub(super) struct OidSet {
    count: usize,
    elements: *const Oid,
}

// SAFETY: the elements point to an `Oid` of the program that never changes.
unsafe impl Sync for OidSet {}

/// `gss_key_value_element_desc`.
#[repr(C)]
pub(super) struct KeyValue {
    pub(super) key: *const c_char,
    pub(super) value: *const c_char,
}

/// `gss_key_value_set_desc`.
#[repr(C)]
pub(super) struct KeyValueSet {
    pub(super) count: u32,
    pub(super) elements: *const KeyValue,
}

pub(super) type RawName = *mut c_void;
pub(super) type RawCredential = *mut c_void;
pub(super) type RawContext = *mut c_void;

const fn oid(bytes: &'static [u8]) -> Oid {
    Oid { length: bytes.len() as u32, elements: bytes.as_ptr().cast() }
}

/// 1.2.840.113554.1.2.2
pub(super) static KERBEROS: Oid = oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2]);
/// 1.2.840.113554.1.2.2.1
pub(super) static PRINCIPAL_NAME: Oid = oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2, 1]);
/// 1.2.840.113554.1.2.1.4
pub(super) static HOST_BASED_SERVICE: Oid = oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 1, 4]);
pub(super) static MECHANISMS: OidSet = OidSet { count: 1, elements: &raw const KERBEROS };

type Minor = *mut u32;
type In = *const Buffer;
type Out = *mut Buffer;

/// The functions that are used.
pub(super) struct Library {
    pub(super) import_name: unsafe extern "C" fn(Minor, In, *const Oid, *mut RawName) -> u32,
    pub(super) release_name: unsafe extern "C" fn(Minor, *mut RawName) -> u32,
    pub(super) display_name: unsafe extern "C" fn(Minor, RawName, Out, *mut *const Oid) -> u32,
    pub(super) acquire_cred_from: unsafe extern "C" fn(
        Minor,
        RawName,
        u32,
        *const OidSet,
        c_int,
        *const KeyValueSet,
        *mut RawCredential,
        *mut *const OidSet,
        *mut u32,
    ) -> u32,
    pub(super) release_cred: unsafe extern "C" fn(Minor, *mut RawCredential) -> u32,
    pub(super) inquire_cred:
        unsafe extern "C" fn(Minor, RawCredential, *mut RawName, *mut u32, *mut c_int, *mut *const OidSet) -> u32,
    pub(super) init_sec_context: unsafe extern "C" fn(
        Minor,
        RawCredential,
        *mut RawContext,
        RawName,
        *const Oid,
        u32,
        u32,
        *const c_void,
        In,
        *mut *const Oid,
        Out,
        *mut u32,
        *mut u32,
    ) -> u32,
    pub(super) delete_sec_context: unsafe extern "C" fn(Minor, *mut RawContext, Out) -> u32,
    pub(super) wrap: unsafe extern "C" fn(Minor, RawContext, c_int, u32, In, *mut c_int, Out) -> u32,
    pub(super) unwrap: unsafe extern "C" fn(Minor, RawContext, In, Out, *mut c_int, *mut u32) -> u32,
    pub(super) wrap_size_limit: unsafe extern "C" fn(Minor, RawContext, c_int, u32, u32, *mut u32) -> u32,
    pub(super) display_status: unsafe extern "C" fn(Minor, u32, c_int, *const Oid, *mut u32, Out) -> u32,
    pub(super) release_buffer: unsafe extern "C" fn(Minor, Out) -> u32,
    /// Keeps the functions in memory.
    _dynamic: Dynamic,
}

impl Library {
    /// The library, loaded once.
    pub(super) fn get() -> Result<&'static Self, KerberosError> {
        static LOADED: OnceLock<Result<Library, String>> = OnceLock::new();
        LOADED.get_or_init(Self::load).as_ref().map_err(|why| KerberosError::NoLibrary(why.clone()))
    }

    fn load() -> Result<Self, String> {
        // SAFETY: loading runs the library's initialisers; MIT's has none that need anything of the caller.
        let dynamic = unsafe { Dynamic::new(NAME) }.map_err(|error| error.to_string())?;
        // SAFETY: the symbols have the types that the headers of the library declare for them (RFC 2744, and MIT's
        // gssapi_ext.h for gss_acquire_cred_from), and live as long as `dynamic`, which the struct keeps.
        unsafe {
            Ok(Self {
                import_name: symbol(&dynamic, b"gss_import_name\0")?,
                release_name: symbol(&dynamic, b"gss_release_name\0")?,
                display_name: symbol(&dynamic, b"gss_display_name\0")?,
                acquire_cred_from: symbol(&dynamic, b"gss_acquire_cred_from\0")?,
                release_cred: symbol(&dynamic, b"gss_release_cred\0")?,
                inquire_cred: symbol(&dynamic, b"gss_inquire_cred\0")?,
                init_sec_context: symbol(&dynamic, b"gss_init_sec_context\0")?,
                delete_sec_context: symbol(&dynamic, b"gss_delete_sec_context\0")?,
                wrap: symbol(&dynamic, b"gss_wrap\0")?,
                unwrap: symbol(&dynamic, b"gss_unwrap\0")?,
                wrap_size_limit: symbol(&dynamic, b"gss_wrap_size_limit\0")?,
                display_status: symbol(&dynamic, b"gss_display_status\0")?,
                release_buffer: symbol(&dynamic, b"gss_release_buffer\0")?,
                _dynamic: dynamic,
            })
        }
    }
}

/// A function of the library.
///
/// # Safety
/// `T` must be the type of the function, and must not be used after `library` is closed.
unsafe fn symbol<T: Copy>(library: &Dynamic, name: &[u8]) -> Result<T, String> {
    // SAFETY: as the caller guarantees.
    unsafe { library.get::<T>(name) }.map(|symbol| *symbol).map_err(|error| error.to_string())
}
