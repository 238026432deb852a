//! MessagePack as the protocol uses it: positional arrays, byte strings as `bin`, and only the
//! shortest form of every value, so that one value has one encoding.
//!
//! Marker bytes and number formats come from the `rmp` crate; this module adds what a protocol needs
//! on top: exact types, no trailing bytes, and no allocation that the input has not paid for.
//! Source: the MessagePack specification, <https://github.com/msgpack/msgpack/blob/master/spec.md>.

use rmp::{decode, encode};

/// Why bytes are not the value they should be. Every case is the peer's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends before the value does.
    #[error("the input ends too early")]
    Truncated,
    /// Bytes follow the value.
    #[error("bytes follow the end of the value")]
    Trailing,
    /// Another MessagePack type stands where a certain one must.
    #[error("a value has the wrong type")]
    WrongType,
    /// A longer form than needed.
    #[error("a value is not in its shortest form")]
    NotShortest,
    /// An array or byte string of another length than the field has.
    #[error("an array or byte string has the wrong length")]
    WrongLength,
    /// A number outside the range of its field.
    #[error("a number is out of range")]
    OutOfRange,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    InvalidUtf8,
    /// A field longer than its bound.
    #[error("a field is longer than allowed")]
    TooLarge,
    /// A public key in another than its one canonical form.
    #[error("a public key is not canonical")]
    NonCanonicalKey,
    /// An envelope of a version that is not spoken here.
    #[error("the envelope has an unknown version")]
    UnknownVersion,
    /// A list that repeats an entry, or is not in its ascending order.
    #[error("a list is out of order or repeats an entry")]
    Unordered,
    /// A format byte that is not the one expected.
    #[error("the format is another one")]
    UnknownFormat,
    /// A message type that is not known here.
    #[error("the message has an unknown type")]
    UnknownType,
}

/// A value with exactly one encoding.
pub trait Wire: Sized {
    /// Appends the encoding.
    fn put(&self, w: &mut Writer);
    /// Reads one value from the front of the input.
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// The encoding of a value.
pub fn encode<T: Wire>(value: &T) -> Vec<u8> {
    let mut w = Writer::default();
    value.put(&mut w);
    w.finish()
}

/// A value from all of `bytes`.
pub fn decode<T: Wire>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut r = Reader::new(bytes);
    let value = T::take(&mut r)?;
    r.finish()?;
    Ok(value)
}

/// Where encodings are appended.
#[derive(Debug, Default)]
pub struct Writer(encode::ByteBuf);

impl Writer {
    /// A writer with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(encode::ByteBuf::with_capacity(bytes))
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.0.into_vec()
    }

    /// Starts an array of `len` values, which follow.
    pub fn array(&mut self, len: usize) {
        infallible(encode::write_array_len(&mut self.0, len32(len)));
    }

    /// A byte string.
    pub fn bin(&mut self, bytes: &[u8]) {
        debug_assert!(u32::try_from(bytes.len()).is_ok());
        infallible(encode::write_bin(&mut self.0, bytes));
    }

    /// Nothing.
    pub fn nil(&mut self) {
        infallible(encode::write_nil(&mut self.0));
    }
}

