//! Protobuf field by field, borrowed from the body: nothing is built that nobody wants.
//!
//! In: the bytes of one message. Out: tags with their values; messages and texts are slices of the body.
//! Strict on what is cut short. Groups, which no message here has, are refused. Whoever reads skips tags
//! that it does not know.

use super::error::Rejection;

/// The bytes are no protobuf message, or not the one expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(&'static str);

const CUT: Malformed = Malformed("cut short");
const VARINT: Malformed = Malformed("a number of more than 64 bits");
const KEY: Malformed = Malformed("a field with an impossible number");
const WIRE: Malformed = Malformed("a field of an impossible type");
const GROUP: Malformed = Malformed("a group, which no message here has");
const TYPE: Malformed = Malformed("a field of another type than its message says");
const TEXT: Malformed = Malformed("a text that is not UTF-8");

impl From<Malformed> for Rejection {
    fn from(m: Malformed) -> Self {
        Self::Malformed { what: "protobuf", why: m.0.into() }
    }
}

/// What a field holds, as far as the wire tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// A number of any length.
    Varint(u64),
    /// Eight bytes, little-endian.
    Bits64(u64),
    /// A message, a text, bytes or packed numbers.
    Bytes(&'a [u8]),
    /// Four bytes, little-endian.
    Bits32(u32),
}

impl<'a> Value<'a> {
    pub(super) fn varint(self) -> Result<u64, Malformed> {
        if let Self::Varint(n) = self { Ok(n) } else { Err(TYPE) }
    }

    pub(super) fn bits64(self) -> Result<u64, Malformed> {
        if let Self::Bits64(n) = self { Ok(n) } else { Err(TYPE) }
    }

    pub(super) fn double(self) -> Result<f64, Malformed> {
        self.bits64().map(f64::from_bits)
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(TYPE) }
    }

    pub(super) fn fields(self) -> Result<Fields<'a>, Malformed> {
        self.bytes().map(Fields::new)
    }

    pub(super) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| TEXT)
    }
}

