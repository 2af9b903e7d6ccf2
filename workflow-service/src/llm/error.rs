//! Why a model did not answer, and what that means to a task.

use std::time::Duration;

use weft_worker::Failure;

/// ModelError says why a model did not answer. Its text holds no key.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{provider}: {fault}")]
pub struct ModelError {
    /// Who was asked.
    pub provider: String,
    /// What went wrong.
    pub fault: Fault,
    /// When another try makes sense, at the earliest; `None` if the provider does not say.
    pub retry_after: Option<Duration>,
    /// Id of the request at the provider, for its support.
    pub request_id: Option<String>,
}

/// Fault is what went wrong between us and a provider.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// It cannot be reached, or the connection broke.
    #[error("cannot be reached: {0}")]
    Away(String),
    /// It did not say anything for too long.
    #[error("did not answer within {0:?}")]
    Silent(Duration),
    /// It has trouble, or too much to do.
    #[error("answers {status}: {message}")]
    Trouble {
        /// Status of HTTP; 200 for trouble in the middle of an answer.
        status: u16,
        /// What it says.
        message: String,
    },
    /// It wants fewer requests, or its own limits here are reached.
    #[error("wants fewer requests: {0}")]
    RateLimited(String),
    /// The account has no money left, or may not spend more.
    #[error("the account's limit is reached: {0}")]
    SpendLimit(String),
    /// It does not take the key. What it says about it may show parts of the key.
    #[error("refuses the key; {hint}")]
    Unauthenticated {
        /// Where the key comes from.
        hint: String,
    },
    /// The key may not do that.
    #[error("answers 403: {message}; if another key may, {hint}")]
    Forbidden {
        /// What it says.
        message: String,
        /// Where the key comes from.
        hint: String,
    },
    /// It does not have the model, or whatever else is asked for.
    #[error("answers 404: {0}")]
    NotFound(String),
    /// It does not take the request.
    #[error("refuses the request ({status}): {message}")]
    Refused {
        /// Status of HTTP.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The request makes no sense for this provider; it was not sent.
    #[error("the request cannot be made: {0}")]
    Unsendable(String),
    /// The answer ended before it was complete.
    #[error("the answer ended before it was complete")]
    Truncated,
    /// The answer is no answer.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
}

impl Fault {
    /// Stable reason for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Away(_) | Self::Trouble { .. } => "MODEL_UNAVAILABLE",
            Self::Silent(_) => "MODEL_TIMEOUT",
            Self::RateLimited(_) => "MODEL_RATE_LIMITED",
            Self::SpendLimit(_) => "MODEL_SPEND_LIMIT",
            Self::Unauthenticated { .. } | Self::Forbidden { .. } => "MODEL_UNAUTHENTICATED",
            Self::NotFound(_) => "MODEL_NOT_FOUND",
            Self::Refused { .. } | Self::Unsendable(_) => "MODEL_REFUSED",
            Self::Truncated => "MODEL_STREAM_TRUNCATED",
            Self::Unreadable(_) => "MODEL_ANSWER_UNREADABLE",
        }
    }

    /// The same with other words for what the provider says.
    #[must_use]
    pub fn map_said(self, map: impl Fn(String) -> String) -> Self {
        match self {
            Self::Away(said) => Self::Away(map(said)),
            Self::Trouble { status, message } => Self::Trouble {
                status,
                message: map(message),
            },
            Self::RateLimited(said) => Self::RateLimited(map(said)),
            Self::SpendLimit(said) => Self::SpendLimit(map(said)),
            Self::Forbidden { message, hint } => Self::Forbidden {
                message: map(message),
                hint,
            },
            Self::NotFound(said) => Self::NotFound(map(said)),
            Self::Refused { status, message } => Self::Refused {
                status,
                message: map(message),
            },
            Self::Unreadable(said) => Self::Unreadable(map(said)),
            // Their words are our own.
            Self::Silent(_)
            | Self::Unauthenticated { .. }
            | Self::Unsendable(_)
            | Self::Truncated => self,
        }
    }

    /// Whether another try may succeed.
    pub const fn passes(&self) -> bool {
        match self {
            Self::Away(_)
            | Self::Silent(_)
            | Self::Trouble { .. }
            | Self::RateLimited(_)
            | Self::Truncated
            | Self::Unreadable(_) => true,
            Self::SpendLimit(_)
            | Self::Unauthenticated { .. }
            | Self::Forbidden { .. }
            | Self::NotFound(_)
            | Self::Refused { .. }
            | Self::Unsendable(_) => false,
        }
    }
}

/// A provider that asks for a longer pause than this is not waited for: the run fails and says when
/// to try again. The limit of the official clients.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(120);

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        let too_long = error.retry_after.is_some_and(|pause| pause > LONGEST_PAUSE);
        let (reason, mut text) = (error.fault.reason(), error.to_string());
        if let (true, Some(pause)) = (too_long, error.retry_after) {
            text.push_str(&format!(
                "; it wants a pause of {} seconds, and {} are the most that a run waits for: retry it \
                 after that",
                pause.as_secs(),
                LONGEST_PAUSE.as_secs()
            ));
        }
        let mut failure = match error.fault.passes() && !too_long {
            true => Self::transient(reason, text).retry_after(error.retry_after),
            false => Self::new(reason, text),
        };
        if let (true, Some(pause)) = (too_long, error.retry_after) {
            failure = failure.with("retry_after_seconds", pause.as_secs().to_string());
        }
        if let Some(id) = error.request_id {
            failure = failure.with("request_id", id);
        }
        failure.with("provider", error.provider)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(fault: Fault, retry_after: Option<Duration>) -> Failure {
        ModelError {
            provider: "p".into(),
            fault,
            retry_after,
            request_id: Some("r".into()),
        }
        .into()
    }

    #[test]
    fn a_pause_that_is_asked_for_is_kept_and_one_too_long_ends_the_tries() {
        let limited = || Fault::RateLimited("slow down".into());
        let soon = error(limited(), Some(Duration::from_secs(7)));
        assert_eq!(
            (soon.retryable, soon.retry_after),
            (true, Some(Duration::from_secs(7)))
        );
        let late = error(limited(), Some(Duration::from_secs(3600)));
        assert!(!late.retryable);
        assert_eq!(late.metadata["retry_after_seconds"], "3600");
        assert!(late.message.contains("3600 seconds"), "{late}");
        assert_eq!(late.metadata["request_id"], "r");
    }

    #[test]
    fn a_spend_limit_is_never_tried_again() {
        assert!(!error(Fault::SpendLimit("no money".into()), None).retryable);
        assert!(error(Fault::Truncated, None).retryable);
    }
}
