//! Embedders behind an OpenAI-compatible HTTP API: OpenAI, Ollama, vLLM, llama.cpp, TEI.

use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use reqwest::{Client, Response, StatusCode, Url, header::HeaderMap};
use service_runtime::Secret;
use tokio::time::{Instant, sleep, timeout};

use super::{
    EmbedError, Embedded, Embedder,
    sharing::{Limits, Queue},
    wire::{self, Request},
};

/// Most texts of one HTTP request: what Text Embeddings Inference takes by default.
const BATCH_TEXTS: usize = 32;

/// Most bytes of its texts, but for one that is longer by itself: half of what Text Embeddings
/// Inference takes by default, as JSON may need more.
const BATCH_BYTES: usize = 1_000_000;

/// HTTP requests under way at once, of all calls together.
const CONCURRENCY: usize = 8;

/// How often a request is tried.
const ATTEMPTS: u32 = 3;

/// Pause before the second try, if the server does not say; doubled for every further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// When callers should try again, if the server does not say.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What a used-up quota is called. It has the status of too many requests, and no wait helps.
const USED_UP: [&str; 5] = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
];

/// Longest answer in bytes. 32 vectors of 4096 numbers as text take some 3 MiB.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// What is needed to call an embedder.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Where the API is, with or without its `/v1`.
    pub base_url: String,
    /// Name of the model, as the server knows it.
    pub model: String,
    /// Ask for vectors of this length; `None` for what the model makes.
    pub dims: Option<usize>,
    /// Sent as a bearer token.
    pub api_key: Option<Secret>,
    /// How long embedding may take, all tries together.
    pub timeout: Duration,
}

/// An embedder behind an HTTP API.
pub struct HttpEmbedder {
    client: Client,
    url: Url,
    settings: HttpSettings,
    id: String,
    dims: usize,
    queue: Queue,
}

/// Why a try failed.
struct Fault {
    cause: String,
    /// Whether another try may succeed.
    passing: bool,
    /// When, if the server says so.
    retry_after: Option<Duration>,
}

impl Fault {
    fn passing(cause: impl ToString) -> Self {
        Self {
            cause: cause.to_string(),
            passing: true,
            retry_after: None,
        }
    }
}

impl HttpEmbedder {
    /// Calls the embedder once, to learn how long its vectors are.
    ///
    /// # Errors
    /// [`EmbedError`] if it cannot be called, or does not answer with a vector of the length that
    /// was asked for.
    pub async fn connect(settings: HttpSettings) -> Result<Self, EmbedError> {
        // An error says that there is one already; without any, the client would panic.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let refused = |cause: String| EmbedError::Refused(cause);
        let base = settings.base_url.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let url = Url::parse(&format!("{base}/v1/embeddings"))
            .map_err(|error| refused(format!("`{base}` is no URL: {error}")))?;
        let client = Client::builder()
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let mut embedder = Self {
            client,
            url,
            id: format!("http:{}", settings.model),
            dims: settings.dims.unwrap_or(0),
            queue: Queue::new(Limits {
                requests: CONCURRENCY,
                texts: BATCH_TEXTS,
                bytes: BATCH_BYTES,
                timeout: settings.timeout,
            }),
            settings,
        };
        let probe = ["probe".to_owned()];
        let vectors = embedder.request(&probe, embedder.settings.dims).await?;
        embedder.dims = vectors.first().map_or(0, Vec::len);
        Ok(embedder)
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let request =
            |texts: Vec<String>| async move { self.request(&texts, Some(self.dims)).await };
        self.queue.embed(texts, request).await
    }

