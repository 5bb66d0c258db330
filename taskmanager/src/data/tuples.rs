use super::{Data, DecodeError, Key, KeyHasher};

macro_rules! tuples {
    ($(($($name:ident $index:tt),+))*) => {$(
        impl<$($name: Data),+> Data for ($($name,)+) {
            #[inline]
            fn heap_bytes(&self) -> usize {
                0 $(+ self.$index.heap_bytes())+
            }

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                $(self.$index.encode(out);)+
            }

            #[inline]
            fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
                Ok(($($name::decode(input)?,)+))
            }

            fn type_name() -> String {
                let fields = [$($name::type_name()),+];
                format!("({})", fields.join(", "))
            }
        }

        impl<$($name: Key),+> Key for ($($name,)+) {
            #[inline]
            fn hash_key(&self, hasher: &mut KeyHasher) {
                $(self.$index.hash_key(hasher);)+
            }
        }
    )*};
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}
