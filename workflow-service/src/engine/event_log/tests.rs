//! What readers find, and what it takes.

use weft_worker::protocol::{MessagePart, MessagePiece};

use super::*;
use crate::domain::{RunState, ThreadId, Timestamp};

fn event(sequence: i64, bytes: usize) -> Event {
    let text = format!("\"{}\"", "x".repeat(bytes));
    Event {
        sequence,
        run_id: RunId::new(),
        time: Timestamp::default(),
        kind: EventKind::Value(weft_worker::json::from_text(text).unwrap()),
    }
}

fn piece(sequence: i64, message: &str, text: &str) -> Event {
    Event {
        kind: EventKind::Message {
            call: CallId::new(None, 0),
            task: "write".into(),
            piece: MessagePiece {
                message_id: message.into(),
                part: MessagePart::Text,
                text: text.to_owned(),
                model: "test:test".into(),
            },
            reset: false,
        },
        ..event(sequence, 0)
    }
}

fn texts(read: &Read) -> Vec<(i64, &str)> {
    let Read::Events(events) = read else {
        return Vec::new();
    };
    let pieces = events.iter().filter_map(|event| match &event.kind {
        EventKind::Message { piece, .. } => Some((event.sequence, piece.text.as_str())),
        _ => None,
    });
    pieces.collect()
}

fn sequences(read: &Read) -> Vec<i64> {
    match read {
        Read::Events(events) => events.iter().map(|event| event.sequence).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_reader_gets_what_follows_its_place() {
    let log = EventLog::default();
    log.begin(2);
    log.push(event(3, 1));
    log.push(event(4, 1));
    assert_eq!(sequences(&log.read(2)), [3, 4]);
    assert_eq!(sequences(&log.read(3)), [4]);
    assert!(matches!(log.read(4), Read::UpToDate));
    assert!(matches!(log.read(1), Read::Behind { floor: 2, base: 2 }));
}

#[test]
fn pieces_are_read_one_by_one_as_they_come_and_together_by_whoever_is_behind() {
    let log = EventLog::default();
    for (sequence, text) in [(1, "Grüße"), (2, "… "), (3, "an dich")] {
        log.push(piece(sequence, "m", text));
        assert_eq!(texts(&log.read(sequence - 1)), [(sequence, text)]);
    }
    assert_eq!(texts(&log.read(0)), [(3, "Grüße… an dich")]);
    assert_eq!(texts(&log.read(1)), [(3, "… an dich")]);
    assert!(matches!(log.read(3), Read::UpToDate));
    log.push(piece(4, "other", "x"));
    log.push(piece(5, "m", "y"));
    assert_eq!(texts(&log.read(2)), [(3, "an dich"), (4, "x"), (5, "y")]);
}

#[test]
fn tokens_take_little_more_than_their_text() {
    let log = EventLog::default();
    let tokens = 100_000;
    for sequence in 1..=tokens {
        log.push(piece(sequence, "m", "four"));
    }
    assert!(log.lock().weight < 24 * 100_000);
    let Read::Events(events) = log.read(0) else {
        panic!("nothing was dropped")
    };
    assert_eq!(events.last().map(|event| event.sequence), Some(tokens));
}

#[test]
fn memory_is_bounded_and_a_slow_reader_learns_that_it_is_behind() {
    let log = EventLog::default();
    for sequence in 1..=20 {
        log.push(event(sequence, MAX_WEIGHT / 4));
    }
    assert!(log.lock().weight <= MAX_WEIGHT);
    assert!(matches!(log.read(1), Read::Behind { floor: 17, base: 0 }));
    assert_eq!(sequences(&log.read(17)), [18, 19, 20]);
}

/// A run whose last event has this number.
fn run(id: RunId, last_sequence: i64) -> Run {
    let json = || weft_worker::json::from_text("{}").unwrap();
    Run {
        id,
        thread_id: ThreadId::from_stored("t"),
        entrypoint: "e".into(),
        version: "1".into(),
        state: RunState::Cancelled,
        state_reason: String::new(),
        input: json(),
        config: json(),
        output: None,
        is_cached: false,
        failure: None,
        stop: None,
        interrupts: Vec::new(),
        wake_time: None,
        checkpoint_id: None,
        attempt: 1,
        start_sequence: None,
        last_sequence,
        create_time: Timestamp::default(),
        start_time: None,
        end_time: None,
        update_time: Timestamp::default(),
        usage: weft_worker::Usage::default(),
        labels: std::collections::BTreeMap::new(),
    }
}

#[test]
fn news_of_a_rest_that_a_retry_overtook_ends_no_log() {
    let (logs, id) = (EventLogs::default(), RunId::new());
    // It came to rest with event 5, and was retried before anybody was told.
    let log = logs.open(id);
    assert!(logs.follow(id, &log, 5));
    logs.close(run(id, 5), vec![event(5, 1)]);
    assert!(log.rested().is_none());
    logs.forget(id);
    assert!(logs.get(id).is_some(), "somebody follows it");
    // Nor is one told of it that it began again with.
    log.begin(6);
    logs.close(run(id, 6), Vec::new());
    assert!(log.rested().is_none());
    logs.close(run(id, 9), vec![event(9, 1)]);
    assert_eq!(log.rested().unwrap().last_sequence, 9);
    assert_eq!(sequences(&log.read(6)), [9]);
    assert!(matches!(log.read(9), Read::End));
}

#[test]
fn whoever_opened_a_log_too_early_or_too_late_looks_again() {
    let (logs, id) = (EventLogs::default(), RunId::new());
    let closed = logs.open(id);
    logs.close(run(id, 5), Vec::new());
    // The run went on after that, or has come to rest again.
    assert!(!logs.follow(id, &closed, 5));
    assert!(!logs.follow(id, &closed, 3));
    let forgotten = logs.open(id);
    logs.forget(id);
    assert!(!logs.follow(id, &forgotten, 5));
}
