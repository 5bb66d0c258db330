use super::{Data, DecodeError, Key, KeyHasher, places_for};

impl<T: Data> Data for Option<T> {
    fn heap_bytes(&self) -> usize {
        self.as_ref().map_or(0, T::heap_bytes)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        bool::decode(input)?.then(|| T::decode(input)).transpose()
    }

    fn type_name() -> String {
        format!("Option<{}>", T::type_name())
    }
}

impl<T: Key> Key for Option<T> {
    fn hash_key(&self, hasher: &mut KeyHasher) {
        self.is_some().hash_key(hasher);
        if let Some(value) = self {
            value.hash_key(hasher);
        }
    }
}

impl<T: Data, E: Data> Data for Result<T, E> {
    fn heap_bytes(&self) -> usize {
        self.as_ref().map_or_else(E::heap_bytes, T::heap_bytes)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.is_ok().encode(out);
        match self {
            Ok(value) => value.encode(out),
            Err(error) => error.encode(out),
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(if bool::decode(input)? { Ok(T::decode(input)?) } else { Err(E::decode(input)?) })
    }

    fn type_name() -> String {
        format!("Result<{}, {}>", T::type_name(), E::type_name())
    }
}

impl<T: Data> Data for Box<T> {
    fn heap_bytes(&self) -> usize {
        size_of::<T>() + (**self).heap_bytes()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        T::decode(input).map(Self::new)
    }

    fn type_name() -> String {
        T::type_name()
    }
}

impl<T: Data> Data for Vec<T> {
    fn heap_bytes(&self) -> usize {
        self.capacity() * size_of::<T>() + self.iter().map(T::heap_bytes).sum::<usize>()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).encode(out);
        self.iter().for_each(|value| value.encode(out));
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let len = u32::decode(input)? as usize;
        let mut values = Self::with_capacity(places_for::<T>(len, input));
        for _ in 0..len {
            if input.is_empty() && size_of::<T>() > 0 {
                return Err(DecodeError::TRUNCATED);
            }
            values.push(T::decode(input)?);
        }
        Ok(values)
    }

    fn type_name() -> String {
        format!("Vec<{}>", T::type_name())
    }
}

impl<T: Key> Key for Vec<T> {
    fn hash_key(&self, hasher: &mut KeyHasher) {
        hasher.write_u64(self.len() as u64);
        self.iter().for_each(|value| value.hash_key(hasher));
    }
}

impl<T: Data, const N: usize> Data for [T; N] {
    fn heap_bytes(&self) -> usize {
        self.iter().map(T::heap_bytes).sum()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|value| value.encode(out));
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let values = (0..N).map(|_| T::decode(input)).collect::<Result<Vec<T>, _>>()?;
        values.try_into().map_err(|_| DecodeError::TRUNCATED)
    }

    fn type_name() -> String {
        format!("[{}; {N}]", T::type_name())
    }
}

impl<T: Key, const N: usize> Key for [T; N] {
    fn hash_key(&self, hasher: &mut KeyHasher) {
        self.iter().for_each(|value| value.hash_key(hasher));
    }
}

impl<K: Data + Ord, V: Data> Data for std::collections::BTreeMap<K, V> {
    fn heap_bytes(&self) -> usize {
        self.iter().map(|(k, v)| size_of::<(K, V)>() + k.heap_bytes() + v.heap_bytes()).sum()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).encode(out);
        for (key, value) in self {
            key.encode(out);
            value.encode(out);
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        Vec::<(K, V)>::decode(input).map(Self::from_iter)
    }

    fn type_name() -> String {
        format!("BTreeMap<{}, {}>", K::type_name(), V::type_name())
    }
}
