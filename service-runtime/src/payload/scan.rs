//! One pass over a JSON text for what a parser does not tell.

use std::ops::Range;

/// A lexical event of a JSON text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// `{` or `[`; how deep its content is.
    Open(usize),
    /// A number as it is written.
    Number(Range<usize>),
    /// A string with half of a surrogate pair (`"\ud800"`): no Unicode text.
    LoneSurrogate,
}

/// The events of `text`, which must be valid JSON.
pub(super) fn scan(text: &str) -> impl Iterator<Item = Token> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    std::iter::from_fn(move || {
        loop {
            match *bytes.get(at)? {
                b'{' | b'[' => {
                    at += 1;
                    depth += 1;
                    return Some(Token::Open(depth));
                }
                b'}' | b']' => {
                    at += 1;
                    depth = depth.saturating_sub(1);
                }
                b'"' => {
                    let (end, lone_surrogate) = string(bytes, at + 1);
                    at = end;
                    if lone_surrogate {
                        return Some(Token::LoneSurrogate);
                    }
                }
                b'-' | b'0'..=b'9' => {
                    let start = at;
                    let inside =
                        |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                    at += bytes[start..].iter().take_while(inside).count();
                    return Some(Token::Number(start..at));
                }
                _ => at += 1,
            }
        }
    })
}

/// Where the string ends whose content begins at `at`, and whether it has a lone surrogate.
fn string(bytes: &[u8], mut at: usize) -> (usize, bool) {
    let (mut high, mut lone) = (false, false);
    loop {
        let (length, unit) = match bytes.get(at) {
            None | Some(b'"') => return (at + 1, lone | high),
            Some(b'\\') if bytes.get(at + 1) == Some(&b'u') => (6, code_unit(bytes, at + 2)),
            Some(b'\\') => (2, None),
            Some(_) => (1, None),
        };
        let low = matches!(unit, Some(0xDC00..=0xDFFF));
        lone |= high != low;
        high = matches!(unit, Some(0xD800..=0xDBFF));
        at += length;
    }
}

/// The four hexadecimal digits of a `\u` escape.
fn code_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = str::from_utf8(bytes.get(at..at + 4)?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_depths_are_found_outside_of_strings_only() {
        let text = r#"{"a 1 [{\"":[-1.5e+3,true,{"b":0}],"\\":2}"#;
        let found: Vec<_> = scan(text)
            .map(|token| match token {
                Token::Number(range) => text[range].to_owned(),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            found,
            ["Open(1)", "Open(2)", "-1.5e+3", "Open(3)", "0", "2"]
        );
    }

    #[test]
    fn lone_surrogates_are_told_from_pairs() {
        let lone = [
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800x""#,
            r#""\ud800\n""#,
            r#""\ud83d\ud83d\ude00""#,
            r#""\ude00\ud83d""#,
            r#""\uDBFF\u0041""#,
        ];
        for text in lone {
            assert_eq!(
                scan(text).collect::<Vec<_>>(),
                [Token::LoneSurrogate],
                "{text}"
            );
        }
        for text in [
            r#""\ud83d\ude00""#,
            r#""\\ud800""#,
            r#""\u0000""#,
            "\"\u{1F600}\"",
            r#""""#,
        ] {
            assert_eq!(scan(text).collect::<Vec<_>>(), [], "{text}");
        }
    }
}
