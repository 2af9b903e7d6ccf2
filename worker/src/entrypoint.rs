//! Entrypoints: the functions that runs execute.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{Context, Failure, Json, RetryPolicy, json};

/// How long calls that a failing run was waiting for have to end. Long enough for most calls of a
/// network service, short beside what running them again costs.
const SIBLING_GRACE: Duration = Duration::from_secs(5);

type EntrypointFuture = Pin<Box<dyn Future<Output = Result<RecordedFinal, Failure>> + Send>>;
type EntrypointFunction = Arc<dyn Fn(Context, Json) -> EntrypointFuture + Send + Sync>;
type Check = Arc<dyn Fn(&RawValue, &RawValue) -> Vec<InvalidArgument> + Send + Sync>;

/// Final is what an entrypoint returns when its caller and the thread's next run are to get
/// different values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Final<V, S> {
    /// For the caller.
    pub value: V,
    /// For the next run of the thread, as its `previous`.
    pub saved: S,
}

/// What an entrypoint may return: a value that is both output and `previous` of the next run, or a
/// [`Final`].
pub trait IntoFinal {
    /// Turns it into the two values to record.
    ///
    /// # Errors
    /// `NOT_SERIALIZABLE`.
    fn into_final(self) -> Result<RecordedFinal, Failure>;
}

/// The two values of a [`Final`], serialised.
#[derive(Clone, Debug)]
pub struct RecordedFinal {
    /// For the caller.
    pub value: Json,
    /// For the next run.
    pub saved: Json,
}

impl<V: Serialize, S: Serialize> IntoFinal for Final<V, S> {
    fn into_final(self) -> Result<RecordedFinal, Failure> {
        Ok(RecordedFinal {
            value: json::encode("the returned value", &self.value)?,
            saved: json::encode("the saved value", &self.saved)?,
        })
    }
}

impl<T: Serialize> IntoFinal for T {
    fn into_final(self) -> Result<RecordedFinal, Failure> {
        let value = json::encode("the returned value", &self)?;
        Ok(RecordedFinal {
            saved: Arc::clone(&value),
            value,
        })
    }
}

/// InvalidArgument says what is wrong with the input or the config of a run that is to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidArgument {
    /// Path of the field, e.g. `input[0].role` or `config.user_id`.
    pub field: String,
    /// What is wrong and what to do.
    pub description: String,
}

impl InvalidArgument {
    /// Says what is wrong with `field`.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            description: description.into(),
        }
    }
}

/// Entrypoint is a named, versioned function that runs execute.
///
/// Its code must be deterministic but for the results of its tasks: it is executed again from its
/// start after a crash, and recorded tasks return what they returned before.
#[derive(Clone)]
pub struct Entrypoint {
    pub(crate) name: Arc<str>,
    pub(crate) version: Arc<str>,
    pub(crate) accepts: Vec<Arc<str>>,
    description: String,
    input_schema: Option<Json>,
    check: Option<Check>,
    pub(crate) retry: RetryPolicy,
    pub(crate) is_strict: bool,
    pub(crate) sibling_grace: Duration,
    cache_ttl: Option<Duration>,
    pub(crate) function: EntrypointFunction,
}

