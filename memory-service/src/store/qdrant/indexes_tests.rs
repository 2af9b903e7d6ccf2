//! Who sees which stage.

use super::*;
use crate::domain::IndexPath;

fn index(path: &str) -> IndexIdentity {
    IndexIdentity::new(None, &[IndexPath::parse(path).unwrap()])
}

fn stages() -> Vec<Indexes> {
    let mut stages = vec![Indexes::new(index("old"))];
    stages.push(stages[0].begin(index("new")));
    for _ in 0..3 {
        stages.extend(stages.last().map(Indexes::next));
    }
    stages
}

fn roles(present: &str, former: Option<&str>) -> Vec<Option<Roles>> {
    let indexing = Indexing::new(index(present), former.map(index));
    let stages = stages();
    stages.iter().map(|one| indexing.roles_of(one)).collect()
}

#[test]
fn whoever_knows_both_indexes_goes_from_one_to_the_other() {
    let seen: Vec<_> = roles("new", Some("old"))
        .into_iter()
        .map(|roles| {
            let roles = roles.unwrap();
            (roles.stage, roles.present, roles.former, roles.foreign)
        })
        .collect();
    let expected = [
        (Stage::Filling, None, Some(1), None),
        (Stage::Filling, Some(2), Some(1), None),
        (Stage::Closing, Some(2), Some(1), None),
        (Stage::Switched, Some(2), Some(1), None),
        (Stage::Settled, Some(2), None, None),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn whoever_knows_only_the_old_index_is_sent_away_before_the_switch() {
    let seen: Vec<_> = roles("old", None)
        .into_iter()
        .map(|roles| roles.map(|roles| (roles.stage, roles.foreign)))
        .collect();
    let settled = |foreign| Some((Stage::Settled, foreign));
    let expected = [
        settled(None),
        settled(None),
        settled(Some(index("new"))),
        None,
        None,
    ];
    assert_eq!(seen, expected);
}

#[test]
fn what_is_older_is_not_believed() {
    let stages = stages();
    for (place, younger) in stages.iter().enumerate() {
        let indexing = Indexing::new(index("new"), None);
        indexing.learn(younger);
        for older in &stages[..place] {
            indexing.learn(older);
            assert_eq!(indexing.known().unwrap(), *younger);
        }
    }
}

#[test]
fn numbers_are_not_used_twice() {
    let changed = Indexes::new(index("a")).begin(index("b")).begin(index("c"));
    assert_eq!(changed.other.as_ref().unwrap().1.number, 3);
    let settled = changed.next().next().next();
    assert_eq!(settled.searched.number, 3);
    assert_eq!(names(1), ["words", "meanings"]);
    assert_eq!(names(3), ["words_3", "meanings_3"]);
}
