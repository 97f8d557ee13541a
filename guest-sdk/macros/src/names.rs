//! Names and durations in the macros' settings.

use std::time::Duration;

use syn::{Error, LitStr, Result};

/// How functions without a name of their own are called by clients.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Rename {
    /// As they are written.
    #[default]
    None,
    /// `get_count` as `getCount`.
    Camel,
}

impl Rename {
    pub(crate) fn parse(text: &LitStr) -> Result<Self> {
        match text.value().as_str() {
            "camelCase" => Ok(Self::Camel),
            "none" => Ok(Self::None),
            _ => Err(Error::new(
                text.span(),
                "it is either \"camelCase\" or \"none\"",
            )),
        }
    }

    pub(crate) fn apply(self, name: &str) -> String {
        match self {
            Self::None => name.to_owned(),
            Self::Camel => camel(name),
        }
    }
}

/// `get_count` and `GetCount` as `getCount`.
pub(crate) fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut is_start = false;
    for c in name.chars() {
        if c == '_' {
            is_start = !camel.is_empty();
        } else if camel.is_empty() {
            camel.extend(c.to_lowercase());
        } else if is_start {
            camel.extend(c.to_uppercase());
            is_start = false;
        } else {
            camel.push(c);
        }
    }
    camel
}

/// `"250ms"`, `"5s"`, `"2m"`, `"1h"`, in milliseconds.
pub(crate) fn duration_ms(text: &LitStr) -> Result<u32> {
    let value = text.value();
    let digits = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let scale = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let ms = number
        .parse::<u64>()
        .ok()
        .zip(scale)
        .and_then(|(n, scale)| n.checked_mul(scale));
    ms.map(Duration::from_millis)
        .and_then(|duration| u32::try_from(duration.as_millis()).ok())
        .ok_or_else(|| {
            Error::new(
                text.span(),
                "a duration is like \"250ms\", \"5s\", \"2m\" or \"1h\"",
            )
        })
}