fn len32(len: usize) -> u32 {
    // Everything encoded here was first bounded far below 4 GiB by `limits`.
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Writing into memory has no error to report.
fn infallible<T, E>(result: Result<T, E>) {
    debug_assert!(result.is_ok());
}

/// Input that has not been read yet.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Fails unless everything was read.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    /// The input after the values read so far.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The length of an array whose values follow.
    pub fn array_len(&mut self) -> Result<usize, DecodeError> {
        let len = self.read(decode::read_array_len, encode::write_array_len)?;
        // Each value takes at least a byte: a longer claim is a lie.
        if len as usize > self.rest.len() { Err(DecodeError::Truncated) } else { Ok(len as usize) }
    }

    /// The start of an array of exactly `len` values.
    pub fn array(&mut self, len: usize) -> Result<(), DecodeError> {
        if self.array_len()? == len { Ok(()) } else { Err(DecodeError::WrongLength) }
    }

    /// A byte string, borrowed from the input.
    pub fn bin(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.read(decode::read_bin_len, encode::write_bin_len)?;
        self.split(len as usize)
    }

    /// A string, borrowed from the input.
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        let len = self.read(decode::read_str_len, encode::write_str_len)?;
        core::str::from_utf8(self.split(len as usize)?).map_err(|_| DecodeError::InvalidUtf8)
    }

    /// Takes a nil if one is next.
    pub fn nil(&mut self) -> bool {
        let found = self.rest.first() == Some(&rmp::Marker::Null.to_u8());
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn uint(&mut self) -> Result<u64, DecodeError> {
        self.read(decode::read_int::<u64, _>, encode::write_uint)
    }

    fn bool(&mut self) -> Result<bool, DecodeError> {
        let mut rest = self.rest;
        let value = decode::read_bool(&mut rest).map_err(|e| e.fault())?;
        self.rest = rest;
        Ok(value)
    }

    fn split(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// Reads a value and makes sure that `rmp` would have written the same bytes.
    fn read<T: Copy, E: Fault, M, F>(
        &mut self,
        read: impl FnOnce(&mut &'a [u8]) -> Result<T, E>,
        write: impl FnOnce(&mut encode::ByteBuf, T) -> Result<M, F>,
    ) -> Result<T, DecodeError> {
        let mut rest = self.rest;
        let value = read(&mut rest).map_err(|e| e.fault())?;
        let mut again = encode::ByteBuf::with_capacity(9);
        infallible(write(&mut again, value));
        if again.as_slice() != &self.rest[..self.rest.len() - rest.len()] {
            return Err(DecodeError::NotShortest);
        }
        self.rest = rest;
        Ok(value)
    }
}

/// Sorts `rmp`'s errors into ours.
trait Fault {
    fn fault(&self) -> DecodeError;
}

impl<E: decode::RmpReadErr> Fault for decode::ValueReadError<E> {
    fn fault(&self) -> DecodeError {
        match self {
            decode::ValueReadError::InvalidMarkerRead(_) | decode::ValueReadError::InvalidDataRead(_) => {
                DecodeError::Truncated
            }
            decode::ValueReadError::TypeMismatch(_) => DecodeError::WrongType,
        }
    }
}

impl<E: decode::RmpReadErr> Fault for decode::NumValueReadError<E> {
    fn fault(&self) -> DecodeError {
        match self {
            decode::NumValueReadError::InvalidMarkerRead(_)
            | decode::NumValueReadError::InvalidDataRead(_) => DecodeError::Truncated,
            decode::NumValueReadError::TypeMismatch(_) => DecodeError::WrongType,
            decode::NumValueReadError::OutOfRange => DecodeError::OutOfRange,
        }
    }
}

macro_rules! wire_uint {
    ($($t:ty),*) => {$(
        impl Wire for $t {
            fn put(&self, w: &mut Writer) {
                infallible(encode::write_uint(&mut w.0, u64::from(*self)));
            }
            fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                <$t>::try_from(r.uint()?).map_err(|_| DecodeError::OutOfRange)
            }
        }
    )*};
}
wire_uint!(u8, u16, u32, u64);

impl Wire for bool {
    fn put(&self, w: &mut Writer) {
        infallible(encode::write_bool(&mut w.0, *self));
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.bool()
    }
}

impl Wire for String {
    fn put(&self, w: &mut Writer) {
        infallible(encode::write_str(&mut w.0, self));
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.str().map(str::to_owned)
    }
}

/// A byte string. Never an array of integers.
impl Wire for Vec<u8> {
    fn put(&self, w: &mut Writer) {
        w.bin(self);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.bin().map(<[u8]>::to_vec)
    }
}

impl<const N: usize> Wire for [u8; N] {
    fn put(&self, w: &mut Writer) {
        w.bin(self);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.bin()?.try_into().map_err(|_| DecodeError::WrongLength)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, w: &mut Writer) {
        match self {
            Some(value) => value.put(w),
            None => w.nil(),
        }
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if r.nil() { Ok(None) } else { T::take(r).map(Some) }
    }
}

/// A list: an array of any length.
pub fn put_list<T: Wire>(list: &[T], w: &mut Writer) {
    w.array(list.len());
    list.iter().for_each(|item| item.put(w));
}

/// A list of at most `max` values.
pub fn take_list<T: Wire>(r: &mut Reader<'_>, max: usize) -> Result<Vec<T>, DecodeError> {
    let len = r.array_len()?;
    if len > max {
        return Err(DecodeError::TooLarge);
    }
    (0..len).map(|_| T::take(r)).collect()
}

/// Declares a structure that is a positional array of its fields, in the order given.
#[macro_export]
macro_rules! record {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $crate::wire::Wire for $name {
            fn put(&self, w: &mut $crate::wire::Writer) {
                w.array([$(stringify!($field)),*].len() as usize);
                $(self.$field.put(w);)*
            }
            fn take(r: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::DecodeError> {
                r.array(<[&str]>::len(&[$(stringify!($field)),*]))?;
                Ok(Self { $($field: <$type as $crate::wire::Wire>::take(r)?,)* })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_one_encoding() {
        assert_eq!(encode(&5_u64), [0x05]);
        assert_eq!(decode::<u64>(&[0xcc, 0x05]), Err(DecodeError::NotShortest));
        assert_eq!(decode::<u64>(&[0xd0, 0x05]), Err(DecodeError::NotShortest), "a signed form");
        assert_eq!(decode::<u64>(&[0xff]), Err(DecodeError::OutOfRange), "minus one");
        assert_eq!(decode::<u8>(&encode(&256_u16)), Err(DecodeError::OutOfRange));
        assert_eq!(decode::<Vec<u8>>(&[0xc5, 0, 1, 9]), Err(DecodeError::NotShortest));
        assert_eq!(decode::<Vec<u8>>(&[0xc4, 1, 9]), Ok(vec![9]));
    }

    #[test]
    fn byte_strings_are_never_arrays_or_text() {
        assert_eq!(decode::<Vec<u8>>(&[0x92, 1, 2]), Err(DecodeError::WrongType));
        assert_eq!(decode::<Vec<u8>>(&[0xa1, b'x']), Err(DecodeError::WrongType));
        assert_eq!(decode::<String>(&[0xc4, 1, b'x']), Err(DecodeError::WrongType));
        assert_eq!(decode::<[u8; 2]>(&[0xc4, 1, 7]), Err(DecodeError::WrongLength));
    }

    #[test]
    fn a_declared_length_is_not_a_reason_to_allocate() {
        assert_eq!(decode::<Vec<u8>>(&[0xc6, 0xff, 0xff, 0xff, 0xff]), Err(DecodeError::Truncated));
        let mut r = Reader::new(&[0xdd, 0xff, 0xff, 0xff, 0xff, 0]);
        assert_eq!(r.array_len(), Err(DecodeError::Truncated));
    }

    #[test]
    fn ends_are_exact() {
        assert_eq!(decode::<bool>(&[0xc3, 0xc0]), Err(DecodeError::Trailing));
        assert_eq!(decode::<bool>(&[]), Err(DecodeError::Truncated));
        assert_eq!(decode::<String>(&[0xa1, 0xff]), Err(DecodeError::InvalidUtf8));
        assert_eq!(decode::<Option<u8>>(&[0xc0]), Ok(None));
    }
}
