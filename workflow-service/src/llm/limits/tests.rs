//! Who may ask, and when.

use futures::FutureExt as _;
use tokio::task::JoinSet;

use super::*;

fn limits(max_concurrent: usize, requests_per_minute: u32, tokens_per_minute: u32) -> Limits {
    Limits::new(&ProviderSettings {
        max_concurrent,
        requests_per_minute,
        tokens_per_minute,
        ..ProviderSettings::default()
    })
}

impl Limits {
    async fn admit(&self, thread: &Arc<str>) -> Result<Permit, TooManyWait> {
        self.enqueue(thread)?.permit().await
    }
}

/// Lets `requests` (by thread, in this order) pass one at a time: the order they pass in.
async fn order(limits: &Limits, requests: &[&str]) -> Vec<String> {
    let held = limits.admit(&"holder".into()).await.unwrap();
    let mut waiting = JoinSet::new();
    for thread in requests {
        let (limits, thread) = (limits.clone(), Arc::<str>::from(*thread));
        waiting.spawn(async move {
            let permit = limits.admit(&thread).await.unwrap();
            drop(permit);
            thread.to_string()
        });
        // In the order of the list.
        tokio::task::yield_now().await;
    }
    drop(held);
    let mut passed = Vec::new();
    while let Some(thread) = waiting.join_next().await {
        passed.push(thread.unwrap());
    }
    passed
}

#[tokio::test]
async fn threads_take_turns() {
    let limits = limits(1, 0, 0);
    let passed = order(&limits, &["a", "a", "a", "b", "c"]).await;
    assert_eq!(passed, ["a", "b", "c", "a", "a"]);
}

#[tokio::test]
async fn no_more_than_the_limit_are_under_way_and_one_that_ends_lets_the_next_in() {
    let limits = limits(2, 0, 0);
    let thread = "t".into();
    let (one, two) = (limits.admit(&thread).await, limits.admit(&thread).await);
    assert!(limits.admit(&thread).now_or_never().is_none());
    drop(one);
    // The one that gave up above left nothing behind.
    let third = limits.admit(&thread).await;
    assert_eq!(limits.lock().under_way, 2);
    drop((two, third));
    let state = limits.lock();
    assert_eq!((state.under_way, state.waiting.len()), (0, 0));
}

#[tokio::test]
async fn requests_of_a_minute_are_spread_after_a_burst() {
    let limits = limits(100, 60, 0);
    for _ in 0..10 {
        let passes = limits.admit(&"t".into()).now_or_never();
        assert!(passes.is_some());
    }
    assert!(limits.admit(&"t".into()).now_or_never().is_none());
    let now = Instant::now();
    let wait = limits.lock().not_before(now).unwrap() - now;
    assert!(
        wait > Duration::ZERO && wait <= Duration::from_secs(1),
        "{wait:?}"
    );
    let later = now + Duration::from_secs(1);
    assert_eq!(limits.lock().not_before(later), None);
}

#[test]
fn tokens_that_were_used_are_earned_back_first() {
    let limits = limits(100, 0, 600);
    let now = Instant::now();
    assert_eq!(limits.lock().not_before(now), None);
    // The burst is 100.
    limits.use_tokens(400, now);
    let wait = limits.lock().not_before(now).unwrap() - now;
    assert_eq!(wait.as_secs_f64().round(), 30.0);
}

#[tokio::test]
async fn a_pause_holds_everybody_back_for_the_longest_that_was_asked_for() {
    let limits = limits(100, 0, 0);
    let now = Instant::now();
    limits.pause(now + Duration::from_secs(7));
    limits.pause(now + Duration::from_secs(3));
    assert!(limits.admit(&"t".into()).now_or_never().is_none());
    let until = |after| limits.lock().not_before(now + Duration::from_secs(after));
    assert_eq!(until(6), Some(now + Duration::from_secs(7)));
    assert_eq!(until(7), None);
}

#[tokio::test]
async fn a_turn_says_what_it_waits_for() {
    let thread = "t".into();
    let narrow = limits(1, 0, 0);
    let _held = narrow.admit(&thread).await.unwrap();
    let turn = narrow.enqueue(&thread).unwrap();
    assert_eq!(turn.obstacle(), Obstacle::Concurrency(1));
    let until = Instant::now() + Duration::from_secs(60);
    narrow.pause(until);
    assert_eq!(turn.obstacle(), Obstacle::Pause(until));

    let slow = limits(100, 60, 0);
    for _ in 0..10 {
        slow.admit(&thread).await.unwrap();
    }
    let turn = slow.enqueue(&thread).unwrap();
    assert_eq!(turn.obstacle(), Obstacle::Rate);
}

#[test]
fn second_tries_of_many_runs_do_not_come_at_once() {
    let limits = limits(100, 0, 0);
    let now = Instant::now();
    let delays: Vec<_> = (0..2_000).map(|_| limits.delay_of_retry(now)).collect();
    assert_eq!(delays[99], Duration::ZERO);
    assert_eq!(delays[199].as_secs_f64().round(), 10.0);
    assert_eq!(delays[1_999], LONGEST_DELAY);
}
