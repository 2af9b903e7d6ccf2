use std::sync::{Arc, Mutex};

use super::*;

type Results = Arc<Mutex<Vec<Result<(), StoreError>>>>;

fn insert(undo: Undo, number: i64, then: Result<(), StoreError>, results: &Results) -> Job {
    let results = Arc::clone(results);
    let insert = move |db: &Connection| {
        db.execute("INSERT INTO t VALUES (?1)", [number])?;
        then
    };
    job(undo, insert, move |result| {
        results.lock().unwrap().push(result);
    })
}

fn numbers(db: &Connection) -> Vec<i64> {
    let mut select = db.prepare("SELECT a FROM t ORDER BY a").unwrap();
    let rows = select.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn table() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        .unwrap();
    db
}

#[test]
fn a_write_that_fails_in_its_savepoint_does_not_touch_the_others() {
    let (db, results) = (table(), Results::default());
    let mut batch = vec![
        insert(Undo::Transaction, 1, Ok(()), &results),
        insert(Undo::Savepoint, 2, Err(StoreError::Fenced), &results),
        insert(Undo::Savepoint, 3, Ok(()), &results),
    ];
    commit(&db, &mut batch);
    assert_eq!(numbers(&db), [1, 3]);
    let results = results.lock().unwrap();
    assert!(matches!(
        results[..],
        [Ok(()), Err(StoreError::Fenced), Ok(())]
    ));
}

#[test]
fn a_write_without_a_savepoint_that_fails_halfway_takes_its_transaction_along() {
    let (db, results) = (table(), Results::default());
    let mut batch = vec![
        insert(Undo::Transaction, 1, Ok(()), &results),
        insert(Undo::Transaction, 2, Err(StoreError::Fenced), &results),
    ];
    commit(&db, &mut batch);
    assert_eq!(numbers(&db), [0_i64; 0]);
    let found = std::mem::take(&mut *results.lock().unwrap());
    assert!(matches!(
        found[..],
        [Err(StoreError::Unavailable(_)), Err(StoreError::Fenced)]
    ));

    commit(
        &db,
        &mut vec![insert(Undo::Transaction, 4, Ok(()), &results)],
    );
    assert_eq!(numbers(&db), [4]);
}

#[test]
fn a_write_that_changes_nothing_and_fails_touches_no_other() {
    let (db, results) = (table(), Results::default());
    let refused = Arc::clone(&results);
    let mut batch = vec![
        insert(Undo::Transaction, 1, Ok(()), &results),
        job(
            Undo::Transaction,
            |_| Err::<(), _>(StoreError::Fenced),
            move |result| refused.lock().unwrap().push(result),
        ),
    ];
    commit(&db, &mut batch);
    assert_eq!(numbers(&db), [1]);
    let results = results.lock().unwrap();
    assert!(matches!(results[..], [Ok(()), Err(StoreError::Fenced)]));
}
