//! CBOR to a Rust value, by serde.

use minicbor::Decoder;
use minicbor::data::Type;
use serde::Deserialize;
use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use crate::decode::{Kind, bignum, kind, lift, read_bytes, read_text};
use crate::{Error, RAW_VALUE, validate};

/// Reads exactly one value of type `T`.
///
/// # Errors
///
/// [`Error`] if the bytes are not one well-formed value, or not a `T`.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    // Checked as a whole first, so that what follows may recurse and skip without care.
    validate(bytes)?;
    T::deserialize(&mut Reader {
        d: Decoder::new(bytes),
    })
}

struct Reader<'de> {
    d: Decoder<'de>,
}

impl de::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Mismatch(message.to_string())
    }
}

/// A number of any of CBOR's forms.
enum Number {
    Int(i128),
    Float(f64),
}

impl<'de> Reader<'de> {
    /// What comes next, tags that we have no use for left behind.
    fn kind(&mut self) -> Result<Kind, Error> {
        loop {
            match kind(&self.d)? {
                Kind::Tag if !self.is_at_bignum() => lift(self.d.tag()).map(drop)?,
                kind => return Ok(kind),
            }
        }
    }

    fn is_at_bignum(&self) -> bool {
        let mut ahead = self.d.clone();
        let is_bignum_tag = matches!(ahead.tag(), Ok(tag) if matches!(tag.as_u64(), 2 | 3));
        is_bignum_tag && matches!(kind(&ahead), Ok(Kind::Bytes))
    }

    /// `None` if something else than a number comes next.
    fn number(&mut self) -> Result<Option<Number>, Error> {
        Ok(match self.kind()? {
            Kind::Int => Some(Number::Int(lift(self.d.int())?.into())),
            Kind::Float => Some(Number::Float(lift(self.d.f64())?)),
            Kind::Tag => {
                let is_negative = lift(self.d.tag())?.as_u64() == 3;
                let magnitude = read_bytes(&mut self.d)?;
                let number = bignum(is_negative, &magnitude)
                    .ok_or_else(|| Error::Mismatch("an integer over 127 bits".to_owned()))?;
                Some(Number::Int(number))
            }
            _ => None,
        })
    }

    fn visit_integer<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        match self.number()? {
            Some(Number::Int(number)) => visit_int(number, visitor),
            Some(Number::Float(number)) => match integral(number) {
                Some(number) => visit_int(number, visitor),
                None => visitor.visit_f64(number),
            },
            None => de::Deserializer::deserialize_any(self, visitor),
        }
    }
}

/// The integer that a float is exactly, within the range where JavaScript's numbers are exact.
#[expect(
    clippy::cast_possible_truncation,
    reason = "checked to be integral and in range"
)]
fn integral(number: f64) -> Option<i128> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then_some(number as i128)
}

/// Tells the visitor in the narrowest of the types that every visitor knows.
fn visit_int<'de, V: Visitor<'de>>(number: i128, visitor: V) -> Result<V::Value, Error> {
    if let Ok(number) = u64::try_from(number) {
        visitor.visit_u64(number)
    } else if let Ok(number) = i64::try_from(number) {
        visitor.visit_i64(number)
    } else {
        visitor.visit_i128(number)
    }
}

macro_rules! integers {
    ($($method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.visit_integer(visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.kind()? {
            Kind::Undefined | Kind::Null => {
                lift(self.d.skip())?;
                visitor.visit_unit()
            }
            Kind::Bool => visitor.visit_bool(lift(self.d.bool())?),
            Kind::Int | Kind::Tag => match self.number()? {
                Some(Number::Int(number)) => visit_int(number, visitor),
                Some(Number::Float(number)) => visitor.visit_f64(number),
                None => Err(Error::Mismatch("not a number".to_owned())),
            },
            Kind::Float => visitor.visit_f64(lift(self.d.f64())?),
            Kind::Bytes => visitor.visit_byte_buf(read_bytes(&mut self.d)?),
            Kind::Text => visitor.visit_string(read_text(&mut self.d)?),
            Kind::Array => {
                let left = lift(self.d.array())?;
                visitor.visit_seq(Items { reader: self, left })
            }
            Kind::Map => {
                let left = lift(self.d.map())?;
                visitor.visit_map(Items { reader: self, left })
            }
        }
    }

    integers!(
        deserialize_i8,
        deserialize_i16,
        deserialize_i32,
        deserialize_i64,
        deserialize_i128,
        deserialize_u8,
        deserialize_u16,
        deserialize_u32,
        deserialize_u64,
        deserialize_u128
    );

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    #[expect(clippy::cast_precision_loss, reason = "a float is what was asked for")]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.number()? {
            Some(Number::Int(number)) => visitor.visit_f64(number as f64),
            Some(Number::Float(number)) => visitor.visit_f64(number),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.kind()? {
            Kind::Undefined | Kind::Null => {
                lift(self.d.skip())?;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    /// A list of small integers is bytes as well.
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.kind()? == Kind::Array {
            visitor.visit_byte_buf(Vec::<u8>::deserialize(self)?)
        } else {
            self.deserialize_any(visitor)
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_byte_buf(visitor)
    }

    /// Bytes are a list of small integers as well.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.kind()? == Kind::Bytes {
            let bytes = read_bytes(&mut self.d)?;
            return visitor.visit_seq(de::value::SeqDeserializer::new(bytes.into_iter()));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name != RAW_VALUE {
            return visitor.visit_newtype_struct(self);
        }
        let start = self.d.position();
        lift(self.d.skip())?;
        visitor.visit_borrowed_bytes(&self.d.input()[start..self.d.position()])
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.kind()? {
            Kind::Text => {
                let variant = read_text(&mut self.d)?;
                visitor.visit_enum(variant.into_deserializer())
            }
            Kind::Map => {
                let left = lift(self.d.map())?;
                let value = visitor.visit_enum(Variant { reader: self })?;
                match left {
                    Some(1) => Ok(value),
                    None if lift(self.d.datatype())? == Type::Break => {
                        lift(self.d.skip())?;
                        Ok(value)
                    }
                    _ => Err(Error::Mismatch(
                        "a variant must be a map of one entry".to_owned(),
                    )),
                }
            }
            _ => Err(Error::Mismatch(
                "a variant must be a text or a map of one entry".to_owned(),
            )),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        lift(self.d.skip())?;
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        true
    }

    serde::forward_to_deserialize_any! {
        bool char str string unit unit_struct tuple tuple_struct map struct identifier
    }
}

/// The rest of an array or a map; `left` is `None` if it goes on to a break.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: Option<u64>,
}

impl Items<'_, '_> {
    fn has_next(&mut self) -> Result<bool, Error> {
        match &mut self.left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None if lift(self.reader.d.datatype())? == Type::Break => {
                lift(self.reader.d.skip())?;
                self.left = Some(0);
                Ok(false)
            }
            None => Ok(true),
        }
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if self.has_next()? {
            seed.deserialize(&mut *self.reader).map(Some)
        } else {
            Ok(None)
        }
    }

    fn size_hint(&self) -> Option<usize> {
        // A hint that the sender wrote: bounded by what serde itself allows for.
        self.left.and_then(|left| usize::try_from(left).ok())
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if self.has_next()? {
            seed.deserialize(&mut *self.reader).map(Some)
        } else {
            Ok(None)
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }
}

/// The one entry of a map that stands for an enum's variant.
struct Variant<'a, 'de> {
    reader: &'a mut Reader<'de>,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((seed.deserialize(&mut *self.reader)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        <()>::deserialize(self.reader)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_any(self.reader, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_any(self.reader, visitor)
    }
}
