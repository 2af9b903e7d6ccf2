//! What goes wrong with providers, and what that means.

use std::time::Duration;

use anyhow::Result;
use e2e::{
    Cluster,
    aimock::Aimock,
    chat,
    cluster::WORKFLOW,
    payload,
    provider::{Provider, Reply},
    runs::invoke,
};
use futures::future::join_all;
use serde_json::{Value, json};
use weft_proto::workflow::v1::{StartRunRequest, run::State};
use workflow_service::llm::ChatRequest;

use crate::support::{APIS, ask, configure, models, say, spoken};

#[tokio::test]
async fn every_chaos_of_a_double_is_told_as_what_it_is() -> Result<()> {
    let chaos = |said: &str, chaos: Value| {
        json!({ "match": { "userMessage": said }, "chaos": chaos,
            "response": { "content": "never seen in one piece" } })
    };
    let rules = json!([
        chaos("drop", json!({ "dropRate": 1 })),
        chaos("malform", json!({ "malformedRate": 1 })),
        chaos("disconnect", json!({ "disconnectRate": 1 })),
        chaos("limit", json!({ "rateLimitRate": 1 })),
        { "match": { "userMessage": "truncate" }, "truncateAfterChunks": 2, "chunkSize": 4,
          "response": { "content": "never seen in one piece" } },
        { "match": { "userMessage": "refuse" }, "response": {
            "error": { "message": "no", "type": "invalid_request_error" }, "status": 400 } },
    ]);
    let Some(aimock) = Aimock::start(&rules).await? else {
        return Ok(());
    };
    for (api, _) in APIS {
        let models = models(api, &aimock.url(), "")?;
        for (said, reasons, retryable) in [
            ("drop", vec!["MODEL_UNAVAILABLE"], true),
            (
                "malform",
                vec!["MODEL_ANSWER_UNREADABLE", "MODEL_STREAM_TRUNCATED"],
                true,
            ),
            (
                "disconnect",
                vec!["MODEL_UNAVAILABLE", "MODEL_STREAM_TRUNCATED"],
                true,
            ),
            (
                "truncate",
                vec!["MODEL_UNAVAILABLE", "MODEL_STREAM_TRUNCATED"],
                true,
            ),
            ("refuse", vec!["MODEL_REFUSED"], false),
            // Last: the provider is paused then.
            ("limit", vec!["MODEL_RATE_LIMITED"], true),
        ] {
            let failure = ask(&models, say(said)).await.unwrap_err();
            assert!(
                reasons.contains(&failure.reason.as_str()),
                "{api} {said}: {failure:?}"
            );
            assert_eq!(failure.retryable, retryable, "{api} {said}: {failure:?}");
            assert_eq!(
                failure.retry_after.is_some(),
                said == "limit",
                "{api}: {failure:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_pause_that_a_provider_asks_for_is_kept_by_everybody() -> Result<()> {
    let error = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}});
    let provider = Provider::start([
        Reply::json(429, &error).header("retry-after-ms", "400"),
        Reply::stream(spoken(&["hi"])),
    ])
    .await?;
    let models = models("messages", provider.url(), "")?;
    let failure = ask(&models, say("hello")).await.unwrap_err();
    assert_eq!(failure.retry_after, Some(Duration::from_millis(400)));
    let begin = std::time::Instant::now();
    ask(&models, say("another run")).await?;
    assert!(
        begin.elapsed() >= Duration::from_millis(300),
        "{:?}",
        begin.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn a_used_up_account_is_not_asked_again() -> Result<()> {
    let errors = [
        json!({"error": {"message": "no money", "type": "insufficient_quota", "code": "insufficient_quota"}}),
        json!({"type": "error", "error": {"type": "rate_limit_error", "message": "no money",
            "details": {"error_code": "enforced_spend_limit_reached"}}}),
    ];
    for error in errors {
        let reply = Reply::json(429, &error).header("x-should-retry", "true");
        let provider = Provider::start([reply]).await?;
        let models = models("chat", provider.url(), "")?;
        let failure = ask(&models, say("hello")).await.unwrap_err();
        assert_eq!(
            (failure.reason.as_str(), failure.retryable),
            ("MODEL_SPEND_LIMIT", false)
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_key_is_in_no_error() -> Result<()> {
    let error = |text: &str| json!({"error": {"message": text, "type": "x"}});
    let provider = Provider::start([
        Reply::json(401, &error("incorrect key s3cret")),
        Reply::json(400, &error("you sent s3cret with this")).header("request-id", "req_7"),
    ])
    .await?;
    let models = models("chat", provider.url(), "")?;
    let refused = ask(&models, say("hello")).await.unwrap_err();
    assert_eq!(refused.reason, "MODEL_UNAUTHENTICATED");
    assert!(
        refused.message.contains("`providers.p.api_key`"),
        "{refused}"
    );
    let bad = ask(&models, say("hello")).await.unwrap_err();
    assert_eq!(bad.metadata["request_id"], "req_7");
    for failure in [refused, bad] {
        assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
    }
    Ok(())
}

#[tokio::test]
async fn no_secret_that_a_provider_repeats_is_in_an_error() -> Result<()> {
    let said = "you sent s3cret, t0psecret and dXNlcjpwdw==";
    let error = |text: &str| json!({"error": {"message": text, "type": "x"}});
    // The cut of a long text must not leave half a secret either.
    let long = format!("{}s3cret", "x".repeat(497));
    let provider = Provider::start([
        Reply::json(400, &error(said)),
        Reply::json(500, &error(&long)),
        Reply::stream(format!("data: {}\n\n", error(said))),
        Reply::stream(format!("data: {{\"choices\": \"{said}\"}}\n\n")),
    ])
    .await?;
    let headers =
        "[p.headers]\nx-org = \"t0psecret\"\nproxy-authorization = \"Basic dXNlcjpwdw==\"";
    let models = models("chat", provider.url(), headers)?;
    for _ in 0..4 {
        let failure = ask(&models, say("hello")).await.unwrap_err();
        let shown = format!("{failure:?}");
        for secret in ["s3c", "t0p", "dXNl"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn whatever_is_logged_no_secret_is() -> Result<()> {
    let error = json!({"error": {"message": "you sent s3cret and t0psecret", "type": "x"}});
    let provider =
        Provider::start([Reply::stream(spoken(&["hi"])), Reply::json(400, &error)]).await?;
    let mut cluster = Cluster::new()?;
    configure(&mut cluster, provider.url());
    for (name, value) in [
        ("WEFT_PROVIDERS__ANTHROPIC__HEADERS__X_ORG", "t0psecret"),
        ("WEFT_LOG", "trace"),
    ] {
        cluster.set(WORKFLOW, name, value);
    }
    cluster.start_workflow().await?;
    let off = json!({ "user_id": "1", "memory": { "mode": "off" } });
    for state in [State::Succeeded, State::Failed] {
        let run = StartRunRequest {
            config: Some(payload::json(&off)),
            ..chat("t", "1", "hello")
        };
        let run = invoke(&mut cluster.workflow_client()?, run).await?;
        assert_eq!(run.state(), state, "{run:?}");
        assert!(!format!("{run:?}").contains("secret"), "{run:?}");
    }
    assert_eq!(provider.asked()[0].headers["x_org"], "t0psecret");
    cluster.take_workflow()?.terminate().await?;
    let log = std::fs::read_to_string(cluster.folder().join("workflow-service.log"))?;
    assert!(log.contains(r#""level":"TRACE""#), "nothing was logged");
    for secret in ["s3cret", "t0psecret"] {
        let told = log.lines().find(|line| line.contains(secret));
        assert_eq!(told, None);
    }
    cluster.finish().await
}

#[tokio::test]
async fn a_provider_that_falls_silent_is_not_waited_for() -> Result<()> {
    let beginning = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n";
    let provider = Provider::start([
        Reply::stream(beginning).held(),
        Reply::stream(beginning).held(),
    ])
    .await?;
    let idle = models("messages", provider.url(), "idle_timeout = \"100ms\"")?;
    let failure = ask(&idle, say("hello")).await.unwrap_err();
    assert_eq!(
        (failure.reason.as_str(), failure.retryable),
        ("MODEL_TIMEOUT", true)
    );
    let slow = models("messages", provider.url(), "timeout = \"100ms\"")?;
    let failure = ask(&slow, say("hello")).await.unwrap_err();
    assert!(failure.message.contains("100ms"), "{failure}");

    let nobody = models("messages", "http://127.0.0.1:1", "")?;
    let failure = ask(&nobody, say("hello")).await.unwrap_err();
    assert_eq!(
        (failure.reason.as_str(), failure.retryable),
        ("MODEL_UNAVAILABLE", true)
    );
    assert!(failure.message.contains("refused"), "{failure}");
    Ok(())
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_configured() -> Result<()> {
    let replies = (0..6).map(|_| Reply::stream(spoken(&["hi"])).held());
    let provider = Provider::start(replies).await?;
    let models = models("messages", provider.url(), "max_concurrent = 2")?;
    let asking = join_all((0..6).map(|number| {
        let request = ChatRequest {
            thread: format!("t{number}").into(),
            ..say("hello")
        };
        ask(&models, request)
    }));
    let (answers, released) = tokio::join!(asking, async {
        provider.sees(2).await?;
        provider.release();
        anyhow::Ok(())
    });
    released?;
    answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!((provider.asked().len(), provider.most_under_way()), (6, 2));
    Ok(())
}
