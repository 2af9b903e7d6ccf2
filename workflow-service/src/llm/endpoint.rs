//! Where a provider is, and who may ask it: what all its requests share.

use std::time::{Duration, SystemTime};

use reqwest::{
    Client, Response, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use service_runtime::config::human;
use tokio::time::Instant;

use super::{
    dialect::Dialect,
    error::{Fault, ModelError},
    limits::{Limits, Obstacle},
    retry::{self, ErrorBody},
    settings::{Auth, BadProvider, ResolvedProvider},
};

/// Largest text of an error that is read, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// Most characters of what a provider says that are passed on.
const MAX_SAID: usize = 500;
/// How long a connection is kept that nobody uses. Shorter than what load balancers do, so that
/// none is used that they have closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Endpoint is a provider as its requests need it.
pub(super) struct Endpoint {
    pub(super) provider: ResolvedProvider,
    pub(super) limits: Limits,
    client: Client,
    url: Url,
    headers: HeaderMap,
}

impl Endpoint {
    /// A provider that speaks `dialect`.
    ///
    /// # Errors
    /// [`BadProvider`] if it cannot be reached as it is configured.
    pub(super) fn new(
        provider: ResolvedProvider,
        dialect: &dyn Dialect,
    ) -> Result<Self, BadProvider> {
        // An error says that there is one already; without any, the client would panic.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bad = |key, fault: String| BadProvider {
            provider: provider.name.clone(),
            key,
            fault,
        };
        let url = Url::parse(&format!("{}{}", provider.base_url, dialect.path()))
            .map_err(|error| bad("base_url", format!("is no URL: {error}")))?;
        let headers = headers(&provider, dialect)?;
        let client = Client::builder()
            .connect_timeout(provider.settings.connect_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            // A redirect would carry the key to another place.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| bad("base_url", format!("cannot be used: {error}")))?;
        Ok(Self {
            limits: Limits::new(&provider.settings),
            provider,
            client,
            url,
            headers,
        })
    }

    /// What a request waits for, for people.
    pub(super) fn waits_for(&self, obstacle: Obstacle) -> String {
        let name = &self.provider.name;
        match obstacle {
            Obstacle::Pause(until) => {
                let left = until.saturating_duration_since(Instant::now());
                let until = human::moment(SystemTime::now() + left);
                format!("waits for the provider `{name}` until {until}: it asked for a pause")
            }
            Obstacle::Rate => format!(
                "waits for its turn at the provider `{name}`: `requests_per_minute` or \
                 `tokens_per_minute` is used up"
            ),
            Obstacle::Concurrency(most) => format!(
                "waits for its turn at the provider `{name}`: {most} requests are under way, which is \
                 its `max_concurrent`"
            ),
        }
    }

    /// Sends a body: the answer, if it is one.
    pub(super) async fn send(&self, body: Vec<u8>) -> Result<Response, ModelError> {
        let request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .body(body);
        let response = request.send().await;
        let response = response.map_err(|error| self.error(away(error)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_success() {
            return Ok(response);
        }
        let body = read(response, MAX_ERROR_BYTES).await.unwrap_or_default();
        let body = ErrorBody::read(&body);
        let hint = &self.provider.key_hint;
        Err(ModelError {
            retry_after: retry::retry_after(&headers, SystemTime::now()),
            request_id: request_id(&headers),
            ..self.error(retry::fault_of(status, &headers, &body, hint))
        })
    }

    /// What a provider says is told without the secrets that it was sent: some repeat them.
    pub(super) fn error(&self, fault: Fault) -> ModelError {
        let headers = self.provider.settings.headers.values();
        let secrets: Vec<_> = self.provider.key.iter().chain(headers).collect();
        let fault = fault.map_said(|said| {
            let redacted = secrets
                .iter()
                .fold(said.into(), |said, secret| secret.redact(said));
            redacted.trim().chars().take(MAX_SAID).collect()
        });
        ModelError {
            provider: self.provider.name.clone(),
            fault,
            retry_after: None,
            request_id: None,
        }
    }
}

/// Id of a request at its provider.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("request-id").or(headers.get("x-request-id"))?;
    id.to_str().ok().map(str::to_owned)
}

/// Reads an answer to its end, unless it has more than `most` bytes.
pub(super) async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        if body.len() + chunk.len() > most {
            return Err(Fault::Unreadable(format!("it has more than {most} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A failure below HTTP. Its text leaves out what the URL may hold.
fn away(error: reqwest::Error) -> Fault {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Fault::Away(text)
}

/// The headers of every request; those with secrets are marked as such.
fn headers(provider: &ResolvedProvider, dialect: &dyn Dialect) -> Result<HeaderMap, BadProvider> {
    let secret = |key, text: &str| {
        let mut value = HeaderValue::from_str(text).map_err(|_| BadProvider {
            provider: provider.name.clone(),
            key,
            fault: "must be visible characters of ASCII".to_owned(),
        })?;
        value.set_sensitive(true);
        Ok(value)
    };
    let mut headers = dialect.headers();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = &provider.key {
        match provider.auth {
            Auth::Bearer => {
                let value = secret("api_key", &format!("Bearer {}", key.expose()))?;
                headers.insert(AUTHORIZATION, value);
            }
            Auth::XApiKey => {
                let value = secret("api_key", key.expose())?;
                headers.insert(HeaderName::from_static("x-api-key"), value);
            }
            Auth::None => {}
        }
    }
    for (name, value) in &provider.settings.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| BadProvider {
            provider: provider.name.clone(),
            key: "headers",
            fault: format!("has `{name}`, which is no name of a header"),
        })?;
        headers.insert(name, secret("headers", value.expose())?);
    }
    Ok(headers)
}
