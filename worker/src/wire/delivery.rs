//! Reliable delivery across the streams of a session.

use std::collections::VecDeque;

use weft_proto::workflow::v1::{ConnectRequest, ConnectResponse};

use super::Malformed;

/// Messages that may wait for the other side to say that it received them. It says so with each
/// message of its own, and each heartbeat: only a side that does not gets there.
const MAX_UNCONFIRMED: usize = 65_536;

/// Numbered is a message that can be sent again.
pub trait Numbered: Clone {
    /// Sets its number in the session.
    fn set_sequence(&mut self, sequence: i64);
}

impl Numbered for ConnectRequest {
    fn set_sequence(&mut self, sequence: i64) {
        self.sequence = sequence;
    }
}

impl Numbered for ConnectResponse {
    fn set_sequence(&mut self, sequence: i64) {
        self.sequence = sequence;
    }
}

/// Delivery numbers what one side of a session sends, keeps it until the other side has received
/// it, and knows what this side has received.
///
/// Numbers count from 1 in each direction. Of each direction, each message is handed out once and
/// in order.
#[derive(Debug)]
pub struct Delivery<T> {
    /// Number of the last message sent.
    sent: i64,
    /// Sent, and not known to be received; the last one has the number `sent`.
    unconfirmed: VecDeque<T>,
    /// Number of the last message received.
    received: i64,
}

impl<T> Default for Delivery<T> {
    fn default() -> Self {
        Self {
            sent: 0,
            unconfirmed: VecDeque::new(),
            received: 0,
        }
    }
}

impl<T: Numbered> Delivery<T> {
    /// Numbers a message and keeps a copy.
    pub fn number(&mut self, message: &mut T) {
        self.sent += 1;
        message.set_sequence(self.sent);
        self.unconfirmed.push_back(message.clone());
    }

    /// Number of the last message received, to tell the other side.
    pub fn received(&self) -> i64 {
        self.received
    }

    /// The number of the last message sent.
    pub fn sent(&self) -> i64 {
        self.sent
    }

    /// Number of the last message that the other side is known to have received.
    pub fn confirmed(&self) -> i64 {
        self.sent - i64::try_from(self.unconfirmed.len()).unwrap_or(i64::MAX)
    }

    /// Whether so many messages wait to be received that the other side cannot be well.
    pub fn is_full(&self) -> bool {
        self.unconfirmed.len() >= MAX_UNCONFIRMED
    }

    /// Whether a session can go on whose other side has received all up to `received`.
    pub fn can_resume(&self, received: i64) -> bool {
        (self.confirmed()..=self.sent).contains(&received)
    }

    /// Notes that the other side has received all up to `received`. What it said before stands.
    ///
    /// # Errors
    /// If that was never sent.
    pub fn confirm(&mut self, received: i64) -> Result<(), Malformed> {
        if received < 0 {
            return Err(Malformed::new("received", "must not be negative"));
        }
        if received > self.sent {
            return Err(Malformed::new(
                "received",
                format_args!("is {received}, but the last message sent is {}", self.sent),
            ));
        }
        while self.confirmed() < received {
            self.unconfirmed.pop_front();
        }
        Ok(())
    }

    /// Whether a message with this number is to be looked at; if not, it was before.
    ///
    /// # Errors
    /// If a message before it is missing, or it is no number of a message.
    pub fn accept(&mut self, sequence: i64) -> Result<bool, Malformed> {
        match sequence {
            0 => Ok(true),
            ..0 => Err(Malformed::new("sequence", "must not be negative")),
            _ if sequence <= self.received => Ok(false),
            _ if sequence == self.received + 1 => {
                self.received = sequence;
                Ok(true)
            }
            _ => Err(Malformed::new(
                "sequence",
                format_args!(
                    "is {sequence}, but the next message is {}",
                    self.received + 1
                ),
            )),
        }
    }

    /// What is to be sent again on a new stream, in order.
    pub fn unconfirmed(&self) -> impl Iterator<Item = T> + '_ {
        self.unconfirmed.iter().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Message(i64);

    impl Numbered for Message {
        fn set_sequence(&mut self, sequence: i64) {
            self.0 = sequence;
        }
    }

    fn after_sending(count: i64) -> Delivery<Message> {
        let mut delivery = Delivery::default();
        for number in 1..=count {
            let mut message = Message(0);
            delivery.number(&mut message);
            assert_eq!(message.0, number);
        }
        delivery
    }

    #[test]
    fn what_was_not_received_is_sent_again_in_order() {
        let mut delivery = after_sending(4);
        delivery.confirm(2).unwrap();
        let again: Vec<_> = delivery.unconfirmed().collect();
        assert_eq!(again, [Message(3), Message(4)]);
        // An old number takes nothing back.
        delivery.confirm(1).unwrap();
        assert_eq!(delivery.confirmed(), 2);
        assert!(delivery.confirm(5).is_err());
    }

    #[test]
    fn each_message_is_looked_at_once_and_none_is_left_out() {
        let mut delivery = after_sending(0);
        assert_eq!(delivery.accept(1), Ok(true));
        assert_eq!(delivery.accept(0), Ok(true));
        assert_eq!(delivery.accept(1), Ok(false));
        assert!(delivery.accept(3).is_err());
        assert!(delivery.accept(-1).is_err() && delivery.confirm(-1).is_err());
        assert_eq!(delivery.received(), 1);
    }

    #[test]
    fn a_session_goes_on_only_if_nothing_is_missing() {
        let mut delivery = after_sending(4);
        delivery.confirm(2).unwrap();
        let resumable: Vec<_> = (0..6).filter(|&at| delivery.can_resume(at)).collect();
        assert_eq!(resumable, [2, 3, 4]);
    }
}
