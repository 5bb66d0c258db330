/// Appends a number in Hadoop's variable length: one byte from -112 to 127, else a byte that tells sign and length.
pub(crate) fn put_number(out: &mut Vec<u8>, value: i64) {
    if let (-112..=127, Ok(byte)) = (value, i8::try_from(value)) {
        out.push(byte.to_be_bytes()[0]);
        return;
    }
    let (magnitude, base) = if value < 0 { (!value, -120_i8) } else { (value, -112) };
    let bytes = magnitude.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    let length = i8::try_from(bytes.len() - skip).unwrap_or(8);
    out.push((base - length).to_be_bytes()[0]);
    out.extend_from_slice(&bytes[skip..]);
}

/// Appends bytes after their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, i64::try_from(bytes.len()).unwrap_or(i64::MAX));
    out.extend_from_slice(bytes);
}

/// What could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

/// Reads from the front of bytes.
pub(crate) struct Source<'a> {
    rest: &'a [u8],
}

impl<'a> Source<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let Some((front, rest)) = self.rest.split_at_checked(count) else {
            return Err(Malformed(format!("it is cut: {count} bytes are expected where {} are left", self.rest.len())));
        };
        self.rest = rest;
        Ok(front)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn number(&mut self) -> Result<i64, Malformed> {
        let first = i8::from_be_bytes([self.byte()?]);
        if first >= -112 {
            return Ok(i64::from(first));
        }
        let (negative, length) = if first < -120 { (true, -120 - first) } else { (false, -112 - first) };
        let bytes = self.take(usize::from(length.unsigned_abs()))?;
        let value = bytes.iter().fold(0_i64, |value, byte| (value << 8) | i64::from(*byte));
        Ok(if negative { !value } else { value })
    }

    pub(crate) fn length(&mut self) -> Result<usize, Malformed> {
        let number = self.number()?;
        let length = usize::try_from(number).ok().filter(|length| *length <= self.rest.len());
        length.ok_or_else(|| Malformed(format!("a length of {number} where {} bytes are left", self.rest.len())))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.length()?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<String, Malformed> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| Malformed("a name is not UTF-8".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_java_writes_them() {
        let check = |value: i64, bytes: &[u8]| {
            let mut out = Vec::new();
            put_number(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(Source::new(bytes).number().unwrap(), value);
        };
        check(0, &[0]);
        check(127, &[127]);
        check(-112, &[0x90]);
        check(128, &[0x8f, 0x80]);
        check(255, &[0x8f, 0xff]);
        check(256, &[0x8e, 1, 0]);
        check(-113, &[0x87, 0x70]);
        check(-129, &[0x87, 0x80]);
        check(i64::MAX, &[0x88, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
        check(i64::MIN, &[0x80, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
    }

    #[test]
    fn a_length_beyond_the_end_is_refused_before_memory_is_taken() {
        let mut out = Vec::new();
        put_number(&mut out, i64::MAX);
        assert!(Source::new(&out).bytes().is_err());
        assert!(Source::new(&[0xff]).length().is_err(), "-1");
        assert!(Source::new(&[0x8f]).number().is_err());
    }
}
