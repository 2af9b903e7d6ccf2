//! The first half are the cases of LangGraph's own tests of `add_messages`.

use super::*;
use crate::llm::content::ToolCall;

fn say(role: Role, id: &str, text: &str) -> Message {
    Message::new(role, text).with_id(id)
}

fn user(id: &str, text: &str) -> Message {
    say(Role::User, id, text)
}

fn assistant(id: &str, text: &str) -> Message {
    say(Role::Assistant, id, text)
}

fn said(messages: &[Message]) -> Vec<Change> {
    messages.iter().cloned().map(Change::Say).collect()
}

fn remove(id: &str) -> Change {
    Change::Remove(id.into())
}

#[test]
fn a_single_message_is_appended() {
    let left = vec![user("1", "Hello")];
    let right = assistant("2", "Hi there!");
    let joined = add_messages(left.clone(), said(std::slice::from_ref(&right))).unwrap();
    assert_eq!(joined, [left[0].clone(), right]);
}

#[test]
fn several_messages_are_appended_in_their_order() {
    let left = vec![user("1", "Hello")];
    let right = [
        assistant("2", "Hi there!"),
        say(Role::System, "3", "System message"),
    ];
    let joined = add_messages(left.clone(), said(&right)).unwrap();
    assert_eq!(joined, [left, right.to_vec()].concat());
}

#[test]
fn a_known_id_replaces_in_place() {
    let left = vec![user("1", "one"), assistant("2", "two")];
    let joined = add_messages(left, said(&[user("1", "Hello again"), user("3", "three")])).unwrap();
    assert_eq!(
        joined,
        [
            user("1", "Hello again"),
            assistant("2", "two"),
            user("3", "three")
        ]
    );
}

#[test]
fn messages_without_an_id_are_always_appended() {
    let message = Message::new(Role::User, "one");
    let joined = add_messages(vec![message.clone()], said(&[message.clone(), message]));
    assert_eq!(joined.unwrap().len(), 3);
}

#[test]
fn a_removal_takes_a_message_away() {
    let left = vec![user("1", "Hello"), assistant("2", "Hi there!")];
    let joined = add_messages(left, vec![remove("2")]).unwrap();
    assert_eq!(joined, [user("1", "Hello")]);
}

#[test]
fn several_removals_take_several_away() {
    let left = vec![user("1", "Hello"), assistant("2", "Hi"), user("3", "hi")];
    let joined = add_messages(left, vec![remove("2"), remove("3")]).unwrap();
    assert_eq!(joined, [user("1", "Hello")]);
}

#[test]
fn a_removal_of_nothing_is_an_error() {
    let left = vec![user("1", "Hello")];
    assert_eq!(
        add_messages(left, vec![remove("2")]),
        Err(NoSuchMessage("2".into()))
    );
}

#[test]
fn of_several_with_one_id_the_last_is_replaced() {
    let left = vec![user("1", "Hello"), assistant("1", "Hi there!")];
    let joined = add_messages(left, said(&[user("1", "Hello again")])).unwrap();
    assert_eq!(joined, [user("1", "Hello"), user("1", "Hello again")]);
}

#[test]
fn new_messages_with_one_id_become_one() {
    let joined = add_messages(
        vec![],
        said(&[assistant("1", "Hi"), assistant("1", "Hi again")]),
    );
    assert_eq!(joined.unwrap(), [assistant("1", "Hi again")]);
}

#[test]
fn said_again_after_a_removal_a_message_keeps_its_place() {
    let left = vec![user("1", "Hello"), user("2", "two")];
    let changes = vec![remove("1"), Change::Say(user("1", "Updated"))];
    let joined = add_messages(left, changes).unwrap();
    assert_eq!(joined, [user("1", "Updated"), user("2", "two")]);
}

#[test]
fn said_and_removed_at_once_is_not_there() {
    let changes = vec![Change::Say(user("1", "Hello")), remove("1")];
    assert_eq!(add_messages(vec![], changes).unwrap(), []);
}

