//! Texts of JavaScript: sixteen-bit units that need not be characters. Half of a pair is written as three bytes, which are
//! no UTF-8.

use minicbor::Decoder;

use crate::Error;

/// What stands for half of a character.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Reads a text; halves of characters in it are replaced. Anything else that is no UTF-8 is an error.
pub(crate) fn read_text(d: &mut Decoder<'_>) -> Result<String, Error> {
    let position = d.position();
    let input = d.input();
    let mut at = position;
    let broken = || Error::Malformed {
        position,
        reason: "a text that is not all there, or no UTF-8".to_owned(),
    };
    let text = whole(input, &mut at).and_then(to_text);
    d.set_position(at);
    text.ok_or_else(broken)
}

/// The bytes of a text, of either form.
fn whole(input: &[u8], at: &mut usize) -> Option<Vec<u8>> {
    const INDEFINITE: u8 = 0x7f;
    const BREAK: u8 = 0xff;
    if input.get(*at) != Some(&INDEFINITE) {
        return Some(chunk(input, at)?.to_vec());
    }
    *at += 1;
    let mut bytes = Vec::new();
    while *input.get(*at)? != BREAK {
        bytes.extend_from_slice(chunk(input, at)?);
    }
    *at += 1;
    Some(bytes)
}

/// A text of definite length: its head, and so many bytes.
fn chunk<'b>(input: &'b [u8], at: &mut usize) -> Option<&'b [u8]> {
    let first = *input.get(*at)?;
    if first >> 5 != 3 {
        return None;
    }
    let count = match first & 0x1f {
        small @ 0..=23 => return take(input, at, 1, small.into()),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return None,
    };
    let digits = input.get(*at + 1..*at + 1 + count)?;
    let length = digits
        .iter()
        .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    take(input, at, 1 + count, length)
}

fn take<'b>(input: &'b [u8], at: &mut usize, head: usize, length: u64) -> Option<&'b [u8]> {
    let start = *at + head;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    let bytes = input.get(start..end)?;
    *at = end;
    Some(bytes)
}

fn to_text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes)
        .or_else(|broken| {
            let mut bytes = broken.into_bytes();
            replace_halves(&mut bytes);
            String::from_utf8(bytes)
        })
        .ok()
}

/// Replaces surrogates, which have three bytes each, as the replacement has.
fn replace_halves(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some([first, second, third]) = bytes.get(at..at + 3) {
        // 0xED begins what is from U+D000 on; the surrogates are the upper half of that.
        let is_half = *first == 0xed && (0xa0..=0xbf).contains(second) && *third & 0xc0 == 0x80;
        if is_half {
            bytes[at..at + 3].copy_from_slice(REPLACEMENT);
        }
        at += if is_half { 3 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use crate::{Value, decode, decode_javascript};

    #[test]
    fn halves_of_characters_are_replaced_one_by_one() {
        for (bytes, text) in [
            (&b"\x64x\xed\xa0\xbd"[..], "x\u{fffd}"),
            (b"\x66\xed\xa0\xbd\xed\xa0\xbd", "\u{fffd}\u{fffd}"),
            (b"\x63\xed\x9f\xbf", "\u{d7ff}"),
            (b"\x78\x04x\xed\xb0\x80", "x\u{fffd}"),
            (b"\x7f\x61a\x64x\xed\xa0\xbd\xff", "ax\u{fffd}"),
            (b"\x60", ""),
        ] {
            assert_eq!(
                decode_javascript(bytes),
                Ok(Value::Text(text.to_owned())),
                "{bytes:x?}"
            );
        }
        assert!(
            decode(b"\x64x\xed\xa0\xbd").is_err(),
            "only from JavaScript"
        );
    }

    #[test]
    fn what_is_not_all_there_or_anything_else_is_refused() {
        for bytes in [
            &b"\x64abc"[..],
            b"\x63a\xffb",
            b"\x63\xed\xa0\x20",
            b"\x78",
            b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x7f\x61a",
            b"\x7f\x41a\xff",
        ] {
            assert!(decode_javascript(bytes).is_err(), "{bytes:x?}");
        }
    }
}
