//! The three encodings of the stock client, and the form that values have inside. Source: protocol,
//! sections 7, 8, 13 and 19.
//!
//! Inside, a value is native CBOR (`greenroom_value`). Outside it is JSON, CBOR, or CBOR in a BARE envelope, and
//! what JavaScript has beyond JSON is written in arrays of two, `["$BigInt", "5"]`. Which side writes and
//! reads those arrays where differs by encoding and version; that is settled here and nowhere else.

mod bare;
mod bignum;
mod frames;
mod javascript;
mod json;
mod queue;

pub(crate) use self::frames::{
    decode_frame, encode_answer, encode_event, encode_failed, encode_opened,
};
pub(crate) use self::queue::{decode_message, encode_completion};

use bytes::Bytes;
use greenroom_model::{ActorError, ActorSpecifier, codes};
use greenroom_value::{Value, decode, decode_javascript, encode};
use http::{HeaderMap, HeaderValue};

use self::bare::{Reader, Writer};
use self::javascript::{from_client, to_client};

/// The newest version of the BARE envelope that we speak.
const VERSION_NEWEST: u16 = 4;

/// How the other side writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Cbor,
    Bare,
}

/// How the other side writes, in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    encoding: Encoding,
    /// Of the BARE envelope; the newest for the others, which have none.
    version: u16,
}

impl Peer {
    pub(crate) const JSON: Self = Self {
        encoding: Encoding::Json,
        version: VERSION_NEWEST,
    };

    /// A peer of which only the encoding is known.
    pub(crate) const fn of(encoding: Encoding) -> Self {
        Self {
            encoding,
            version: VERSION_NEWEST,
        }
    }

    /// A peer that speaks this version of the BARE envelope.
    pub(crate) const fn with_version(mut self, version: u16) -> Self {
        self.version = version;
        self
    }

    /// The version of the BARE envelope that it speaks.
    pub(crate) const fn version(self) -> u16 {
        self.version
    }

    /// Whether it wants text frames.
    pub(crate) const fn wants_text(self) -> bool {
        matches!(self.encoding, Encoding::Json)
    }

    pub(crate) const fn content_type(self) -> HeaderValue {
        match self.encoding {
            Encoding::Json => HeaderValue::from_static("application/json"),
            Encoding::Cbor | Encoding::Bare => HeaderValue::from_static("application/octet-stream"),
        }
    }

    /// Clients before version 4 do not read tag arrays inside CBOR, so that nothing needs escaping there.
    const fn reads_tag_arrays(self) -> bool {
        self.version >= 4
    }
}

impl Encoding {
    /// By its name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "json" => Self::Json,
            "cbor" => Self::Cbor,
            "bare" => Self::Bare,
            _ => return None,
        })
    }

    /// What `x-rivet-encoding` says; without it, JSON.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ActorError> {
        match headers.get("x-rivet-encoding").map(HeaderValue::as_bytes) {
            None | Some(b"json") => Ok(Self::Json),
            Some(b"cbor") => Ok(Self::Cbor),
            Some(b"bare") => Ok(Self::Bare),
            Some(_) => Err(malformed(
                "the header x-rivet-encoding has to be bare, cbor or json",
            )),
        }
    }
}

/// Reads the body of an action call: the arguments in native CBOR, and how to answer.
pub(crate) fn decode_action(encoding: Encoding, body: &[u8]) -> Result<(Peer, Bytes), ActorError> {
    let mut peer = Peer::of(encoding);
    let args = match encoding {
        Encoding::Json => from_client(args_of(json::parse(body).map_err(malformed)?)?, true),
        // In this encoding clients write everything natively, and a tag array means just that.
        Encoding::Cbor => from_client(args_of(decode_javascript(body).map_err(malformed)?)?, false),
        Encoding::Bare => {
            let mut reader = Reader::new(body);
            peer.version = version(reader.version().map_err(malformed)?)?;
            let args = reader.data().map_err(malformed)?;
            reader.end().map_err(malformed)?;
            let args = decode_javascript(args).map_err(malformed)?;
            from_client(args, peer.version >= 4)
        }
    };
    let args = args.map_err(malformed)?;
    if args.as_array().is_none() {
        return Err(malformed("the arguments have to be an array"));
    }
    Ok((peer, encode(&args).into()))
}