#[test]
fn all_messages_with_a_removed_id_go() {
    let left = vec![user("1", "Hello"), assistant("1", "Hi"), user("2", "x")];
    let joined = add_messages(left, vec![remove("1")]).unwrap();
    assert_eq!(joined, [user("2", "x")]);
}

#[test]
fn nothing_joined_to_nothing_is_nothing() {
    assert_eq!(add_messages(vec![], vec![]).unwrap(), []);
    let left = vec![user("1", "Hello")];
    assert_eq!(add_messages(left.clone(), vec![]).unwrap(), left);
}

#[test]
fn removing_all_leaves_what_comes_after() {
    let left = vec![user("1", "Hello"), assistant("2", "Hi")];
    assert_eq!(
        add_messages(left.clone(), vec![Change::RemoveAll]).unwrap(),
        []
    );
    let changes = vec![
        Change::Say(user("3", "before")),
        Change::RemoveAll,
        Change::Say(user("4", "between")),
        Change::RemoveAll,
        Change::Say(user("1", "after")),
    ];
    assert_eq!(add_messages(left, changes).unwrap(), [user("1", "after")]);
}

#[test]
fn removals_before_a_removal_of_all_do_not_count() {
    let changes = vec![remove("unknown"), Change::RemoveAll];
    assert_eq!(add_messages(vec![user("1", "Hello")], changes).unwrap(), []);
}

fn messages(count: usize) -> Budget {
    Budget {
        messages: Some(count),
        tokens: None,
    }
}

fn ids(messages: &[Message]) -> Vec<&str> {
    messages
        .iter()
        .filter_map(|message| message.id.as_deref())
        .collect()
}

#[test]
fn the_newest_messages_within_the_budget_are_kept_from_one_of_the_user_on() {
    let conversation = vec![
        user("1", "a"),
        assistant("2", "b"),
        user("3", "c"),
        assistant("4", "d"),
        user("5", "e"),
    ];
    let kept = |count| trim(conversation.clone(), messages(count));
    assert_eq!(ids(&kept(5)), ["1", "2", "3", "4", "5"]);
    assert_eq!(ids(&kept(4)), ["3", "4", "5"]);
    assert_eq!(ids(&kept(3)), ["3", "4", "5"]);
    assert_eq!(ids(&kept(2)), ["5"]);
    assert_eq!(ids(&kept(0)), ["5"], "what was asked last is always given");
    assert_eq!(ids(&trim(conversation.clone(), Budget::default())).len(), 5);
}

#[test]
fn the_system_s_first_words_stay_and_count() {
    let conversation = vec![
        say(Role::System, "s", "be kind"),
        user("1", "a"),
        assistant("2", "b"),
        user("3", "c"),
    ];
    assert_eq!(ids(&trim(conversation.clone(), messages(3))), ["s", "3"]);
    assert_eq!(ids(&trim(conversation, messages(4))).len(), 4);
}

#[test]
fn a_result_is_never_kept_without_its_call() {
    let call = ToolCall::written("c".into(), "find".into(), "{}");
    let mut calling = assistant("2", "");
    calling.content = Content::Blocks(vec![Block::ToolCall(call.clone())]);
    let conversation = vec![
        user("1", "a"),
        calling,
        Message::tool_result(&call, "found", false).with_id("3"),
        assistant("4", "b"),
    ];
    assert_eq!(
        ids(&trim(conversation.clone(), messages(2))),
        ["1", "2", "3", "4"]
    );
    let longer = [vec![user("0", "old"), assistant("00", "x")], conversation].concat();
    assert_eq!(ids(&trim(longer, messages(2))), ["1", "2", "3", "4"]);
}

#[test]
fn tokens_are_a_budget_too() {
    let conversation = vec![
        user("1", &"x".repeat(400)),
        assistant("2", "ok"),
        user("3", &"y".repeat(40)),
    ];
    assert_eq!(tokens_of(&conversation[0]), 103);
    let tokens = |tokens| Budget {
        messages: None,
        tokens: Some(tokens),
    };
    assert_eq!(
        ids(&trim(conversation.clone(), tokens(120))),
        ["1", "2", "3"]
    );
    assert_eq!(ids(&trim(conversation, tokens(119))), ["3"]);
}
