//! One answer of a provider over HTTP, from its wait for a turn to its last piece.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream, stream::BoxStream};
use reqwest::Response;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    ChatModel, ChatRequest, Piece,
    dialect::{self, Decoder, Dialect},
    endpoint::{Endpoint, read, request_id},
    error::{Fault, LONGEST_PAUSE, ModelError},
    limits::{Obstacle, Permit, TooManyWait, Turn},
    message::Message,
    options::{BadOption, Options},
    settings::{BadProvider, ResolvedProvider},
    sse::SseDecoder,
};

/// Largest answer in bytes that comes in one piece.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// How long a request waits for its turn before that is told.
const NOTICE_AFTER: Duration = Duration::from_secs(1);

/// HttpModel is a provider behind HTTP.
pub struct HttpModel {
    endpoint: Arc<Endpoint>,
    dialect: Arc<dyn Dialect>,
}

impl HttpModel {
    /// A provider that speaks `dialect`.
    ///
    /// # Errors
    /// [`BadProvider`] if it cannot be reached as it is configured.
    pub fn new(provider: ResolvedProvider, dialect: Arc<dyn Dialect>) -> Result<Self, BadProvider> {
        Ok(Self {
            endpoint: Arc::new(Endpoint::new(provider, &*dialect)?),
            dialect,
        })
    }
}

impl ChatModel for HttpModel {
    fn check(&self, options: &Options) -> Vec<BadOption> {
        dialect::check(&*self.dialect, options)
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
    Queued {
        turn: Turn,
        /// What it was said to wait for.
        told: Option<Obstacle>,
    },
    Admitted(Permit),
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
                State::Asking => match self.endpoint.limits.enqueue(&self.request.thread) {
                    Ok(turn) => self.state = State::Queued { turn, told: None },
                    Err(full) => return Err(self.full(full)),
                },
                State::Queued { turn, told } => {
                    let permit = match timeout(NOTICE_AFTER, turn.permit()).await {
                        Ok(Ok(permit)) => permit,
                        Ok(Err(full)) => return Err(self.full(full)),
                        Err(_) => {
                            let obstacle = turn.obstacle();
                            if *told == Some(obstacle) {
                                continue;
                            }
                            *told = Some(obstacle);
                            let waits = self.endpoint.waits_for(obstacle);
                            return Ok(Some(Piece::Waits(waits)));
                        }
                    };
                    let has_waited = told.is_some();
                    self.state = State::Admitted(permit);
                    if has_waited {
                        return Ok(Some(Piece::GoesOn));
                    }
                }
                State::Admitted(_) => match self.ask().await {
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

    /// Sends the request; the answer, if it comes in one piece.
    async fn ask(&mut self) -> Result<Option<Message>, ModelError> {
        let State::Admitted(permit) = std::mem::replace(&mut self.state, State::Done) else {
            return Ok(None);
        };
        let endpoint = &self.endpoint;
        let body = dialect::encode(&*self.dialect, &self.request);
        let body = body.map_err(|why| endpoint.error(Fault::Unsendable(why)))?;
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

    fn full(&mut self, full: TooManyWait) -> ModelError {
        let error = self.endpoint.error(Fault::RateLimited(full.to_string()));
        self.failed(error)
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
