//! BARE, as far as the stock client uses it: an envelope of two bytes of version, then texts, byte strings,
//! numbers and optional things. Source: protocol, section 7.1.

use bytes::Bytes;

/// Reads an envelope, checking every length against what is there.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The two bytes that everything starts with.
    pub(super) fn version(&mut self) -> Result<u16, &'static str> {
        let (version, rest) = self
            .rest
            .split_first_chunk()
            .ok_or("it is cut off in the version")?;
        self.rest = rest;
        Ok(u16::from_le_bytes(*version))
    }

    /// A byte string.
    pub(super) fn data(&mut self) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(self.uint()?).map_err(|_| "a length is out of range")?;
        let (data, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or("it is cut off in data")?;
        self.rest = rest;
        Ok(data)
    }

    /// One byte that says which member of a union follows, or whether something is there.
    pub(super) fn tag(&mut self) -> Result<u8, &'static str> {
        let (tag, rest) = self.rest.split_first().ok_or("it is cut off in a tag")?;
        self.rest = rest;
        Ok(*tag)
    }

    /// A text.
    pub(super) fn text(&mut self) -> Result<&'a str, &'static str> {
        std::str::from_utf8(self.data()?).map_err(|_| "a text is not UTF-8")
    }

    /// True or false.
    pub(super) fn truth(&mut self) -> Result<bool, &'static str> {
        match self.tag()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("a truth value is neither"),
        }
    }

    /// Something that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, &'static str>,
    ) -> Result<Option<T>, &'static str> {
        if self.truth()? {
            read(self).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A number in eight bytes.
    pub(super) fn long(&mut self) -> Result<u64, &'static str> {
        let (number, rest) = self
            .rest
            .split_first_chunk()
            .ok_or("it is cut off in a number")?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*number))
    }

    /// That nothing is left.
    pub(super) const fn end(&self) -> Result<(), &'static str> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err("bytes are left after its end")
        }
    }

    /// A number.
    pub(super) fn uint(&mut self) -> Result<u64, &'static str> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or("it is cut off in a number")?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number is over 64 bits")
    }
}

/// Writes an envelope.
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn new(version: u16) -> Self {
        Self {
            bytes: version.to_le_bytes().to_vec(),
        }
    }

    pub(super) fn tag(&mut self, tag: u8) {
        self.bytes.push(tag);
    }

    pub(super) fn uint(&mut self, mut number: u64) {
        loop {
            let bits = u8::try_from(number & 0x7f).expect("seven bits fit into a byte");
            number >>= 7;
            if number == 0 {
                return self.bytes.push(bits);
            }
            self.bytes.push(bits | 0x80);
        }
    }

    pub(super) fn data(&mut self, data: &[u8]) {
        self.uint(data.len() as u64);
        self.bytes.extend_from_slice(data);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.data(text.as_bytes());
    }

    pub(super) fn optional<T: ?Sized>(
        &mut self,
        value: Option<&T>,
        write: impl FnOnce(&mut Self, &T),
    ) {
        self.bytes.push(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(super) fn finish(self) -> Bytes {
        self.bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_and_overlong_ones_do_not() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut writer = Writer::new(4);
            writer.uint(number);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.version(), Ok(4));
            assert_eq!(reader.uint(), Ok(number));
            assert_eq!(reader.end(), Ok(()));
        }
        assert!(Reader::new(&[0xff; 10]).uint().is_err());
        assert!(Reader::new(&[0x80]).uint().is_err());
    }
}
