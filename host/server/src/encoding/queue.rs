//! The bodies of messages to queues, and of what became of them. Source: protocol, sections 7.2 and 9.

use std::time::Duration;

use bytes::Bytes;
use greenroom_model::{ActorError, Completion, Wait};
use greenroom_value::{Value, decode_javascript, encode};

use super::bare::{Reader, Writer};
use super::javascript::from_client;
use super::{Encoding, Peer, for_peer, json, malformed, version};

/// The first version of the BARE envelope that has them.
const VERSION_LEAST: u16 = 3;

/// A message to a queue. Which queue is in the path; clients repeat it in the body, where nobody looks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// In native CBOR.
    pub(crate) body: Bytes,
    /// Whether its sender waits for its completion.
    pub(crate) wait: Wait,
}

/// Reads a message, and how to answer.
pub(crate) fn decode_message(
    encoding: Encoding,
    bytes: &[u8],
) -> Result<(Peer, Message), ActorError> {
    let peer = Peer::of(encoding);
    match encoding {
        Encoding::Json => {
            let message = from_map(json::parse(bytes).map_err(malformed)?, true)?;
            Ok((peer, message))
        }
        // In this encoding clients write everything natively, and a tag array means just that.
        Encoding::Cbor => {
            let message = from_map(decode_javascript(bytes).map_err(malformed)?, false)?;
            Ok((peer, message))
        }
        Encoding::Bare => from_bare(peer, bytes),
    }
}

fn from_map(message: Value, has_tag_arrays: bool) -> Result<Message, ActorError> {
    let Value::Map(pairs) = message else {
        return Err(malformed("the body has to be an object with `body`"));
    };
    // What is not there is nothing: so JSON writes a body that is undefined.
    let [mut body, mut is_waiting, mut timeout] = [const { Value::Undefined }; 3];
    for (key, value) in pairs {
        match key.as_text() {
            Some("body") => body = value,
            Some("wait") => is_waiting = value,
            Some("timeout") => timeout = value,
            _ => {}
        }
    }
    let body = from_client(body, has_tag_arrays).map_err(malformed)?;
    let timeout = from_client(timeout, has_tag_arrays).map_err(malformed)?;
    let is_waiting = match is_waiting {
        Value::Bool(is_waiting) => is_waiting,
        Value::Undefined | Value::Null => false,
        _ => return Err(malformed("`wait` has to be true or false")),
    };
    Ok(Message {
        body: encode(&body).into(),
        wait: wait(is_waiting, milliseconds(&timeout)?),
    })
}

fn from_bare(peer: Peer, bytes: &[u8]) -> Result<(Peer, Message), ActorError> {
    let mut reader = Reader::new(bytes);
    let version = version(reader.version().map_err(malformed)?)?;
    if version < VERSION_LEAST {
        return Err(malformed(format!(
            "version {version} of the protocol has no queues; 3 and 4 have"
        )));
    }
    let body = reader.data().map_err(malformed)?;
    reader.optional(Reader::text).map_err(malformed)?;
    let is_waiting = reader.optional(Reader::truth).map_err(malformed)?;
    let timeout = reader.optional(Reader::long).map_err(malformed)?;
    reader.end().map_err(malformed)?;
    let peer = peer.with_version(version);
    let body = decode_javascript(body).map_err(malformed)?;
    let body = from_client(body, peer.reads_tag_arrays()).map_err(malformed)?;
    let message = Message {
        body: encode(&body).into(),
        wait: wait(is_waiting == Some(true), timeout),
    };
    Ok((peer, message))
}

fn wait(is_waiting: bool, timeout_ms: Option<u64>) -> Wait {
    if is_waiting {
        Wait::Until(timeout_ms.map(Duration::from_millis))
    } else {
        Wait::No
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it saturates, which is far beyond every bound on waiting"
)]
fn milliseconds(timeout: &Value) -> Result<Option<u64>, ActorError> {
    match timeout {
        Value::Undefined | Value::Null => Ok(None),
        Value::Int(ms) | Value::BigInt(ms) if *ms >= 0 => {
            Ok(Some(u64::try_from(*ms).unwrap_or(u64::MAX)))
        }
        Value::Float(ms) if *ms >= 0.0 => Ok(Some(ms.ceil() as u64)),
        _ => Err(malformed(
            "`timeout` has to be a number of milliseconds, 0 or more",
        )),
    }
}