/// Writes the body that answers an action call. `output` is native CBOR.
pub(crate) fn encode_output(peer: Peer, output: &[u8]) -> Result<Bytes, ActorError> {
    let output = for_peer(peer, output)?;
    Ok(match peer.encoding {
        Encoding::Json => {
            let mut body = serde_json::Map::new();
            body.insert("output".into(), json::from_value(output));
            serde_json::Value::Object(body).to_string().into()
        }
        Encoding::Cbor => encode(&Value::Map(vec![("output".into(), output)])).into(),
        Encoding::Bare => {
            let mut writer = Writer::new(peer.version);
            writer.data(&encode(&output));
            writer.finish()
        }
    })
}

/// What a guest has answered, as it is to be written for this peer.
fn for_peer(peer: Peer, answer: &[u8]) -> Result<Value, ActorError> {
    // Guests' output has been checked on its way in, so that this does not happen.
    let answer = decode(answer).map_err(|_| ActorError::internal())?;
    if peer.encoding == Encoding::Json && json::has_huge_number(&answer) {
        let text = "the answer has a BigInt of over 10,000 digits, which JSON is not written with here; use \
                    the encoding bare or cbor";
        return Err(ActorError::new(codes::OUTGOING_TOO_LONG, text));
    }
    Ok(to_client(answer, peer.reads_tag_arrays()))
}

/// A value as the JSON of an action's answer has it, for operators; `None` if JSON cannot say it.
pub(crate) fn shown(value: &[u8]) -> Option<serde_json::Value> {
    for_peer(Peer::JSON, value).ok().map(json::from_value)
}

/// Writes an error body.
pub(crate) fn encode_error(
    peer: Peer,
    error: &ActorError,
    actor: Option<&ActorSpecifier>,
) -> Bytes {
    let metadata = error.metadata.as_ref();
    let metadata = metadata.and_then(|metadata| decode(metadata).ok());
    let metadata = metadata.filter(|metadata| !json::has_huge_number(metadata));
    let metadata = metadata.map(|metadata| to_client(metadata, peer.reads_tag_arrays()));
    match peer.encoding {
        Encoding::Json => json::from_value(error_map(error, metadata, actor))
            .to_string()
            .into(),
        Encoding::Cbor => encode(&error_map(error, metadata, actor)).into(),
        Encoding::Bare => {
            let mut writer = Writer::new(peer.version);
            writer.text(&error.group);
            writer.text(&error.code);
            writer.text(&error.message);
            writer.optional(metadata.as_ref(), |writer, value| {
                writer.data(&encode(value));
            });
            if peer.version >= 4 {
                write_actor(&mut writer, actor);
            }
            writer.finish()
        }
    }
}

fn write_actor(writer: &mut Writer, actor: Option<&ActorSpecifier>) {
    writer.optional(actor, |writer, actor| {
        writer.text(&actor.id.to_string());
        writer.uint(actor.generation.0);
        writer.optional(Some(&actor.key), |w, key| w.text(key.as_serialized()));
    });
}

/// The error as JSON and CBOR have it. What is absent has no key: the client takes a null for a fault.
fn error_fields(
    error: &ActorError,
    metadata: Option<Value>,
    actor: Option<&ActorSpecifier>,
) -> Vec<(&'static str, Value)> {
    let mut fields = vec![
        ("group", (&*error.group).into()),
        ("code", (&*error.code).into()),
        ("message", (&*error.message).into()),
    ];
    if let Some(metadata) = metadata {
        fields.push(("metadata", metadata));
    }
    if let Some(actor) = actor {
        let generation = Value::Int(actor.generation.0.into());
        let actor = vec![
            ("actorId".into(), actor.id.to_string().into()),
            ("generation".into(), generation),
            ("key".into(), actor.key.as_serialized().into()),
        ];
        fields.push(("actor", Value::Map(actor)));
    }
    fields
}

