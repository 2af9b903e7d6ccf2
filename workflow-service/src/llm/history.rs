//! Conversations: how new messages join old ones, and what of a long one a model is given.

use std::collections::{HashMap, HashSet};

use super::{
    content::{Block, Content},
    message::{Change, Message, Role},
};

/// Characters of a token, on average; a rough figure for languages in Latin script.
const CHARACTERS_PER_TOKEN: usize = 4;
/// Tokens that a message takes beside its content.
const TOKENS_PER_MESSAGE: usize = 3;
/// Tokens of an image: what a megapixel takes of most models.
const TOKENS_PER_IMAGE: usize = 1_600;

/// A removal names a message that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no message `{0}` to remove")]
pub struct NoSuchMessage(pub String);

/// Joins changes to a conversation, by the rules of LangGraph's `add_messages`:
/// - a message whose id is known replaces the message it names, in its place (of several with that
///   id the last one); every other one is appended, also each without an id;
/// - a removal takes the message it names away, unless a later change says it again: that one
///   takes its place;
/// - what comes before the last removal of all messages does not count.
///
/// # Errors
/// [`NoSuchMessage`] if a removal names a message that is neither there nor said before it.
pub fn add_messages(
    conversation: Vec<Message>,
    mut changes: Vec<Change>,
) -> Result<Vec<Message>, NoSuchMessage> {
    let mut merged = conversation;
    if let Some(last) = changes
        .iter()
        .rposition(|change| matches!(change, Change::RemoveAll))
    {
        changes.drain(..=last);
        merged.clear();
    }
    let mut places: HashMap<String, usize> = merged
        .iter()
        .enumerate()
        .filter_map(|(place, message)| Some((message.id.clone()?, place)))
        .collect();
    let mut removed = HashSet::new();
    for change in changes {
        match change {
            Change::Say(message) => {
                let id = message.id.clone().unwrap_or_default();
                match places.get(&id) {
                    Some(place) if message.id.is_some() => {
                        removed.remove(place);
                        merged[*place] = message;
                    }
                    _ => {
                        if message.id.is_some() {
                            places.insert(id, merged.len());
                        }
                        merged.push(message);
                    }
                }
            }
            Change::Remove(id) => match places.get(&id) {
                Some(place) => {
                    removed.insert(*place);
                }
                None => return Err(NoSuchMessage(id)),
            },
            Change::RemoveAll => {}
        }
    }
    let gone: HashSet<String> = removed
        .iter()
        .filter_map(|place| merged[*place].id.clone())
        .collect();
    // Several messages may share an id: all of them go.
    merged.retain(|message| message.id.as_ref().is_none_or(|id| !gone.contains(id)));
    Ok(merged)
}

/// Budget is how much of a conversation a model is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// At most this many messages.
    pub messages: Option<usize>,
    /// At most this many tokens, roughly.
    pub tokens: Option<usize>,
}

impl Budget {
    fn holds(self, messages: usize, tokens: usize) -> bool {
        self.messages.is_none_or(|most| messages <= most)
            && self.tokens.is_none_or(|most| tokens <= most)
    }
}

/// Where the part of a conversation begins that fits into a budget: the newest messages, from one
/// of the user on, so that no result is without its call. Messages of the system at the very
/// beginning always stay and are counted; `0` if all fits. What the user said last is given
/// whatever it takes.
pub fn start_of_recent(conversation: &[Message], budget: Budget) -> usize {
    let head = system_head(conversation);
    let (mut messages, mut tokens) = (head, conversation[..head].iter().map(tokens_of).sum());
    let mut start = conversation.len();
    let mut fits = true;
    for (place, message) in conversation.iter().enumerate().skip(head).rev() {
        messages += 1;
        tokens += tokens_of(message);
        fits &= budget.holds(messages, tokens);
        let is_first = start == conversation.len();
        if (fits || is_first) && message.role == Role::User {
            start = place;
        }
        if !fits && start < conversation.len() {
            break;
        }
    }
    match fits {
        true => 0,
        // Without anything said by a user there is no place to begin at.
        false if start == conversation.len() => 0,
        false => start,
    }
}

/// The messages of the system at the beginning.
pub fn system_head(conversation: &[Message]) -> usize {
    conversation
        .iter()
        .take_while(|message| message.role == Role::System)
        .count()
}

/// The newest part of a conversation that fits into a budget, by [`start_of_recent`].
pub fn trim(conversation: Vec<Message>, budget: Budget) -> Vec<Message> {
    let (head, start) = (
        system_head(&conversation),
        start_of_recent(&conversation, budget),
    );
    let kept = conversation.into_iter().enumerate();
    kept.filter(|(place, _)| *place < head || *place >= start)
        .map(|(_, message)| message)
        .collect()
}

/// Roughly the tokens that a message takes.
pub fn tokens_of(message: &Message) -> usize {
    let text = |text: &str| text.chars().count().div_ceil(CHARACTERS_PER_TOKEN);
    let content = match &message.content {
        Content::Text(content) => text(content),
        Content::Blocks(blocks) => blocks
            .iter()
            .map(|block| match block {
                Block::Text { text: content }
                | Block::Refusal { text: content }
                | Block::Thinking { text: content, .. }
                | Block::RedactedThinking { data: content } => text(content),
                Block::Image { .. } => TOKENS_PER_IMAGE,
                Block::ToolCall(call) => text(&call.name) + text(&call.arguments_text()),
                Block::Provider { value, .. } => text(&value.to_string()),
            })
            .sum(),
    };
    content + TOKENS_PER_MESSAGE
}

#[cfg(test)]
mod tests;