/// Writes what became of a message.
pub(crate) fn encode_completion(peer: Peer, completion: &Completion) -> Result<Bytes, ActorError> {
    // The words are the protocol's; the client takes no others.
    let (status, reply) = match completion {
        Completion::Completed(reply) => ("completed", reply.as_deref()),
        Completion::TimedOut => ("timedOut", None),
    };
    let reply = reply.map(|reply| for_peer(peer, reply)).transpose()?;
    if peer.encoding == Encoding::Bare {
        let mut writer = Writer::new(peer.version);
        writer.text(status);
        writer.optional(reply.as_ref(), |writer, reply| {
            writer.data(&encode(reply));
        });
        return Ok(writer.finish());
    }
    let mut fields: Vec<(Value, Value)> = Vec::with_capacity(2);
    fields.extend(reply.map(|reply| ("response".into(), reply)));
    fields.push(("status".into(), status.into()));
    let fields = Value::Map(fields);
    Ok(match peer.encoding {
        Encoding::Json => json::from_value(fields).to_string().into(),
        Encoding::Cbor | Encoding::Bare => encode(&fields).into(),
    })
}

#[cfg(test)]
mod tests {
    use greenroom_model::codes;

    use super::*;
    use crate::encoding::tests::hex;

    const NO_REPLY: Completion = Completion::Completed(None);

    /// `{a: 1}` without waiting and `{a: 2}` with, as the stock client sends them.
    fn captured() -> [(Encoding, Vec<u8>, Vec<u8>); 3] {
        let cbor = |number: &str, wait: &str, timeout: &str| {
            let fields = "64 6e616d65 65 7461736b73 64 77616974";
            hex(&format!(
                "b9 0004 64 626f6479 b9 0001 61 61 {number} {fields} {wait} 67 74696d656f7574 {timeout}"
            ))
        };
        [
            (
                Encoding::Json,
                br#"{"body":{"a":1},"name":"tasks","wait":false}"#.to_vec(),
                br#"{"body":{"a":2},"name":"tasks","wait":true,"timeout":5000}"#.to_vec(),
            ),
            (
                Encoding::Cbor,
                cbor("01", "f4", "f7"),
                cbor("02", "f5", "19 1388"),
            ),
            (
                Encoding::Bare,
                hex("04 00 06 b900016161 01  01 05 7461736b73  01 00  00"),
                hex("04 00 06 b900016161 02  01 05 7461736b73  01 01  01 8813000000000000"),
            ),
        ]
    }

    #[test]
    fn the_captured_messages_are_read_in_all_encodings() {
        for (encoding, without, with) in captured() {
            let (peer, message) = decode_message(encoding, &without).unwrap();
            assert_eq!(peer, Peer::of(encoding));
            assert_eq!(message.body, hex("a1 61 61 01"), "{encoding:?}");
            assert_eq!(message.wait, Wait::No, "{encoding:?}");
            let (_, message) = decode_message(encoding, &with).unwrap();
            assert_eq!(message.body, hex("a1 61 61 02"), "{encoding:?}");
            let five_seconds = Wait::Until(Some(Duration::from_secs(5)));
            assert_eq!(message.wait, five_seconds, "{encoding:?}");
        }
    }

    #[test]
    fn the_captured_answers_are_written_byte_for_byte() {
        let written =
            |encoding, completion: &_| encode_completion(Peer::of(encoding), completion).unwrap();
        // {echoed: {a: 2}, ok: true}, in the order of the captured answer.
        let reply = |hex_: &str| Completion::Completed(Some(hex(hex_).into()));
        let echoed = reply("a2 66 6563686f6564 a1 61 61 02 62 6f6b f5");
        let json = br#"{"response":{"echoed":{"a":2},"ok":true},"status":"completed"}"#;
        assert_eq!(written(Encoding::Json, &echoed), json[..]);
        let json = br#"{"status":"completed"}"#;
        assert_eq!(written(Encoding::Json, &NO_REPLY), json[..]);
        let cbor = "a2 68 726573706f6e7365 a2 66 6563686f6564 a1 61 61 02 62 6f6b f5
                    66 737461747573 69 636f6d706c65746564";
        assert_eq!(written(Encoding::Cbor, &echoed), hex(cbor));
        let cbor = "a1 66 737461747573 69 636f6d706c65746564";
        assert_eq!(written(Encoding::Cbor, &NO_REPLY), hex(cbor));
        // Maps are captured with a length in two bytes; here they have the short one, which is the same to the client.
        let echoed = reply("a2 62 6f6b f5 66 6563686f6564 a1 61 61 02");
        let bare = "04 00 09 636f6d706c65746564 01 10 a2 62 6f6b f5 66 6563686f6564 a1 61 61 02";
        assert_eq!(written(Encoding::Bare, &echoed), hex(bare));
        let bare = "04 00 09 636f6d706c65746564 00";
        assert_eq!(written(Encoding::Bare, &NO_REPLY), hex(bare));
    }

