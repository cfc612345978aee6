//! Positional parameters of a call, decoded one by one with the error texts that Ethereum clients expect.
//!
//! D3.1 6.3.1. Invariant: nothing here fails but with `-32602`.

use crate::error::Failure;
use alloy_eips::BlockId;
use alloy_primitives::{B256, U256};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// No method has more parameters.
const MOST_ARGUMENTS: usize = 8;

/// The parameters of one call that are still to be read.
#[derive(Debug)]
pub(crate) struct Arguments<'a> {
    values: Vec<&'a RawValue>,
    next: usize,
}

impl<'a> Arguments<'a> {
    /// Splits a JSON array of parameters; absent and `null` mean none.
    pub(crate) fn parse(params: Option<&'a str>) -> Result<Arguments<'a>, Failure> {
        let values = match params.map(str::trim) {
            None | Some("" | "null") => Vec::new(),
            Some(text) if text.starts_with('[') => serde_json::from_str::<Vec<&RawValue>>(text)
                .map_err(|why| Failure::invalid_params(format!("cannot parse the parameters: {why}")))?,
            Some(_) => return Err(Failure::invalid_params("non-array args")),
        };
        if values.len() > MOST_ARGUMENTS {
            return Err(too_many(MOST_ARGUMENTS));
        }
        Ok(Arguments { values, next: 0 })
    }

    /// The next parameter, which must be there.
    pub(crate) fn required<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let index = self.next;
        let missing = || Failure::invalid_params(format!("missing value for required argument {index}"));
        self.optional()?.ok_or_else(missing)
    }

    /// The next parameter, if it is there and not `null`.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        let index = self.next;
        self.next += 1;
        match self.values.get(index).map(|value| value.get()) {
            None | Some("null") => Ok(None),
            Some(text) => serde_json::from_str(text).map(Some).map_err(|why| invalid(index, &why)),
        }
    }

    /// The next parameter, which must be there: bytes of some length, in hexadecimal after `0x`.
    pub(crate) fn hex<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        self.check_prefix(|text| !text.starts_with("\"0x") && !text.starts_with("\"0X"))?;
        self.required()
    }

    fn check_prefix(&self, lacks_it: impl Fn(&str) -> bool) -> Result<(), Failure> {
        let text = self.values.get(self.next).map_or("", |value| value.get());
        match text.starts_with('"') && lacks_it(text) {
            true => Err(invalid_text(self.next, "hex string without 0x prefix")),
            false => Ok(()),
        }
    }

    /// A block, `latest` where none is named.
    pub(crate) fn block(&mut self) -> Result<BlockId, Failure> {
        Ok(self.optional_block()?.unwrap_or_else(BlockId::latest))
    }

    /// A block, if one is named.
    pub(crate) fn optional_block(&mut self) -> Result<Option<BlockId>, Failure> {
        self.check_prefix(|text| !text.contains("0x") && text.bytes().any(|byte| byte.is_ascii_digit()))?;
        self.optional::<BlockId>()
    }

    /// A quantity in hexadecimal or a JSON number.
    pub(crate) fn index(&mut self) -> Result<usize, Failure> {
        Ok(self.required::<alloy_rpc_types_eth::Index>()?.0)
    }

    /// A storage key: at most 32 bytes of hexadecimal, shorter ones padded on the left.
    pub(crate) fn storage_key(&mut self) -> Result<B256, Failure> {
        let StorageKey(key) = self.required()?;
        Ok(key)
    }

    /// Refuses parameters that the method does not have.
    pub(crate) fn end(&self) -> Result<(), Failure> {
        if self.values.len() > self.next { Err(too_many(self.next)) } else { Ok(()) }
    }
}

fn too_many(most: usize) -> Failure {
    Failure::invalid_params(format!("too many arguments, want at most {most}"))
}

fn invalid(index: usize, why: &serde_json::Error) -> Failure {
    invalid_text(index, &plain(why))
}

fn invalid_text(index: usize, why: &str) -> Failure {
    Failure::invalid_params(format!("invalid argument {index}: {why}"))
}

/// The library's text without the position in a text that the caller never wrote.
fn plain(why: &serde_json::Error) -> String {
    let text = why.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

/// A storage key as clients write it: `0x0`, `0x00…00`, or any length between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StorageKey(pub(crate) B256);

impl<'de> Deserialize<'de> for StorageKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<StorageKey, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(&text);
        if digits.len() > 64 {
            let why = format!("storage key too long (want at most 32 bytes): {text:?}");
            return Err(serde::de::Error::custom(why));
        }
        let undecodable = || serde::de::Error::custom(format!("unable to decode storage key: {text:?}"));
        if digits.is_empty() {
            return Err(undecodable());
        }
        let number = U256::from_str_radix(digits, 16);
        number.map(|number| StorageKey(B256::from(number))).map_err(|_| undecodable())
    }
}

/// How deep arrays and objects nest in a JSON text.
pub(crate) fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;

    fn text(failure: Failure) -> String {
        assert_eq!(failure.code(), -32602);
        failure.to_string()
    }

    #[test]
    fn reads_in_order_and_refuses_extras() {
        let mut arguments = Arguments::parse(Some(r#"["0x1", null, 7]"#)).unwrap();
        assert_eq!(arguments.required::<U256>().unwrap(), U256::from(1));
        assert_eq!(arguments.optional::<U256>().unwrap(), None);
        assert_eq!(text(arguments.end().unwrap_err()), "too many arguments, want at most 2");
        assert_eq!(arguments.index().unwrap(), 7);
        assert!(arguments.end().is_ok());
    }

    #[test]
    fn says_what_is_wrong() {
        let mut none = Arguments::parse(None).unwrap();
        assert_eq!(text(none.required::<U256>().unwrap_err()), "missing value for required argument 0");
        assert_eq!(text(Arguments::parse(Some("{}")).unwrap_err()), "non-array args");
        let mut wrong = Arguments::parse(Some(r#"["0x12"]"#)).unwrap();
        assert!(text(wrong.required::<Address>().unwrap_err()).starts_with("invalid argument 0: "));
        let mut bare = Arguments::parse(Some(r#"["2"]"#)).unwrap();
        assert_eq!(text(bare.block().unwrap_err()), "invalid argument 0: hex string without 0x prefix");
        let mut bare = Arguments::parse(Some(r#"["0000000000000000000000000000000000000001"]"#)).unwrap();
        assert_eq!(text(bare.hex::<Address>().unwrap_err()), "invalid argument 0: hex string without 0x prefix");
        assert!(Arguments::parse(Some("[1,2,3,4,5,6,7,8,9]")).is_err());
        assert!(Arguments::parse(Some("[1,")).is_err());
    }

    #[test]
    fn storage_keys_of_every_length() {
        let key = |text: &str| serde_json::from_str::<StorageKey>(&format!("{text:?}"));
        assert_eq!(key("0x0").unwrap().0, B256::ZERO);
        assert_eq!(key("0x01").unwrap().0, B256::with_last_byte(1));
        assert_eq!(key(&format!("0x{}", "f".repeat(64))).unwrap().0, B256::repeat_byte(0xff));
        let long = key(&format!("0x{}", "0".repeat(65))).unwrap_err();
        assert!(long.to_string().starts_with("storage key too long (want at most 32 bytes): "));
        assert!(key("0xzz").is_err());
    }

    #[test]
    fn depth_ignores_brackets_in_strings() {
        assert_eq!(depth("1"), 0);
        assert_eq!(depth(r#"[{"a":["[[[[\"["]}]"#), 3);
        assert_eq!(depth(&"[".repeat(1000)), 1000);
    }
}
