//! A queue in which those who wait take turns.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Turns is a queue for each of those who wait, such as threads or runs: one that asks for a hundred
/// things at once does not hold up another one that asks for one.
#[derive(Debug)]
pub struct Turns<K, T> {
    waiting: HashMap<K, VecDeque<(Ticket, T)>>,
    /// Those who wait, each once; the first one has the next turn.
    order: VecDeque<K>,
    len: usize,
    last: u64,
}

/// Ticket is a place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl<K: Clone + Eq + Hash, T> Turns<K, T> {
    /// Puts something at the end of what `who` waits for.
    pub fn push(&mut self, who: &K, what: T) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        let queue = self.waiting.entry(who.clone()).or_default();
        queue.push_back((ticket, what));
        if queue.len() == 1 {
            self.order.push_back(who.clone());
        }
        self.len += 1;
        ticket
    }

    /// The first of whoever has the turn, who then waits for the next one.
    pub fn pop(&mut self) -> Option<T> {
        let who = self.order.pop_front()?;
        let queue = self.waiting.get_mut(&who)?;
        let (_, first) = queue.pop_front()?;
        match queue.is_empty() {
            true => drop(self.waiting.remove(&who)),
            false => self.order.push_back(who),
        }
        self.len -= 1;
        Some(first)
    }

    /// Gives up a place. Nothing happens if its turn has come.
    pub fn leave(&mut self, who: &K, ticket: Ticket) {
        let Some(queue) = self.waiting.get_mut(who) else {
            return;
        };
        if queue.front().is_none_or(|(first, _)| first.0 > ticket.0) {
            return;
        }
        let before = queue.len();
        queue.retain(|(other, _)| *other != ticket);
        self.len -= before - queue.len();
        if queue.is_empty() {
            self.waiting.remove(who);
            self.order.retain(|other| other != who);
        }
    }

    /// How much is waited for.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<K, T> Default for Turns<K, T> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            order: VecDeque::new(),
            len: 0,
            last: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(asked: &[&'static str]) -> (Turns<char, &'static str>, Vec<Ticket>) {
        let mut turns = Turns::default();
        let who = |what: &str| what.chars().next().unwrap();
        let tickets = asked.iter().map(|what| turns.push(&who(what), *what));
        let tickets = tickets.collect();
        (turns, tickets)
    }

    fn rest(mut turns: Turns<char, &'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| turns.pop()).collect()
    }

    #[test]
    fn one_who_asks_for_much_does_not_hold_up_one_who_asks_for_little() {
        let (turns, _) = queue(&["a1", "a2", "a3", "b1", "c1", "b2"]);
        assert_eq!(turns.len(), 6);
        assert_eq!(rest(turns), ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[test]
    fn one_who_leaves_takes_nobodys_turn() {
        let (mut turns, tickets) = queue(&["a1", "b1", "b2", "c1"]);
        turns.leave(&'b', tickets[1]);
        turns.leave(&'c', tickets[3]);
        assert_eq!(turns.pop(), Some("a1"));
        // Its turn has come and gone.
        turns.leave(&'a', tickets[0]);
        assert_eq!(turns.len(), 1);
        assert_eq!(rest(turns), ["b2"]);
    }
}