fn error_map(error: &ActorError, metadata: Option<Value>, actor: Option<&ActorSpecifier>) -> Value {
    let fields = error_fields(error, metadata, actor).into_iter();
    Value::Map(fields.map(|(name, value)| (name.into(), value)).collect())
}

/// Reads the connection params that a client wrote as JSON, into native CBOR. Without any it is nothing.
pub(crate) fn params(text: Option<&str>) -> Result<Bytes, ActorError> {
    let Some(text) = text else {
        return Ok(encode(&Value::Undefined).into());
    };
    let malformed = |reason: String| malformed(format!("the connection params: {reason}"));
    let value = json::parse(text.as_bytes()).map_err(malformed)?;
    Ok(encode(&from_client(value, true).map_err(malformed)?).into())
}

/// Reads one value that a client wrote as CBOR, into native CBOR. Inputs have tag arrays whatever the
/// encoding.
pub(crate) fn from_client_cbor(bytes: &[u8], has_tag_arrays: bool) -> Result<Bytes, String> {
    let value = decode_javascript(bytes).map_err(|error| error.to_string())?;
    Ok(encode(&from_client(value, has_tag_arrays)?).into())
}

fn args_of(body: Value) -> Result<Value, ActorError> {
    let Value::Map(pairs) = body else {
        return Err(malformed("the body has to be an object with `args`"));
    };
    let args = pairs
        .into_iter()
        .find(|(key, _)| key.as_text() == Some("args"));
    args.map(|(_, args)| args)
        .ok_or_else(|| malformed("the body has no `args`"))
}

fn version(version: u16) -> Result<u16, ActorError> {
    if (1..=VERSION_NEWEST).contains(&version) {
        return Ok(version);
    }
    Err(malformed(format!(
        "version {version} of the protocol is not known here; 1 to 4 are"
    )))
}

fn malformed(reason: impl std::fmt::Display) -> ActorError {
    ActorError::new(
        codes::INVALID_REQUEST,
        format!("the request cannot be read: {reason}"),
    )
}

#[cfg(test)]
mod tests {
    use greenroom_model::{ActorId, ActorKey, Generation};

    use super::*;

