//! A Rust value to CBOR, by serde.

use minicbor::Encoder;
use serde::ser::{self, Serialize};

use crate::encode::write_int;
use crate::{Error, RAW_VALUE};

/// The CBOR of `value`.
///
/// `None` and `()` are null; structs are maps by field name; enums are the variant's name, alone or as
/// the only key of a map.
///
/// # Errors
///
/// [`Error::Mismatch`] if the value's own `Serialize` fails.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    value.serialize(&mut Writer {
        out: Encoder::new(&mut bytes),
        raw: false,
    })?;
    Ok(bytes)
}

struct Writer<'a> {
    out: Encoder<&'a mut Vec<u8>>,
    /// The next bytes are CBOR already.
    raw: bool,
}

impl ser::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Mismatch(message.to_string())
    }
}

type Encoded = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn done(encoded: Encoded) -> Result<(), Error> {
    encoded.map_err(|error| Error::Mismatch(error.to_string()))
}

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {$(
        fn $method(self, number: $type) -> Result<(), Error> {
            done(write_int(number.into(), &mut self.out))
        }
    )*};
}

impl<'w, 'a> ser::Serializer for &'w mut Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Compound<'w, 'a>;
    type SerializeTuple = Compound<'w, 'a>;
    type SerializeTupleStruct = Compound<'w, 'a>;
    type SerializeTupleVariant = Compound<'w, 'a>;
    type SerializeMap = Compound<'w, 'a>;
    type SerializeStruct = Compound<'w, 'a>;
    type SerializeStructVariant = Compound<'w, 'a>;

    integers!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64);

    fn serialize_u128(self, number: u128) -> Result<(), Error> {
        let number = i128::try_from(number)
            .map_err(|_| Error::Mismatch("an integer over 127 bits".to_owned()))?;
        done(write_int(number, &mut self.out))
    }

    fn serialize_bool(self, truth: bool) -> Result<(), Error> {
        done(self.out.bool(truth).map(drop))
    }

    fn serialize_f32(self, number: f32) -> Result<(), Error> {
        done(self.out.f32(number).map(drop))
    }

    fn serialize_f64(self, number: f64) -> Result<(), Error> {
        done(self.out.f64(number).map(drop))
    }

    fn serialize_char(self, c: char) -> Result<(), Error> {
        self.serialize_str(c.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<(), Error> {
        done(self.out.str(text).map(drop))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Error> {
        if std::mem::take(&mut self.raw) {
            self.out.writer_mut().extend_from_slice(bytes);
            return Ok(());
        }
        done(self.out.bytes(bytes).map(drop))
    }

    fn serialize_none(self) -> Result<(), Error> {
        done(self.out.null().map(drop))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_none()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.raw = name == RAW_VALUE;
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.begin_variant(variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Compound<'w, 'a>, Error> {
        match length {
            Some(length) => done(self.out.array(length as u64).map(drop))?,
            None => done(self.out.begin_array().map(drop))?,
        }
        Ok(Compound {
            writer: self,
            is_indefinite: length.is_none(),
        })
    }

    fn serialize_tuple(self, length: usize) -> Result<Compound<'w, 'a>, Error> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        length: usize,
    ) -> Result<Compound<'w, 'a>, Error> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'w, 'a>, Error> {
        self.begin_variant(variant)?;
        self.serialize_seq(Some(length))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Compound<'w, 'a>, Error> {
        match length {
            Some(length) => done(self.out.map(length as u64).map(drop))?,
            None => done(self.out.begin_map().map(drop))?,
        }
        Ok(Compound {
            writer: self,
            is_indefinite: length.is_none(),
        })
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Compound<'w, 'a>, Error> {
        self.serialize_map(Some(length))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'w, 'a>, Error> {
        self.begin_variant(variant)?;
        self.serialize_map(Some(length))
    }

    fn is_human_readable(&self) -> bool {
        // Dates, addresses and the like cross as text, which is what a JavaScript client expects.
        true
    }
}

impl Writer<'_> {
    fn begin_variant(&mut self, variant: &str) -> Result<(), Error> {
        done(self.out.map(1).and_then(|out| out.str(variant)).map(drop))
    }
}

/// An array or a map, half written.
struct Compound<'w, 'a> {
    writer: &'w mut Writer<'a>,
    is_indefinite: bool,
}

impl Compound<'_, '_> {
    fn finish(self) -> Result<(), Error> {
        if self.is_indefinite {
            done(self.writer.out.end().map(drop))?;
        }
        Ok(())
    }
}

macro_rules! sequences {
    ($($trait:ident::$method:ident),*) => {$(
        impl ser::$trait for Compound<'_, '_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Error> {
                item.serialize(&mut *self.writer)
            }

            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        }
    )*};
}
sequences!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! structs {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Compound<'_, '_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                ser::Serializer::serialize_str(&mut *self.writer, name)?;
                value.serialize(&mut *self.writer)
            }

            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        }
    )*};
}
structs!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        key.serialize(&mut *self.writer)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}