    /// One HTTP request, tried until it succeeds, as far as that makes sense.
    async fn request(
        &self,
        texts: &[String],
        dims: Option<usize>,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        let started = Instant::now();
        let left = || self.settings.timeout.saturating_sub(started.elapsed());
        let mut pause = FIRST_PAUSE;
        let mut tries = 0;
        loop {
            tries += 1;
            let fault = match timeout(left(), self.attempt(texts, dims)).await {
                Ok(Ok(vectors)) => return Ok(vectors),
                Ok(Err(fault)) => fault,
                Err(_) => Fault::passing(format!("no answer within {:?}", self.settings.timeout)),
            };
            if !fault.passing {
                return Err(EmbedError::Refused(fault.cause));
            }
            // Those who failed together come back one after the other.
            let jittered = pause.mul_f64(rand::random_range(0.75..=1.0));
            let wait = fault.retry_after.unwrap_or(jittered);
            if tries == ATTEMPTS || wait >= left() {
                return Err(EmbedError::Unavailable {
                    cause: fault.cause,
                    retry_after: fault.retry_after.unwrap_or(RETRY_AFTER),
                });
            }
            tracing::debug!(cause = fault.cause, ?wait, "embedding is tried again");
            sleep(wait).await;
            pause *= 2;
        }
    }

    async fn attempt(&self, texts: &[String], dims: Option<usize>) -> Result<Vec<Vec<f32>>, Fault> {
        let request = Request {
            model: &self.settings.model,
            input: texts,
            encoding_format: "base64",
            dimensions: self.settings.dims,
        };
        let mut call = self.client.post(self.url.clone()).json(&request);
        if let Some(key) = &self.settings.api_key {
            call = call.bearer_auth(key.expose());
        }
        let response = call.send().await.map_err(away)?;
        let status = response.status();
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let body = body(response).await?;
        if status.is_success() {
            return wire::vectors(&body, texts.len(), dims).map_err(Fault::passing);
        }
        let mut body = String::from_utf8_lossy(&body);
        let passing = passes(status, &body);
        if let Some(key) = &self.settings.api_key {
            body = key.redact(body);
        }
        let start: String = body.chars().take(300).collect();
        Err(Fault {
            cause: format!("it answers {status}: {}", start.trim()),
            passing,
            retry_after,
        })
    }
}

/// A failure below HTTP. Its text leaves out what the URL may hold.
fn away(error: reqwest::Error) -> Fault {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    Fault::passing(cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")))
}

async fn body(mut response: Response) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Fault::passing("its answer does not end"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Whether an error goes away by waiting.
fn passes(status: StatusCode, body: &str) -> bool {
    match status {
        StatusCode::TOO_MANY_REQUESTS => !USED_UP.iter().any(|name| body.contains(name)),
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_EARLY => true,
        status => status.is_server_error(),
    }
}

/// What the server says about when to try again: milliseconds, seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.trim());
    let number = |text: &str| text.parse().ok();
    let millis = text("retry-after-ms").and_then(number);
    if let Some(millis) = millis {
        return Some(Duration::from_millis(millis));
    }
    let after = text("retry-after")?;
    match number(after) {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => {
            let date = httpdate::parse_http_date(after).ok()?;
            Some(date.duration_since(now).unwrap_or_default())
        }
    }
}

impl Embedder for HttpEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn embed_documents<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        self.embed(texts).boxed()
    }

    fn embed_queries<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        self.embed(texts).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_when_to_try_again_in_any_of_three_ways() {
        let now = httpdate::parse_http_date("Mon, 23 Nov 2026 10:00:00 GMT").unwrap();
        let said = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| {
                let name = reqwest::header::HeaderName::from_static(name);
                (name, reqwest::header::HeaderValue::from_static(value))
            });
            retry_after(&headers.collect(), now)
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(said(&[("retry-after", "7")]), seconds(7));
        assert_eq!(
            said(&[("retry-after", "7"), ("retry-after-ms", "1500")]),
            Some(Duration::from_millis(1500))
        );
        for (date, expected) in [
            ("Mon, 23 Nov 2026 10:00:07 GMT", seconds(7)),
            ("Monday, 23-Nov-26 10:01:00 GMT", seconds(60)),
            ("Mon, 23 Nov 2026 09:59:00 GMT", seconds(0)),
            ("Someday", None),
            ("-1", None),
        ] {
            assert_eq!(said(&[("retry-after", date)]), expected, "{date}");
        }
        assert_eq!(said(&[]), None);
    }
}
