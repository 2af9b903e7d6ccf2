//! HTTP to one provider: requests, answers in pieces, and what goes wrong on the way.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::{StreamExt as _, stream, stream::BoxStream};
use reqwest::{
    Client, Response, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    ChatModel, ChatRequest, Piece,
    dialect::{Decoder, Dialect},
    error::{Fault, LONGEST_PAUSE, ModelError},
    limits::{Limits, Permit},
    message::Message,
    retry::{self, ErrorBody},
    settings::{Auth, BadProvider, ResolvedProvider},
    sse::SseDecoder,
};

/// Largest answer in bytes that comes in one piece, and largest text of an error.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// Largest text of an error that is read.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// How long a connection is kept that nobody uses. Shorter than what load balancers do, so that
/// none is used that they have closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// HttpModel is a provider behind HTTP.
pub struct HttpModel {
    endpoint: Arc<Endpoint>,
    dialect: Arc<dyn Dialect>,
}

struct Endpoint {
    provider: ResolvedProvider,
    client: Client,
    url: Url,
    headers: HeaderMap,
    limits: Limits,
}

impl HttpModel {
    /// A provider that speaks `dialect`.
    ///
    /// # Errors
    /// [`BadProvider`] if it cannot be reached as it is configured.
    pub fn new(provider: ResolvedProvider, dialect: Arc<dyn Dialect>) -> Result<Self, BadProvider> {
        // An error says that there is one already; without any, the client would panic.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bad = |key, fault: String| BadProvider {
            provider: provider.name.clone(),
            key,
            fault,
        };
        let url = Url::parse(&format!("{}{}", provider.base_url, dialect.path()))
            .map_err(|error| bad("base_url", format!("is no URL: {error}")))?;
        let headers = headers(&provider, dialect.as_ref())?;
        let client = Client::builder()
            .connect_timeout(provider.settings.connect_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            // A redirect would carry the key to another place.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| bad("base_url", format!("cannot be used: {error}")))?;
        Ok(Self {
            endpoint: Arc::new(Endpoint {
                limits: Limits::new(&provider.settings),
                provider,
                client,
                url,
                headers,
            }),
            dialect,
        })
    }
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

impl ChatModel for HttpModel {
    fn check(&self, request: &ChatRequest) -> Result<(), String> {
        self.dialect.body(request).map(drop)
    }

    fn stream(&self, request: ChatRequest) -> BoxStream<'static, Result<Piece, ModelError>> {
        let answering = Answering {
            endpoint: Arc::clone(&self.endpoint),
            dialect: Arc::clone(&self.dialect),
            request,
            state: State::Asking,
        };
        stream::try_unfold(answering, |mut answering| async move {
            let piece = answering.next_piece().await?;
            Ok(piece.map(|piece| (piece, answering)))
        })
        .boxed()
    }
}

/// One answer on its way.
struct Answering {
    endpoint: Arc<Endpoint>,
    dialect: Arc<dyn Dialect>,
    request: ChatRequest,
    state: State,
}

enum State {
    Asking,
    Reading(Box<Reading>),
    Done,
}

struct Reading {
    response: Response,
    request_id: Option<String>,
    deadline: Instant,
    sse: SseDecoder,
    decoder: Box<dyn Decoder>,
    pieces: VecDeque<Piece>,
    _permit: Permit,
}

impl Answering {
    async fn next_piece(&mut self) -> Result<Option<Piece>, ModelError> {
        loop {
            match &mut self.state {
                State::Done => return Ok(None),
                State::Asking => match self.ask().await {
                    Ok(None) => {}
                    Ok(Some(message)) => return Ok(Some(self.done(message))),
                    Err(error) => return Err(self.failed(error)),
                },
                State::Reading(reading) => {
                    match reading.pieces.pop_front() {
                        // It came with the pieces before it.
                        Some(Piece::Done(message)) => return Ok(Some(self.done(*message))),
                        Some(piece) => return Ok(Some(piece)),
                        None => {}
                    }
                    match reading.read(&self.endpoint).await {
                        Ok(None) => {}
                        Ok(Some(message)) => return Ok(Some(self.done(message))),
                        Err(error) => return Err(self.failed(error)),
                    }
                }
            }
        }
    }

