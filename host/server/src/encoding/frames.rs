//! The frames of realtime connections. Source: protocol, sections 7.2 to 7.5, 11 and 19.

use bytes::Bytes;
use greenroom_model::{ActorError, ActorId, Answer, ConnId, Event, codes};
use greenroom_placement::Frame;
use greenroom_value::{Value, decode, decode_javascript, encode, encode_into};

use super::bare::{Reader, Writer};
use super::javascript::{from_client, to_client};
use super::{Encoding, Peer, error_fields, json, malformed, version};

/// Reads a frame. In BARE it says which version its sender speaks, which the peer has afterwards.
pub(crate) fn decode_frame(peer: &mut Peer, bytes: &[u8]) -> Result<Frame, ActorError> {
    match peer.encoding {
        Encoding::Bare => decode_bare(peer, bytes),
        Encoding::Json => from_body(&json::parse(bytes).map_err(malformed)?, true),
        // In this encoding clients write everything natively, and a tag array means just that.
        Encoding::Cbor => from_body(&decode_javascript(bytes).map_err(malformed)?, false),
    }
}

fn decode_bare(peer: &mut Peer, bytes: &[u8]) -> Result<Frame, ActorError> {
    let mut reader = Reader::new(bytes);
    let spoken = version(reader.version().map_err(malformed)?)?;
    let frame = match reader.tag().map_err(malformed)? {
        0 => {
            let call = reader.uint().map_err(malformed)?;
            let action = reader.text().map_err(malformed)?.to_owned();
            let args = reader.data().map_err(malformed)?;
            let args = decode_javascript(args).map_err(malformed)?;
            Frame::Action {
                call,
                action,
                args: to_args(args, spoken >= 4)?,
            }
        }
        1 => Frame::Subscribe {
            event: reader.text().map_err(malformed)?.to_owned(),
            is_wanted: reader.truth().map_err(malformed)?,
        },
        _ => return Err(malformed("it is neither an action nor a subscription")),
    };
    reader.end().map_err(malformed)?;
    peer.version = spoken;
    Ok(frame)
}

fn from_body(frame: &Value, has_tag_arrays: bool) -> Result<Frame, ActorError> {
    let missing = |what: &str| malformed(format!("it has no {what}"));
    let body = frame.get("body").ok_or_else(|| missing("body"))?;
    let text = |value: &Value, name: &str| {
        let text = value.get(name).and_then(Value::as_text);
        text.map(str::to_owned).ok_or_else(|| missing(name))
    };
    let content = body.get("val").ok_or_else(|| missing("val"))?;
    match text(body, "tag")?.as_str() {
        "ActionRequest" => {
            let id = content.get("id").ok_or_else(|| missing("id"))?;
            let args = content
                .get("args")
                .cloned()
                .ok_or_else(|| missing("args"))?;
            Ok(Frame::Action {
                call: to_number(id, has_tag_arrays).ok_or_else(|| missing("usable id"))?,
                action: text(content, "name")?,
                args: to_args(args, has_tag_arrays)?,
            })
        }
        "SubscriptionRequest" => Ok(Frame::Subscribe {
            event: text(content, "eventName")?,
            is_wanted: match content.get("subscribe") {
                Some(Value::Bool(is_wanted)) => *is_wanted,
                _ => return Err(missing("subscribe")),
            },
        }),
        _ => Err(malformed("it is neither an action nor a subscription")),
    }
}