/// The fields of a message that are still to be read. After an error there is nothing more to read.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// A number, seven bits a byte; also the way to read packed numbers, one by one.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        // Times take six bytes: eight at once hold all of them, and the first without its top bit ends them.
        if let Some((eight, _)) = self.rest.split_first_chunk::<8>() {
            let word = u64::from_le_bytes(*eight);
            let ends = !word & 0x8080_8080_8080_8080;
            if ends != 0 {
                let bits = ends.trailing_zeros() + 1;
                let word = word & (u64::MAX >> (64 - bits)) & 0x7f7f_7f7f_7f7f_7f7f;
                // Groups of seven bits, pushed together: pairs, fours, eights.
                let word = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
                let word = (word & 0x0000_3fff_0000_3fff) | (word & 0x3fff_0000_3fff_0000) >> 2;
                let word = (word & 0x0000_0000_0fff_ffff) | (word & 0x0fff_ffff_0000_0000) >> 4;
                self.rest = &self.rest[bits as usize / 8..];
                return Ok(word);
            }
        }
        let mut value = 0;
        for (n, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * n);
            if *byte < 0x80 {
                if n == 9 && *byte > 1 {
                    return Err(VARINT);
                }
                self.rest = &self.rest[n + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { CUT } else { VARINT })
    }

    /// Eight bytes; also the way to read packed doubles.
    #[inline]
    pub(super) fn bits64(&mut self) -> Result<u64, Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(CUT)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// Bytes that are still to be read.
    pub(super) fn bytes(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything is read.
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reads over the fields in front that begin with `key` and have a length of one byte: as reading them
    /// one by one, only faster.
    #[inline]
    pub(super) fn pass_over(&mut self, key: u8) {
        while let [first, length @ 0..0x80, rest @ ..] = self.rest
            && *first == key
            && let Some(rest) = rest.get(usize::from(*length)..)
        {
            self.rest = rest;
        }
    }

    #[inline]
    fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| KEY)?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Bits64(self.bits64()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| CUT)?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(CUT)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => {
                let (bytes, rest) = self.rest.split_first_chunk().ok_or(CUT)?;
                self.rest = rest;
                Value::Bits32(u32::from_le_bytes(*bytes))
            }
            3 | 4 => return Err(GROUP),
            _ => return Err(WIRE),
        };
        if key < 8 { Err(KEY) } else { Ok((key >> 3, value)) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// A number of a `sint32` or `sint64` field: the sign stands in the lowest bit.
pub(super) fn zigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, Malformed> {
        Fields::new(bytes).collect()
    }

    #[test]
    fn every_wire_type_is_read_and_what_is_cut_short_is_refused_at_every_byte() {
        let bytes = [
            0x08, 0x96, 0x01, // 1: 150
            0x12, 0x02, b'h', b'i', // 2: "hi"
            0x19, 1, 0, 0, 0, 0, 0, 0, 0, // 3: 1 in eight bytes
            0x25, 2, 0, 0, 0, // 4: 2 in four bytes
        ];
        let fields = [
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"hi")),
            (3, Value::Bits64(1)),
            (4, Value::Bits32(2)),
        ];
        assert_eq!(all(&bytes).unwrap(), fields);
        for end in 0..bytes.len() {
            let is_between = [0, 3, 7, 16].contains(&end);
            assert_eq!(all(&bytes[..end]).is_ok(), is_between, "cut after {end} bytes");
        }
    }

    #[test]
    fn impossible_fields_are_refused_and_end_the_message() {
        let most = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(all(&most), Ok(vec![(1, Value::Varint(u64::MAX))]));
        let mut beyond = most;
        beyond[10] = 2;
        let cases: [(&[u8], Malformed); 6] = [
            (&beyond, VARINT),
            (&[0x00, 0x01], KEY),
            (&[0x80, 0x80, 0x80, 0x80, 0x10, 0x01], KEY),
            (&[0x0b, 0x0c], GROUP),
            (&[0x0e], WIRE),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], CUT),
        ];
        for (bytes, fault) in cases {
            let mut fields = Fields::new(bytes);
            assert_eq!(fields.next(), Some(Err(fault)), "{bytes:x?}");
            assert_eq!(fields.next(), None);
        }
    }

    #[test]
    fn numbers_of_every_length_are_read_whatever_follows() {
        for bits in 0..64 {
            for n in [1_u64 << bits, (1 << bits) - 1, u64::MAX >> bits] {
                let mut bytes = Vec::new();
                prost::encoding::encode_varint(n, &mut bytes);
                for padding in 0..9 {
                    let padded = [&bytes[..], &[0xff; 9][..padding]].concat();
                    let mut fields = Fields::new(&padded);
                    assert_eq!((fields.varint(), fields.bytes()), (Ok(n), padding), "{n}");
                }
            }
        }
    }

    #[test]
    fn fields_are_skipped_up_to_the_first_that_is_longer_or_another_or_cut_short() {
        let long = [&[0x0a, 0x80, 0x01][..], &[7; 128]].concat();
        let cases: [(&[u8], usize); 5] = [
            (&[0x0a, 0, 0x0a, 2, 7, 7], 0),
            (&[0x0a, 1, 7, 0x12, 0], 2),
            (&[0x0a, 1, 7, 0x0a, 2, 7], 3),
            (&[0x0a, 1, 7, 0x0a], 1),
            (&long, long.len()),
        ];
        for (bytes, left) in cases {
            let mut fields = Fields::new(bytes);
            fields.pass_over(0x0a);
            assert_eq!(fields.bytes(), left, "{bytes:x?}");
        }
    }

    #[test]
    fn signs_are_zigzagged() {
        let of = [0, 1, 2, 3, u64::MAX - 1, u64::MAX].map(zigzag);
        assert_eq!(of, [0, -1, 1, -2, i64::MAX, i64::MIN]);
    }
}
