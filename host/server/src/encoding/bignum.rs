//! `BigInt`s in decimal. Converting takes time with the square of the length, so that it is bounded.

use greenroom_value::Value;
use num_bigint::{BigInt, BigUint, Sign};

/// Digits that are read.
const DIGITS_MAX: usize = 10_000;
/// Bytes of a magnitude that are written: about as many digits.
pub(super) const MAGNITUDE_BYTES_MAX: usize = 4_160;

/// The value that these digits stand for.
pub(super) fn from_decimal(digits: &str) -> Option<Value> {
    if let Ok(number) = digits.parse() {
        return Some(Value::BigInt(number));
    }
    if digits.len() > DIGITS_MAX {
        return None;
    }
    let number: BigInt = digits.parse().ok()?;
    let (tag, magnitude) = match number.sign() {
        // CBOR counts negative numbers from -1.
        Sign::Minus => (3, (-number - 1_u32).magnitude().to_bytes_be()),
        Sign::NoSign | Sign::Plus => (2, number.magnitude().to_bytes_be()),
    };
    Some(Value::Tagged(tag, Box::new(Value::Bytes(magnitude))))
}

/// The digits of a CBOR bignum.
pub(super) fn to_decimal(is_negative: bool, magnitude: &[u8]) -> String {
    let magnitude = BigInt::from(BigUint::from_bytes_be(magnitude));
    if is_negative {
        (-magnitude - 1_u32).to_string()
    } else {
        magnitude.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_survive() {
        for digits in [
            "340282366920938463463374607431768211456",
            "-340282366920938463463374607431768211457",
            &"9".repeat(500),
        ] {
            let Some(Value::Tagged(tag, inner)) = from_decimal(digits) else {
                panic!("a bignum")
            };
            let Value::Bytes(magnitude) = *inner else {
                panic!("bytes")
            };
            assert_eq!(to_decimal(tag == 3, &magnitude), digits);
        }
        assert_eq!(from_decimal("-5"), Some(Value::BigInt(-5)));
        assert_eq!(from_decimal("5x"), None);
        assert_eq!(from_decimal(&"9".repeat(DIGITS_MAX + 1)), None);
    }
}