fn to_number(id: &Value, has_tag_arrays: bool) -> Option<u64> {
    match from_client(id.clone(), has_tag_arrays).ok()? {
        Value::Int(number) | Value::BigInt(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

fn to_args(args: Value, has_tag_arrays: bool) -> Result<Bytes, ActorError> {
    let args = from_client(args, has_tag_arrays).map_err(malformed)?;
    if args.as_array().is_none() {
        return Err(malformed("the arguments have to be an array"));
    }
    Ok(encode(&args).into())
}

/// Writes the first frame of a connection.
pub(crate) fn encode_opened(peer: Peer, actor: ActorId, conn: ConnId) -> Bytes {
    let (actor, conn) = (actor.to_string(), conn.to_string());
    if peer.encoding == Encoding::Bare {
        let mut writer = Writer::new(peer.version);
        writer.tag(0);
        writer.text(&actor);
        writer.text(&conn);
        if peer.version == 1 {
            // A token by which a connection could be taken up again; nobody does.
            writer.text("");
        }
        return writer.finish();
    }
    let fields = vec![
        ("actorId", Field::Value(actor.into())),
        ("connectionId", Field::Value(conn.into())),
    ];
    body(peer, "Init", fields)
}

/// Writes what a call came to. One that is over `bytes_max` fails instead.
pub(crate) fn encode_answer(peer: Peer, answer: &Answer, bytes_max: usize) -> Bytes {
    let output = match &answer.output {
        Ok(output) => output,
        Err(error) => return fitting_error(peer, error, Some(answer), bytes_max),
    };
    let written = encode_output(peer, answer.call, output);
    match written {
        Ok(frame) if frame.len() <= bytes_max => frame,
        Ok(frame) => {
            let bytes = frame.len();
            let text =
                format!("the action's answer has {bytes} bytes; at most {bytes_max} are sent");
            encode_error(
                peer,
                &ActorError::new(codes::OUTGOING_TOO_LONG, text),
                Some(answer),
            )
        }
        Err(error) => encode_error(peer, &error, Some(answer)),
    }
}

fn encode_output(peer: Peer, call: u64, output: &[u8]) -> Result<Bytes, ActorError> {
    // Guests' output has been checked on its way in, so that this does not happen.
    let output = decode(output).map_err(|_| ActorError::internal())?;
    if peer.encoding == Encoding::Json && json::has_huge_number(&output) {
        let text =
            "the answer has a BigInt of over 10,000 digits, which JSON is not written with here";
        return Err(ActorError::new(codes::OUTGOING_TOO_LONG, text));
    }
    let output = to_client(output, peer.reads_tag_arrays());
    if peer.encoding == Encoding::Bare {
        let mut writer = Writer::new(peer.version);
        writer.tag(2);
        writer.uint(call);
        writer.data(&encode(&output));
        return Ok(writer.finish());
    }
    let fields = vec![("id", Field::Call(call)), ("output", Field::Value(output))];
    Ok(body(peer, "ActionResponse", fields))
}

/// Writes an event, once for all peers of a form. One that cannot be written is an error for all of them.
pub(crate) fn encode_event(peer: Peer, event: &Event) -> Result<Bytes, ActorError> {
    let form = match (peer.encoding, peer.version) {
        (Encoding::Json, _) => 0,
        (Encoding::Cbor, _) => 1,
        (Encoding::Bare, 1) => 2,
        (Encoding::Bare, 2) => 3,
        (Encoding::Bare, 3) => 4,
        (Encoding::Bare, _) => 5,
    };
    let frame = event.form(form, |event| {
        // Guests' output has been checked on its way in; nothing is the best that is left.
        let args = decode(&event.args).unwrap_or(Value::Array(Vec::new()));
        if peer.encoding == Encoding::Json && json::has_huge_number(&args) {
            // No frame is empty.
            return Bytes::new();
        }
        let args = to_client(args, peer.reads_tag_arrays());
        if peer.encoding == Encoding::Bare {
            let mut writer = Writer::new(peer.version);
            writer.tag(3);
            writer.text(&event.name);
            writer.data(&encode(&args));
            return writer.finish();
        }
        let name = Field::Value(event.name.as_str().into());
        body(
            peer,
            "Event",
            vec![("name", name), ("args", Field::Value(args))],
        )
    });
    if frame.is_empty() {
        let text =
            "an event has a BigInt of over 10,000 digits, which JSON is not written with here";
        return Err(ActorError::new(codes::OUTGOING_TOO_LONG, text));
    }
    Ok(frame)
}

/// Writes an error that is no call's answer.
pub(crate) fn encode_failed(peer: Peer, error: &ActorError, bytes_max: usize) -> Bytes {
    fitting_error(peer, error, None, bytes_max)
}

/// Errors are made by guests as well, and bounded like their answers.
fn fitting_error(
    peer: Peer,
    error: &ActorError,
    answer: Option<&Answer>,
    bytes_max: usize,
) -> Bytes {
    let frame = encode_error(peer, error, answer);
    if frame.len() <= bytes_max {
        return frame;
    }
    let bytes = frame.len();
    let text = format!("the error has {bytes} bytes; at most {bytes_max} are sent");
    let error = ActorError::new(codes::OUTGOING_TOO_LONG, text);
    encode_error(peer, &error, answer)
}

fn encode_error(peer: Peer, error: &ActorError, answer: Option<&Answer>) -> Bytes {
    let actor = answer.and_then(|answer| answer.actor.as_ref());
    let call = answer.map(|answer| answer.call);
    let metadata = error.metadata.as_ref();
    let metadata = metadata.and_then(|metadata| decode(metadata).ok());
    let metadata = metadata.filter(|metadata| !json::has_huge_number(metadata));
    let metadata = metadata.map(|metadata| to_client(metadata, peer.reads_tag_arrays()));
    if peer.encoding == Encoding::Bare {
        let mut writer = Writer::new(peer.version);
        writer.tag(1);
        writer.text(&error.group);
        writer.text(&error.code);
        writer.text(&error.message);
        writer.optional(metadata.as_ref(), |writer, value| {
            writer.data(&encode(value));
        });
        writer.optional(call.as_ref(), |writer, call| writer.uint(*call));
        if peer.version >= 4 {
            super::write_actor(&mut writer, actor);
        }
        return writer.finish();
    }
    let mut fields: Vec<(&str, Field)> = error_fields(error, metadata, actor)
        .into_iter()
        .map(|(name, value)| (name, Field::Value(value)))
        .collect();
    fields.push((
        "actionId",
        call.map_or(Field::Value(Value::Null), Field::Call),
    ));
    body(peer, "Error", fields)
}

/// What a field of a frame holds. Clients take the numbers of calls as `BigInt`s only.
enum Field {
    Value(Value),
    Call(u64),
}

/// A frame in JSON or CBOR.
fn body(peer: Peer, tag: &str, fields: Vec<(&str, Field)>) -> Bytes {
    if peer.encoding == Encoding::Json {
        let fields = fields.into_iter().map(|(name, field)| {
            let value = match field {
                Field::Value(value) => value,
                Field::Call(call) => Value::BigInt(call.into()),
            };
            (name.into(), value)
        });
        let content = Value::Map(fields.collect());
        let body = Value::Map(vec![("tag".into(), tag.into()), ("val".into(), content)]);
        let frame = Value::Map(vec![("body".into(), body)]);
        return json::from_value(frame).to_string().into();
    }
    // By hand, because a call's number has to be an integer of eight bytes, which is not how integers are
    // written anywhere else.
    let mut bytes = vec![MAP | 1];
    encode_into(&"body".into(), &mut bytes);
    bytes.push(MAP | 2);
    encode_into(&"tag".into(), &mut bytes);
    encode_into(&tag.into(), &mut bytes);
    encode_into(&"val".into(), &mut bytes);
    bytes.push(MAP | u8::try_from(fields.len()).expect("frames have few fields"));
    for (name, field) in fields {
        encode_into(&name.into(), &mut bytes);
        match field {
            Field::Value(value) => encode_into(&value, &mut bytes),
            Field::Call(call) => {
                bytes.push(EIGHT_BYTES);
                bytes.extend_from_slice(&call.to_be_bytes());
            }
        }
    }
    bytes.into()
}

/// The first byte of a CBOR map, without its (small) number of pairs.
const MAP: u8 = 0xa0;
/// The first byte of a CBOR integer in eight bytes.
const EIGHT_BYTES: u8 = 0x1b;

#[cfg(test)]
mod tests {
    use greenroom_model::{ActorKey, ActorSpecifier, Generation};

    use super::*;
    use crate::encoding::tests::hex;

    fn bare(version: u16) -> Peer {
        Peer::of(Encoding::Bare).with_version(version)
    }

    fn answer(call: u64, output: Result<&str, ActorError>) -> Answer {
        Answer {
            call,
            output: output.map(|output| hex(output).into()),
            actor: None,
        }
    }

    #[test]
    fn the_captured_frames_in_bare() {
        let event = Event::new("newCount".into(), hex("81 18 2b").into());
        let wanted = hex("04 00 03 08 6e6577436f756e74 03 81 18 2b");
        assert_eq!(encode_event(bare(4), &event).unwrap(), wanted);
        let written = encode_answer(bare(4), &answer(0, Ok("18 2b")), 100);
        assert_eq!(written, hex("04 00 02 00 02 18 2b"));
        let error = |code: &str| ActorError::from_guest("g".into(), code.into(), "m".into(), None);
        assert_eq!(
            encode_failed(bare(2), &error("c"), 100),
            hex("0200 01 01 67 01 63 01 6d 00 00")
        );
        assert_eq!(
            encode_answer(bare(4), &answer(7, Err(error("c"))), 100),
            hex("0400 01 01 67 01 63 01 6d 00 01 07 00")
        );
        let id = ActorId::from_u128(1);
        let written = encode_opened(bare(2), id, ConnId::from_u128(2));
        let digits = "30".repeat(31);
        assert_eq!(
            written,
            hex(&format!("0200 00 20 {digits}31 20 {digits}32"))
        );
    }

    #[test]
    fn an_event_that_json_cannot_say_is_an_error_there_only() {
        let args = format!("81 c2 59 1388 {}", "ff".repeat(5_000));
        let event = Event::new("e".into(), hex(&args).into());
        for _ in 0..2 {
            let error = encode_event(Peer::JSON, &event).unwrap_err();
            assert!(error.is(codes::OUTGOING_TOO_LONG));
        }
        assert!(encode_event(bare(4), &event).is_ok());
    }

    #[test]
    fn frames_of_clients_are_read_in_all_encodings() {
        let cbor = "b9 0001 64 626f6479 b9 0002 63 746167 6d 416374696f6e52657175657374 63 76616c
                    b9 0003 62 6964 1b 000000000000012c 64 6e616d65 61 66 64 61726773 80";
        let json = r#"{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","300"],"name":"f","args":[]}}}"#;
        for (encoding, bytes) in [
            (Encoding::Bare, hex("0400 00 ac02 01 66 01 80")),
            (Encoding::Cbor, hex(cbor)),
            (Encoding::Json, json.as_bytes().to_vec()),
        ] {
            let frame = decode_frame(&mut Peer::of(encoding), &bytes).unwrap();
            let Frame::Action { call, action, args } = frame else {
                panic!("an action")
            };
            assert_eq!((call, &*action, &args[..]), (300, "f", &[0x80][..]));
        }
        let mut peer = bare(4);
        let frame = decode_frame(&mut peer, &hex("0300 01 01 65 00")).unwrap();
        assert!(matches!(frame, Frame::Subscribe { event, is_wanted: false } if event == "e"));
        assert_eq!(peer, bare(3), "answered in the version that was spoken");
    }

    #[test]
    fn broken_frames_are_refused() {
        for frame in [
            "",
            "04",
            "0500 00 00 01 66 01 80",
            "0400 02",
            "0400 00 00 01 66 01 05",
            "0400 00 00 01 66 01 80 00",
            "0400 01 01 65 02",
            "0400 01 01 ff 01",
            "0400 00 00 05 66",
        ] {
            assert!(decode_frame(&mut bare(4), &hex(frame)).is_err(), "{frame}");
        }
        for frame in [
            "{}",
            r#"{"body":{"tag":"Init","val":{}}}"#,
            r#"{"body":{"tag":"ActionRequest","val":{"id":-1,"name":"f","args":[]}}}"#,
            r#"{"body":{"tag":"SubscriptionRequest","val":{"eventName":"e"}}}"#,
        ] {
            let mut peer = Peer::JSON;
            assert!(
                decode_frame(&mut peer, frame.as_bytes()).is_err(),
                "{frame}"
            );
        }
    }

    #[test]
    fn numbers_of_calls_are_wide_in_cbor_and_tagged_in_json() {
        let actor = Some(ActorSpecifier {
            id: ActorId::from_u128(1),
            key: ActorKey::new(&["k"]).unwrap(),
            generation: Generation(1),
        });
        let answer = Answer {
            actor,
            ..answer(1, Ok("05"))
        };
        let cbor = encode_answer(Peer::of(Encoding::Cbor), &answer, 1_000);
        let wanted =
            "a1 64 626f6479 a2 63 746167 6e 416374696f6e526573706f6e7365 63 76616c a2 62 6964
                      1b 0000000000000001 66 6f7574707574 05";
        assert_eq!(cbor, hex(wanted));
        let json = encode_answer(Peer::JSON, &answer, 1_000);
        let wanted = r#"{"body":{"tag":"ActionResponse","val":{"id":["$BigInt","1"],"output":5}}}"#;
        let parse = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        assert_eq!(parse(&json), parse(wanted.as_bytes()));
    }

    #[test]
    fn an_answer_that_is_too_large_fails_its_call_only() {
        let long = format!("78 50 {}", "61".repeat(80));
        let written = encode_answer(bare(4), &answer(3, Ok(&long)), 50);
        let text = String::from_utf8_lossy(&written).into_owned();
        assert!(text.contains("outgoing_too_long"), "{text}");
    }
}
