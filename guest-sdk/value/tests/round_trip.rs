//! What goes in comes out, and what JavaScript does not tell apart is read either way.

use greenroom_value::{DEPTH_MAX, Error, Value, decode, encode, from_slice, to_vec, validate};
use serde::{Deserialize, Serialize};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("hexadecimal digits are ASCII");
        u8::from_str_radix(pair, 16).expect("two hexadecimal digits")
    };
    digits.chunks(2).map(byte).collect()
}

#[test]
fn every_kind_of_value_survives() {
    let value = Value::Map(vec![
        ("undefined".into(), Value::Undefined),
        ("null".into(), Value::Null),
        ("yes".into(), Value::Bool(true)),
        ("small".into(), Value::Int(-42)),
        ("large".into(), Value::Int(1 << 40)),
        ("half".into(), Value::Float(0.5)),
        ("big".into(), Value::BigInt(5)),
        ("huge".into(), Value::BigInt(-(1 << 100))),
        ("bytes".into(), Value::Bytes(vec![1, 2, 3])),
        ("list".into(), Value::Array(vec![Value::Text("x".into())])),
        ("date".into(), Value::Tagged(1, Box::new(Value::Float(1.5)))),
    ]);
    assert_eq!(decode(&encode(&value)).unwrap(), value);
    let as_raw: Value = from_slice(&to_vec(&value).unwrap()).unwrap();
    assert_eq!(as_raw, value);
}

#[test]
fn the_stock_clients_wide_maps_are_read() {
    let value = decode(&hex(
        "b9 0002 64 6d6f6465 66 72616e6b6564 63 626967 82 67 24426967496e74 61 35",
    ));
    let value = value.unwrap();
    assert_eq!(value.get("mode"), Some(&"ranked".into()));
    assert_eq!(value.get("big").unwrap().as_array().unwrap().len(), 2);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    count: i64,
    ratio: f64,
    name: Option<String>,
    bytes: Vec<u8>,
    shape: Shape,
    any: Value,
    pair: (u8, String),
    letter: char,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Dot,
    Circle(f64),
    Rect { width: u32, height: u32 },
}

#[test]
fn rust_types_survive() {
    for shape in [
        Shape::Dot,
        Shape::Circle(1.5),
        Shape::Rect {
            width: 1,
            height: 2,
        },
    ] {
        let everything = Everything {
            count: i64::MIN,
            ratio: 2.0,
            name: None,
            bytes: vec![0, 255],
            shape,
            any: Value::Array(vec![Value::Undefined, Value::BigInt(7)]),
            pair: (9, "nine".into()),
            letter: 'ß',
        };
        let back: Everything = from_slice(&to_vec(&everything).unwrap()).unwrap();
        assert_eq!(back, everything);
    }
}

#[test]
fn numbers_are_read_as_javascript_means_them() {
    assert_eq!(from_slice::<u64>(&hex("fb 4270000000000000")), Ok(1 << 40));
    assert_eq!(from_slice::<i32>(&hex("f9 3c00")), Ok(1));
    assert_eq!(from_slice::<f64>(&hex("02")), Ok(2.0));
    assert_eq!(from_slice::<i64>(&hex("c2 41 05")), Ok(5));
    assert_eq!(from_slice::<i64>(&hex("c3 41 05")), Ok(-6));
    assert_eq!(from_slice::<u64>(&hex("1b 0000000000000005")), Ok(5));
    assert!(
        from_slice::<u32>(&hex("fb 3ff8000000000000")).is_err(),
        "1.5 is no integer"
    );
    assert!(from_slice::<u8>(&hex("19 0100")).is_err(), "256 is no byte");
    assert!(from_slice::<u32>(&hex("20")).is_err(), "-1 is not unsigned");
}

#[test]
fn both_nothings_are_none() {
    assert_eq!(from_slice::<Option<u8>>(&hex("f6")), Ok(None));
    assert_eq!(from_slice::<Option<u8>>(&hex("f7")), Ok(None));
    assert_eq!(from_slice::<()>(&hex("f7")), Ok(()));
}

#[test]
fn bytes_and_lists_of_bytes_are_read_alike() {
    assert_eq!(from_slice::<Vec<u8>>(&hex("43 010203")), Ok(vec![1, 2, 3]));
    assert_eq!(
        from_slice::<Vec<u8>>(&hex("d840 43 010203")),
        Ok(vec![1, 2, 3])
    );
    assert_eq!(from_slice::<Vec<u8>>(&hex("83 010203")), Ok(vec![1, 2, 3]));
}

#[test]
fn hostile_bytes_are_refused_and_nothing_else() {
    let deep = [vec![0x81; DEPTH_MAX + 2], vec![0x00]].concat();
    assert_eq!(validate(&deep), Err(Error::TooDeep));
    assert_eq!(decode(&deep), Err(Error::TooDeep));
    assert_eq!(validate(&hex("0000")), Err(Error::Trailing(1)));
    for text in [
        "",
        "18",
        "81",
        "9f",
        "a1 01",
        "62 61",
        "61 ff",
        "ff",
        "1c",
        "f8 ff",
        "c2",
        "9b ffffffffffffffff",
        "bb ffffffffffffffff",
        "5b ffffffffffffffff",
        "bf 01 ff",
    ] {
        assert!(validate(&hex(text)).is_err(), "{text}");
        assert!(decode(&hex(text)).is_err(), "{text}");
        assert!(from_slice::<Value>(&hex(text)).is_err(), "{text}");
        assert!(from_slice::<Vec<u32>>(&hex(text)).is_err(), "{text}");
    }
}

#[test]
fn an_array_is_split_into_its_items() {
    let array = hex("83 01 82 02 03 61 61");
    let items = greenroom_value::split_array(&array).unwrap();
    assert_eq!(items, [&hex("01")[..], &hex("82 02 03"), &hex("61 61")]);
    assert_eq!(
        greenroom_value::split_array(&hex("9f 01 ff")).unwrap(),
        [hex("01")]
    );
    assert!(greenroom_value::split_array(&hex("01")).is_err());
}