    /// Waits for its turn and sends the request; the answer, if it comes in one piece.
    async fn ask(&mut self) -> Result<Option<Message>, ModelError> {
        let endpoint = &self.endpoint;
        let body = self.dialect.body(&self.request);
        let body = body.map_err(|why| endpoint.error(Fault::Unsendable(why)))?;
        let permit = endpoint.limits.admit(&self.request.thread).await;
        let permit = permit.map_err(|full| endpoint.error(Fault::RateLimited(full.to_string())))?;
        let streams = self.request.options.stream.unwrap_or(true);
        let settings = &endpoint.provider.settings;
        let deadline = Instant::now() + settings.timeout;
        let patience = match streams {
            true => settings.idle_timeout,
            false => settings.timeout,
        };
        let response = timeout(patience, endpoint.send(body)).await;
        let response = response.map_err(|_| endpoint.error(Fault::Silent(patience)))??;
        let request_id = request_id(response.headers());
        if streams {
            self.state = State::Reading(Box::new(Reading {
                response,
                request_id,
                deadline,
                sse: SseDecoder::default(),
                decoder: self.dialect.decoder(),
                pieces: VecDeque::new(),
                _permit: permit,
            }));
            return Ok(None);
        }
        let body = timeout_at(deadline, read(response, MAX_ANSWER_BYTES)).await;
        let body = body
            .unwrap_or(Err(Fault::Silent(settings.timeout)))
            .and_then(|body| self.dialect.message(&body));
        body.map(Some).map_err(|fault| ModelError {
            request_id,
            ..endpoint.error(fault)
        })
    }

    /// The last piece: the whole message.
    fn done(&mut self, mut message: Message) -> Piece {
        self.state = State::Done;
        let used = message.usage.map_or(0, |usage| usage.total());
        self.endpoint.limits.use_tokens(used, Instant::now());
        let provider = &self.endpoint.provider.name;
        message.model = Some(format!("{provider}:{}", self.request.model));
        Piece::Done(Box::new(message))
    }

    fn failed(&mut self, mut error: ModelError) -> ModelError {
        self.state = State::Done;
        let limits = &self.endpoint.limits;
        if error.fault.passes() {
            if let (Fault::RateLimited(_), Some(pause)) = (&error.fault, error.retry_after) {
                limits.pause(Instant::now() + pause.min(LONGEST_PAUSE));
            }
            let delay = limits.delay_of_retry(Instant::now());
            if !delay.is_zero() {
                error.retry_after = error.retry_after.max(Some(delay));
            }
        }
        error
    }
}

impl Reading {
    /// Reads on; the message, if it is complete.
    async fn read(&mut self, endpoint: &Endpoint) -> Result<Option<Message>, ModelError> {
        let read = self.read_chunk(endpoint).await;
        read.map_err(|fault| ModelError {
            request_id: self.request_id.clone(),
            ..endpoint.error(fault)
        })
    }

    async fn read_chunk(&mut self, endpoint: &Endpoint) -> Result<Option<Message>, Fault> {
        let idle_timeout = endpoint.provider.settings.idle_timeout;
        let until = self.deadline.min(Instant::now() + idle_timeout);
        let chunk = timeout_at(until, self.response.chunk()).await;
        let chunk = chunk.map_err(|_| match until == self.deadline {
            true => Fault::Silent(endpoint.provider.settings.timeout),
            false => Fault::Silent(idle_timeout),
        })?;
        // A connection that breaks in the middle leaves half an answer, however it breaks.
        let Ok(Some(chunk)) = chunk else {
            return self.decoder.end().map(Some);
        };
        let pushed = self.sse.push(&chunk);
        pushed.map_err(|error| Fault::Unreadable(error.to_string()))?;
        while let Some(event) = self.sse.next_event() {
            let is_last = self.decoder.event(event, &mut self.pieces)?;
            if is_last {
                let message = self.decoder.end()?;
                if self.pieces.is_empty() {
                    return Ok(Some(message));
                }
                // The pieces before it are given first: the connection has nothing more to say.
                self.pieces.push_back(Piece::Done(Box::new(message)));
                return Ok(None);
            }
        }
        Ok(None)
    }
}

impl Endpoint {
    async fn send(&self, body: Vec<u8>) -> Result<Response, ModelError> {
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
        let body = self.without_key(ErrorBody::read(&body));
        let hint = &self.provider.key_hint;
        Err(ModelError {
            retry_after: retry::retry_after(&headers, SystemTime::now()),
            request_id: request_id(&headers),
            ..self.error(retry::fault_of(status, &headers, &body, hint))
        })
    }

    /// Some providers repeat the key in what they say.
    fn without_key(&self, mut body: ErrorBody) -> ErrorBody {
        if let Some(key) = &self.provider.key
            && !key.expose().is_empty()
        {
            body.message = body.message.replace(key.expose(), "[redacted]");
        }
        body
    }

    fn error(&self, fault: Fault) -> ModelError {
        ModelError {
            provider: self.provider.name.clone(),
            fault,
            retry_after: None,
            request_id: None,
        }
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("request-id").or(headers.get("x-request-id"))?;
    id.to_str().ok().map(str::to_owned)
}

async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, Fault> {
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
