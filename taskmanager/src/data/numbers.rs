use super::{Data, DecodeError, Key, KeyHasher, take};

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Data for $type {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
                Ok(Self::from_le_bytes(take(input)?))
            }

            fn type_name() -> String {
                stringify!($type).to_owned()
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64);

macro_rules! integer_keys {
    ($($type:ty),*) => {$(
        impl Key for $type {
            #[inline]
            #[allow(clippy::cast_sign_loss, clippy::cast_lossless)] // only the bits matter
            fn hash_key(&self, hasher: &mut KeyHasher) {
                hasher.write_u64(*self as u64);
            }
        }
    )*};
}

integer_keys!(u8, u16, u32, u64, i8, i16, i32, i64);

macro_rules! wide_keys {
    ($($type:ty),*) => {$(
        impl Key for $type {
            #[inline]
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // both halves are taken
            fn hash_key(&self, hasher: &mut KeyHasher) {
                hasher.write_u64(*self as u64);
                hasher.write_u64((*self >> 64) as u64);
            }
        }
    )*};
}

wide_keys!(u128, i128);

/// `usize` crosses the network as 64 bits.
impl Data for usize {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        (*self as u64).encode(out);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        Self::try_from(u64::decode(input)?).map_err(|_| DecodeError("a length is over this machine's limit".into()))
    }

    fn type_name() -> String {
        "usize".to_owned()
    }
}

impl Key for usize {
    #[inline]
    fn hash_key(&self, hasher: &mut KeyHasher) {
        hasher.write_u64(*self as u64);
    }
}

impl Data for bool {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        match take::<1>(input)?[0] {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError(format!("{other} is not a bool").into())),
        }
    }

    fn type_name() -> String {
        "bool".to_owned()
    }
}

impl Key for bool {
    #[inline]
    fn hash_key(&self, hasher: &mut KeyHasher) {
        hasher.write_u64(u64::from(*self));
    }
}

impl Data for char {
    fn encode(&self, out: &mut Vec<u8>) {
        u32::from(*self).encode(out);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let code = u32::decode(input)?;
        Self::from_u32(code).ok_or_else(|| DecodeError(format!("{code:#x} is not a character").into()))
    }

    fn type_name() -> String {
        "char".to_owned()
    }
}

impl Key for char {
    #[inline]
    fn hash_key(&self, hasher: &mut KeyHasher) {
        hasher.write_u64(u64::from(*self));
    }
}

impl Data for () {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(())
    }

    fn type_name() -> String {
        "()".to_owned()
    }
}

impl Key for () {
    fn hash_key(&self, _: &mut KeyHasher) {}
}