impl Entrypoint {
    /// An entrypoint. `version` changes when its calls do: runs stay with the version they started
    /// with.
    pub fn new<I, O, F, R>(name: &str, version: &str, function: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: IntoFinal,
        F: Fn(Context, I) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, Failure>> + Send + 'static,
    {
        let function = Arc::new(function);
        let erased: EntrypointFunction = Arc::new(move |context: Context, input: Json| {
            let function = Arc::clone(&function);
            Box::pin(async move {
                let input = json::decode("the input", &input)?;
                function(context, input).await?.into_final()
            })
        });
        Self {
            name: name.into(),
            version: version.into(),
            accepts: Vec::new(),
            description: String::new(),
            input_schema: None,
            check: None,
            retry: RetryPolicy::NEVER,
            is_strict: false,
            sibling_grace: SIBLING_GRACE,
            cache_ttl: None,
            function: erased,
        }
    }

    /// Older versions whose unfinished runs this code can go on with: it makes the calls that they
    /// recorded, in the same order.
    #[must_use]
    pub fn accepts(mut self, versions: &[&str]) -> Self {
        self.accepts = versions.iter().map(|&version| version.into()).collect();
        self
    }

    /// One sentence for people.
    #[must_use]
    pub fn description(mut self, sentence: &str) -> Self {
        sentence.clone_into(&mut self.description);
        self
    }

    /// JSON Schema of the input, for people and clients. The service refuses runs whose input does not
    /// fit.
    #[must_use]
    pub fn input_schema(mut self, schema: Json) -> Self {
        self.input_schema = Some(schema);
        self
    }

    /// JSON Schema of the input, made from its type; see [`Entrypoint::input_schema`].
    #[must_use]
    pub fn input_type<I: schemars::JsonSchema>(mut self) -> Self {
        self.input_schema = json::encode("the schema", &schemars::schema_for!(I)).ok();
        self
    }

    /// Executes the entrypoint again after retryable failures. Tasks that succeeded are not run
    /// again; those that failed are.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Pauses a run whose replay makes a recorded call with another argument. Without this, the
    /// recorded result stands, and a warning is streamed.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.is_strict = true;
        self
    }

    /// How long the calls under way have to end when the run fails, so that RetryRun finds their
    /// results recorded; 5 seconds unless set.
    #[must_use]
    pub fn sibling_grace(mut self, grace: Duration) -> Self {
        self.sibling_grace = grace;
        self
    }

    /// Keeps what a run returned for that long: further runs of the tenant with the same input,
    /// config and `previous` return it without being executed.
    #[must_use]
    pub fn cache(mut self, ttl: Duration) -> Self {
        self.cache_ttl = Some(ttl);
        self
    }

    /// What is checked before a run is recorded: given input and config, all that is wrong with
    /// them.
    #[must_use]
    pub fn check<F>(mut self, check: F) -> Self
    where
        F: Fn(&RawValue, &RawValue) -> Vec<InvalidArgument> + Send + Sync + 'static,
    {
        self.check = Some(Arc::new(check));
        self
    }

    /// What others may know of the entrypoint.
    pub fn describe(&self) -> EntrypointDescription {
        EntrypointDescription {
            name: Arc::clone(&self.name),
            version: Arc::clone(&self.version),
            accepts: self.accepts.clone(),
            description: self.description.clone(),
            input_schema: self.input_schema.clone(),
            is_strict: self.is_strict,
            cache_ttl: self.cache_ttl,
            check: self.check.clone(),
        }
    }
}

impl fmt::Debug for Entrypoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entrypoint")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// EntrypointDescription is what a worker tells of an entrypoint that it hosts.
#[derive(Clone)]
pub struct EntrypointDescription {
    /// Registered name.
    pub name: Arc<str>,
    /// Version.
    pub version: Arc<str>,
    /// Older versions whose runs it can go on with.
    pub accepts: Vec<Arc<str>>,
    /// One sentence for people.
    pub description: String,
    /// JSON Schema of the input.
    pub input_schema: Option<Json>,
    /// Whether a recorded call that is made again with another argument pauses its run.
    pub is_strict: bool,
    /// How long its outputs are kept for runs with the same arguments.
    pub cache_ttl: Option<Duration>,
    check: Option<Check>,
}

impl EntrypointDescription {
    /// An entrypoint that is hosted elsewhere.
    pub fn new(name: impl Into<Arc<str>>, version: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            accepts: Vec::new(),
            description: String::new(),
            input_schema: None,
            is_strict: false,
            cache_ttl: None,
            check: None,
        }
    }

    /// Sets what is checked before a run is recorded; see [`Entrypoint::check`].
    pub fn check_with<F>(&mut self, check: F)
    where
        F: Fn(&RawValue, &RawValue) -> Vec<InvalidArgument> + Send + Sync + 'static,
    {
        self.check = Some(Arc::new(check));
    }

    /// All that is wrong with the arguments of a run that is to be started.
    pub fn check(&self, input: &RawValue, config: &RawValue) -> Vec<InvalidArgument> {
        self.check
            .as_ref()
            .map_or_else(Vec::new, |check| check(input, config))
    }
}

impl fmt::Debug for EntrypointDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntrypointDescription")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
