//! What goes on, in which order, and what does not.

use super::*;
use crate::{
    Failure, json,
    protocol::{Finish, MessagePart, MessagePiece},
};

fn outbox(room: usize) -> (Outbox, mpsc::Receiver<FromWorker>) {
    let (link, heard) = mpsc::channel(room);
    (Outbox::new(ExecutionId(1), link), heard)
}

fn piece(call: u32, text: &str) -> Event {
    Event::Message {
        call: CallId::new(None, call),
        task: "write".into(),
        piece: MessagePiece {
            message_id: call.to_string().into(),
            part: MessagePart::Text,
            text: text.to_owned(),
            model: "test:test".into(),
        },
    }
}

fn custom(call: u32, bytes: usize) -> Event {
    Event::Custom {
        call: Some(CallId::new(None, call)),
        task: "write".into(),
        value: json::from_text(format!("\"{}\"", "x".repeat(bytes))).unwrap(),
    }
}

fn last_word() -> WorkerMessage {
    let failure = Failure::new("X", "x");
    WorkerMessage::Finish(Box::new(Finish::Mismatch(failure)))
}

/// Sends the last word while all of it is heard: the events before it.
async fn end(outbox: Outbox, heard: &mut mpsc::Receiver<FromWorker>) -> Vec<Event> {
    let hear = async {
        let mut events = Vec::new();
        while let Some(FromWorker {
            message: WorkerMessage::Event(event),
            ..
        }) = heard.recv().await
        {
            events.push(event);
        }
        events
    };
    tokio::join!(outbox.send(last_word()), hear).1
}

fn text(events: &[Event], of: u32) -> String {
    let of = CallId::new(None, of);
    let texts = events.iter().filter_map(|event| match event {
        Event::Message { call, piece, .. } if *call == of => Some(piece.text.as_str()),
        Event::Custom { call, .. } if call.as_ref() == Some(&of) => Some("|"),
        _ => None,
    });
    texts.collect()
}

#[tokio::test]
async fn what_finds_no_room_is_joined_and_sent_before_what_is_said_after_it() {
    let (outbox, mut heard) = outbox(3);
    let mut expected = String::new();
    for number in 0..1000 {
        outbox.stream(piece(0, &format!("{number} ")));
        outbox.stream(piece(1, "y"));
        expected.push_str(&format!("{number} "));
        if number == 500 {
            outbox.stream(custom(0, 1));
            expected.push('|');
        }
    }
    let events = end(outbox, &mut heard).await;
    assert_eq!(text(&events, 0), expected);
    assert_eq!(text(&events, 1), "y".repeat(1000));
    assert!(events.len() < 10, "{} events", events.len());
}

#[tokio::test]
async fn pieces_stay_apart_as_long_as_there_is_room() {
    let (outbox, mut heard) = outbox(2);
    outbox.stream(piece(0, "a"));
    outbox.stream(piece(0, "b"));
    assert_eq!(end(outbox, &mut heard).await.len(), 2);
}

#[tokio::test]
async fn what_is_held_goes_on_without_another_word() {
    let (outbox, mut heard) = outbox(1);
    for text in ["a", "b", "c"] {
        outbox.stream(piece(0, text));
    }
    let mut events = Vec::new();
    let hear = async {
        while text(&events, 0) != "abcd" {
            if let Some(FromWorker {
                message: WorkerMessage::Event(event),
                ..
            }) = heard.recv().await
            {
                events.push(event);
            }
            if text(&events, 0) == "abc" {
                outbox.stream(piece(0, "d"));
            }
        }
    };
    tokio::select! {
        never = outbox.forward() => match never {},
        () = hear => {}
    }
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn memory_is_bounded_and_what_is_lost_is_counted() {
    let (outbox, mut heard) = outbox(1);
    for _ in 0..10 {
        outbox.stream(custom(0, MAX_HELD_BYTES / 4));
    }
    assert!(outbox.held().bytes <= MAX_HELD_BYTES);
    let events = end(outbox, &mut heard).await;
    let dropped = events.iter().map(|event| match event {
        Event::Dropped { count } => *count,
        _ => 0,
    });
    let dropped: u64 = dropped.sum();
    assert!(matches!(events.last(), Some(Event::Dropped { .. })));
    assert_eq!(text(&events, 0).len() as u64 + dropped, 10);
    assert!((5..9).contains(&dropped), "{dropped}");
}