    #[test]
    fn a_message_that_was_not_completed_in_time_says_so() {
        let written =
            |encoding| encode_completion(Peer::of(encoding), &Completion::TimedOut).unwrap();
        assert_eq!(written(Encoding::Json), br#"{"status":"timedOut"}"#[..]);
        assert_eq!(
            written(Encoding::Bare),
            hex("04 00 08 74696d65644f7574 00")[..]
        );
        let cbor = "a1 66 737461747573 68 74696d65644f7574";
        assert_eq!(written(Encoding::Cbor), hex(cbor)[..]);
    }

    #[test]
    fn values_are_translated_as_those_of_calls_are() {
        let json = br#"{"body":[["$BigInt","5"],["$$BigInt","5"]]}"#;
        let (peer, message) = decode_message(Encoding::Json, json).unwrap();
        assert_eq!(message.body, hex("82 c24105 82 67 24426967496e74 6135"));
        let completion = Completion::Completed(Some(message.body));
        let written = encode_completion(peer, &completion).unwrap();
        let wanted = br#"{"response":[["$BigInt","5"],["$$BigInt","5"]],"status":"completed"}"#;
        assert_eq!(written, wanted[..]);
        // A tag array means one in version 4 only, and is escaped in its answers only.
        for (version, native, answer) in [
            (
                "03",
                "82 67 24426967496e74 6135",
                "82 67 24426967496e74 6135",
            ),
            ("04", "c2 41 05", "c2 41 05"),
        ] {
            let body = format!("{version} 00 0b 82 67 24426967496e74 6135 00 00 00");
            let (peer, message) = decode_message(Encoding::Bare, &hex(&body)).unwrap();
            assert_eq!(message.body, hex(native), "version {version}");
            let completion = Completion::Completed(Some(message.body));
            let written = encode_completion(peer, &completion).unwrap();
            let length = hex(answer).len();
            let wanted = format!("{version} 00 09 636f6d706c65746564 01 {length:02x} {answer}");
            assert_eq!(written, hex(&wanted), "version {version}");
        }
    }

    #[test]
    fn what_a_message_does_not_say_is_nothing() {
        let (_, message) = decode_message(Encoding::Json, b"{}").unwrap();
        assert_eq!((&message.body[..], message.wait), (&[0xf7][..], Wait::No));
        for (json, wait) in [
            (r#"{"wait":true}"#, Wait::Until(None)),
            (r#"{"wait":true,"timeout":null}"#, Wait::Until(None)),
            (
                r#"{"wait":true,"timeout":0}"#,
                Wait::Until(Some(Duration::ZERO)),
            ),
            (
                r#"{"wait":true,"timeout":0.5}"#,
                Wait::Until(Some(Duration::from_millis(1))),
            ),
            (r#"{"wait":null,"timeout":7}"#, Wait::No),
        ] {
            let (_, message) = decode_message(Encoding::Json, json.as_bytes()).unwrap();
            assert_eq!(message.wait, wait, "{json}");
        }
        let (_, message) = decode_message(Encoding::Bare, &hex("0300 01 05 00 00 00")).unwrap();
        assert_eq!((&message.body[..], message.wait), (&[5][..], Wait::No));
    }

    #[test]
    fn broken_messages_are_refused() {
        for json in [
            "",
            "[]",
            "5",
            r#"{"body":["$BigInt","x"]}"#,
            r#"{"wait":1}"#,
            r#"{"wait":true,"timeout":-1}"#,
            r#"{"wait":true,"timeout":"5s"}"#,
        ] {
            let refused = decode_message(Encoding::Json, json.as_bytes()).unwrap_err();
            assert!(refused.is(codes::INVALID_REQUEST), "{json}");
        }
        for bare in [
            "",
            "04",
            "0100 01 05 00 00 00",
            "0200 01 05 00 00 00",
            "0500 01 05 00 00 00",
            "0400 00 00 00 00",
            "0400 05 05",
            "0400 01 05 00 00",
            "0400 01 05 02 00 00",
            "0400 01 05 00 01 02 00",
            "0400 01 05 00 00 01 8813",
            "0400 01 05 00 00 00 00",
        ] {
            let refused = decode_message(Encoding::Bare, &hex(bare)).unwrap_err();
            assert!(refused.is(codes::INVALID_REQUEST), "{bare}");
        }
    }
}
