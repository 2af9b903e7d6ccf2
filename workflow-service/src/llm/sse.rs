//! Server-sent events, decoded as they come: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::collections::VecDeque;

/// Largest event in bytes. The largest that providers send hold a whole answer or an image.
pub const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// ServerSentEvent is one event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSentEvent {
    /// Its type; empty if the stream names none.
    pub event: String,
    /// Its data, lines joined by a line feed.
    pub data: String,
}

/// An event is larger than [`MAX_EVENT_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream has more than {MAX_EVENT_BYTES} bytes")]
pub struct EventTooLarge;

/// SseDecoder takes the bytes of a stream in pieces of any size and gives its events.
///
/// Lines end in CR, LF or CRLF, also if a piece ends between the two. A byte order mark before the
/// first line, comments, and fields other than `event` and `data` are passed over. Bytes that are
/// no UTF-8 become U+FFFD; a character may be split between pieces. An event that is not followed
/// by an empty line is none.
#[derive(Debug, Default)]
pub struct SseDecoder {
    line: Vec<u8>,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    /// A line was read: a byte order mark is no longer one.
    begun: bool,
    event: String,
    data: Option<String>,
    events: VecDeque<ServerSentEvent>,
}

impl SseDecoder {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`EventTooLarge`]; the decoder is of no use then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), EventTooLarge> {
        for part in bytes.split_inclusive(|byte| matches!(byte, b'\r' | b'\n')) {
            let (text, end) = match part {
                [text @ .., end @ (b'\r' | b'\n')] => (text, Some(*end)),
                text => (text, None),
            };
            if std::mem::take(&mut self.after_cr) && text.is_empty() && end == Some(b'\n') {
                continue;
            }
            let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
            if held + text.len() > MAX_EVENT_BYTES {
                return Err(EventTooLarge);
            }
            self.line.extend_from_slice(text);
            if let Some(end) = end {
                self.after_cr = end == b'\r';
                self.end_line();
            }
        }
        Ok(())
    }

    /// The next event that is complete.
    pub fn next_event(&mut self) -> Option<ServerSentEvent> {
        self.events.pop_front()
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.line);
        let first = !std::mem::replace(&mut self.begun, true);
        let text = String::from_utf8_lossy(&bytes);
        let line = match first {
            true => text.strip_prefix('\u{feff}').unwrap_or(&text),
            false => &text,
        };
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if let Some(data) = self.data.take() {
                self.events.push_back(ServerSentEvent { event, data });
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // A comment, or what only a browser needs.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut decoder = SseDecoder::default();
        let mut events = Vec::new();
        for piece in pieces {
            decoder.push(piece).unwrap();
            while let Some(event) = decoder.next_event() {
                events.push((event.event, event.data));
            }
        }
        events
    }

    fn event(event: &str, data: &str) -> (String, String) {
        (event.to_owned(), data.to_owned())
    }

    #[test]
    fn lines_end_in_cr_lf_or_both() {
        for end in ["\n", "\r", "\r\n"] {
            let text = format!("event: a{end}data: 1{end}data: 2{end}{end}data:3{end}{end}");
            assert_eq!(
                decode(&[text.as_bytes()]),
                [event("a", "1\n2"), event("", "3")],
                "{end:?}"
            );
        }
        let mixed = b"data: 1\r\n\rdata: 2\n\r\n";
        assert_eq!(decode(&[mixed]), [event("", "1"), event("", "2")]);
    }

    #[test]
    fn a_crlf_may_be_split_between_pieces() {
        let pieces: [&[u8]; 4] = [b"data: 1\r", b"\n\r", b"\ndata: 2\r", b"\n\r\n"];
        assert_eq!(decode(&pieces), [event("", "1"), event("", "2")]);
    }

    #[test]
    fn comments_marks_and_other_fields_are_passed_over() {
        let text =
            "\u{feff}: keep-alive\n\nid: 7\nretry: 1\ndata\n\n:\nevent: x\n\ndata:  two \n\n";
        assert_eq!(
            decode(&[text.as_bytes()]),
            [event("", ""), event("", " two ")],
            "an event without data is none, and its type is forgotten"
        );
        let later = "data: a\n\u{feff}data: b\n\n";
        assert_eq!(decode(&[later.as_bytes()]), [event("", "a")]);
    }

    #[test]
    fn a_character_may_be_split_and_what_is_none_is_replaced() {
        let text = "data: né☃😀\n\n".as_bytes();
        for at in 0..=text.len() {
            let (one, two) = text.split_at(at);
            assert_eq!(decode(&[one, two]), [event("", "né☃😀")]);
        }
        assert_eq!(decode(&[b"data: \xff!\n\n"]), [event("", "\u{fffd}!")]);
    }

    #[test]
    fn an_event_that_is_not_ended_is_none() {
        assert_eq!(decode(&[b"data: 1\n\ndata: 2\n"]), [event("", "1")]);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut decoder = SseDecoder::default();
        let piece = vec![b'x'; MAX_EVENT_BYTES / 2];
        decoder.push(b"data: ").unwrap();
        decoder.push(&piece).unwrap();
        assert_eq!(decoder.push(&piece), Err(EventTooLarge));
        let mut decoder = SseDecoder::default();
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        decoder.push(&line).unwrap();
        assert_eq!(
            decoder.push(&line),
            Err(EventTooLarge),
            "many lines count together"
        );
    }

    /// Whatever the bytes and wherever they are split: the same events, and no panic.
    #[test]
    fn how_a_stream_is_split_changes_nothing() {
        for seed in 0..2_000 {
            let mut random = StdRng::seed_from_u64(seed);
            let parts: [&[u8]; 14] = [
                b"data: ",
                b"event: ",
                b"\r",
                b"\n",
                b"\r\n",
                b": c",
                b"\n\n",
                b"data",
                b":",
                b" ",
                "é☃".as_bytes(),
                b"\xf0\x9f",
                b"x",
                b"\xef\xbb\xbf",
            ];
            let mut bytes = Vec::new();
            for _ in 0..random.random_range(0..60) {
                match random.random_range(0..16) {
                    0 => bytes.push(random.random()),
                    _ => bytes.extend_from_slice(parts[random.random_range(0..parts.len())]),
                }
            }
            let whole = decode(&[&bytes]);
            let mut pieces = Vec::new();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let size = (random.next_u32() as usize % 4).min(rest.len());
                let (piece, next) = rest.split_at(size);
                pieces.push(piece);
                rest = next;
            }
            assert_eq!(decode(&pieces), whole, "seed {seed}: {bytes:?}");
        }
    }
}