    pub(super) fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    #[test]
    fn the_worked_example_in_all_encodings() {
        for (encoding, request, answer) in [
            (
                Encoding::Bare,
                hex("04 00 03 81 18 2a"),
                hex("04 00 02 18 2a"),
            ),
            (
                Encoding::Cbor,
                hex("b9 0001 64 61726773 81 18 2a"),
                hex("a1 66 6f7574707574 18 2a"),
            ),
            (
                Encoding::Json,
                br#"{"args":[42]}"#.to_vec(),
                br#"{"output":42}"#.to_vec(),
            ),
        ] {
            let (peer, args) = decode_action(encoding, &request).unwrap();
            assert_eq!(args, hex("81 18 2a"), "{encoding:?}");
            assert_eq!(
                encode_output(peer, &hex("18 2a")).unwrap(),
                answer,
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn an_old_client_is_answered_in_its_version() {
        for version in 1..=4 {
            let request = [&[version, 0][..], &hex("01 80")].concat();
            let (peer, _) = decode_action(Encoding::Bare, &request).unwrap();
            let answer = encode_output(peer, &hex("f7")).unwrap();
            assert_eq!(answer, [&[version, 0][..], &hex("01 f7")].concat());
        }
    }

    #[test]
    fn the_captured_error_is_written_byte_for_byte() {
        let error = ActorError::from_guest(
            "user".into(),
            "username_too_long".into(),
            "Username is too long".into(),
            Some(hex("a1 69 6d61784c656e677468 18 20").into()),
        );
        let key = ActorKey::new(&["fin", "bare"]).unwrap();
        let actor = ActorSpecifier {
            id: ActorId::from_u128(1),
            key,
            generation: Generation(1),
        };
        let written = encode_error(Peer::of(Encoding::Bare), &error, Some(&actor));
        let id = "30".repeat(31) + "31";
        let wanted = format!(
            "04 00 04 75736572 11 757365726e616d655f746f6f5f6c6f6e67
             14 557365726e616d6520697320746f6f206c6f6e67 01 0d a1 69 6d61784c656e677468 18 20
             01 20 {id} 01 01 08 66696e2f62617265"
        );
        assert_eq!(written, hex(&wanted));
        let written = encode_error(Peer::JSON, &error, None);
        let wanted = r#"{"code":"username_too_long","group":"user","message":"Username is too long","metadata":{"maxLength":32}}"#;
        let parse = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        assert_eq!(parse(&written), parse(wanted.as_bytes()));
    }

    #[test]
    fn malformed_bodies_are_refused() {
        for (encoding, body) in [
            (Encoding::Json, &b""[..]),
            (Encoding::Json, b"{"),
            (Encoding::Json, b"[]"),
            (Encoding::Json, br#"{"args":{}}"#),
            (Encoding::Json, br#"{"args":[["$BigInt","x"]]}"#),
            (Encoding::Cbor, b""),
            (Encoding::Cbor, b"\x80"),
            (Encoding::Cbor, b"\xa0"),
            (Encoding::Bare, b""),
            (Encoding::Bare, b"\x04"),
            (Encoding::Bare, b"\x05\x00\x01\x80"),
            (Encoding::Bare, b"\x00\x00\x01\x80"),
            (Encoding::Bare, b"\x04\x00\x01\x80\x00"),
            (
                Encoding::Bare,
                b"\x04\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            ),
            (Encoding::Bare, b"\x04\x00\x01\x05"),
        ] {
            let refused = decode_action(encoding, body).unwrap_err();
            assert!(refused.is(codes::INVALID_REQUEST), "{encoding:?} {body:?}");
        }
    }

    /// What a 2.3 client sends for a value in each encoding, and that it gets the same back.
    #[test]
    fn what_javascript_has_beyond_json_survives() {
        let json =
            r#"[["$BigInt","5"],["$Uint8Array","AQI="],["$$BigInt","5"],1099511627776,null]"#;
        let native = Value::Array(vec![
            Value::BigInt(5),
            Value::Bytes(vec![1, 2]),
            Value::Array(vec!["$BigInt".into(), "5".into()]),
            Value::Int(1 << 40),
            Value::Null,
        ]);
        let body = format!(r#"{{"args":{json}}}"#);
        let (peer, args) = decode_action(Encoding::Json, body.as_bytes()).unwrap();
        assert_eq!(decode(&args).unwrap(), native);
        let answer = encode_output(peer, &args).unwrap();
        assert_eq!(answer, format!(r#"{{"output":{json}}}"#));

        // 5n, Uint8Array [1, 2], ["$BigInt", "5"], 2 ** 40, null
        let cbor =
            "85 1b0000000000000005 d840420102 82 67 24426967496e74 6135 fb4270000000000000 f6";
        let body = hex(&format!("a1 64 61726773 {cbor}"));
        let (_, args) = decode_action(Encoding::Cbor, &body).unwrap();
        assert_eq!(decode(&args).unwrap(), native);

        let bare = "85 82 67 24426967496e74 6135 82 6b 2455696e74384172726179 64 4151493d
                    82 68 2424426967496e74 6135 fb4270000000000000 f6";
        let bare = hex(bare);
        let body = [&[4, 0, u8::try_from(bare.len()).unwrap()][..], &bare].concat();
        let (_, args) = decode_action(Encoding::Bare, &body).unwrap();
        assert_eq!(decode(&args).unwrap(), native);
    }

    #[test]
    fn numbers_leave_as_javascript_reads_them() {
        let peer = Peer::of(Encoding::Bare);
        for (native, client) in [
            ("1a ffffffff", "1a ffffffff"),
            ("1b 0000000100000000", "fb 41f0000000000000"),
            ("3a ffffffff", "fb c1f0000000000000"),
            ("1b 0020000000000001", "c2 47 20000000000001"),
            ("c2 41 05", "c2 41 05"),
        ] {
            let client = hex(client);
            let length = u8::try_from(client.len()).unwrap();
            let wanted = [&[4, 0, length][..], &client].concat();
            assert_eq!(
                encode_output(peer, &hex(native)).unwrap(),
                wanted,
                "{native}"
            );
        }
    }
}
