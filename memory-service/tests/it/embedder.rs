//! A small embedder behind HTTP, whose vectors are easy to foresee, and which fails when told to.

use std::{
    collections::VecDeque,
    future::{IntoFuture as _, pending},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::post,
};
use futures::stream;
use memory_service::{config::Config, embed::http::HttpSettings};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

/// The length of long vectors.
pub(crate) const LONG_DIMS: usize = 2000;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// An error status, with headers and a body.
    Status(u16, &'static [(&'static str, &'static str)], &'static str),
    /// The answer ends in its middle.
    CutOff,
    /// An embedding is missing.
    WrongCount,
    /// There is an embedding of no text.
    OneTooMany,
    /// The embeddings come last one first; their indexes tell.
    Reversed,
    /// A number is none.
    NotANumber,
    /// The vectors are longer than before.
    OtherDims,
    /// No answer at all.
    Silence,
}

struct Double {
    vector: fn(&str) -> Vec<f32>,
    faults: Mutex<VecDeque<Fault>>,
    requests: Mutex<Vec<(Value, Option<String>)>>,
    gate: watch::Sender<Gate>,
}

/// Whether requests are held back, and how many are.
#[derive(Clone, Copy, Default)]
struct Gate {
    closed: bool,
    /// Requests that pass all the same.
    passing: usize,
    held: usize,
}

/// The embedder, served until this value is dropped.
pub(crate) struct Embedder {
    url: String,
    model: &'static str,
    double: Arc<Double>,
    _served: JoinSet<io::Result<()>>,
}

impl Embedder {
    pub(crate) async fn start() -> Self {
        Self::serve("double", |text| vector(text).to_vec()).await
    }

    /// One with another model, whose vectors are longer, and which knows other words.
    pub(crate) async fn start_other() -> Self {
        Self::serve("other", |text| other_vector(text).to_vec()).await
    }

    /// One whose vectors are long, and all the same.
    pub(crate) async fn start_long() -> Self {
        Self::serve("long", |_| vec![1.0; LONG_DIMS]).await
    }

    async fn serve(model: &'static str, vector: fn(&str) -> Vec<f32>) -> Self {
        let double = Arc::new(Double {
            vector,
            faults: Mutex::default(),
            requests: Mutex::default(),
            gate: watch::Sender::default(),
        });
        let routes = Router::new()
            .route("/v1/embeddings", post(answer))
            .with_state(double.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut served = JoinSet::new();
        served.spawn(axum::serve(listener, routes).into_future());
        Self {
            url,
            model,
            double,
            _served: served,
        }
    }

    /// Configures a service to use this embedder.
    pub(crate) fn configure(&self, config: &mut Config) {
        config.embedder = format!("http:{}", self.url);
        config.embedding_model = self.model.to_owned();
        config.index_paths = vec!["text".to_owned()];
    }

    /// Configures a service to have used this embedder before.
    pub(crate) fn configure_former(&self, config: &mut Config) {
        config.former_embedder = format!("http:{}", self.url);
        config.former_embedding_model = self.model.to_owned();
        config.former_index_paths = vec!["text".to_owned()];
    }

    /// The flags that configure a service to use this embedder, or to have used it before.
    pub(crate) fn flags(&self, prefix: &str) -> Vec<String> {
        let flag = |name: &str, value: &str| format!("--{prefix}{name}={value}");
        vec![
            flag("embedder", &format!("http:{}", self.url)),
            flag("embedding-model", self.model),
            flag("index-paths", "text"),
        ]
    }

    /// Holds requests back, after so many more.
    pub(crate) fn hold_after(&self, passing: usize) {
        self.double.gate.send_modify(|gate| {
            gate.closed = true;
            gate.passing = passing;
        });
    }

    /// Waits until requests are held back.
    pub(crate) async fn holds(&self) {
        let mut gate = self.double.gate.subscribe();
        drop(gate.wait_for(|gate| gate.held > 0).await.unwrap());
    }

    /// Lets all requests pass, also those that are held back.
    pub(crate) fn release(&self) {
        self.double.gate.send_modify(|gate| gate.closed = false);
    }

    /// How to reach it without a service.
    pub(crate) fn settings(&self) -> HttpSettings {
        HttpSettings {
            base_url: self.url.clone(),
            model: "double".to_owned(),
            dims: None,
            api_key: None,
            timeout: Duration::from_secs(30),
        }
    }

    /// Lets the next requests fail, one after the other.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.double.faults.lock().unwrap().extend(faults);
    }

    /// Lets no further request fail.
    pub(crate) fn recover(&self) {
        self.double.faults.lock().unwrap().clear();
    }

    /// Lets the next `well` requests succeed, and those after them fail.
    pub(crate) fn fail_after(&self, well: usize, faults: impl IntoIterator<Item = Fault>) {
        self.fail(std::iter::repeat_n(Fault::None, well).chain(faults));
    }

    /// The bodies of the requests since the last call of this, and their credentials.
    pub(crate) fn requests(&self) -> Vec<(Value, Option<String>)> {
        std::mem::take(&mut self.double.requests.lock().unwrap())
    }

    /// The texts of the requests since the last call of this.
    pub(crate) fn texts(&self) -> Vec<Vec<String>> {
        let inputs = self
            .requests()
            .into_iter()
            .map(|(body, _)| body["input"].clone());
        inputs
            .map(|input| serde_json::from_value(input).unwrap())
            .collect()
    }
}

/// Vectors of four numbers: what is of one topic points into one direction. `deg30` points 30
/// degrees away from the first towards the second.
pub(crate) fn vector(text: &str) -> [f32; 4] {
    let mut vector = [0.0; 4];
    for word in text.split_whitespace() {
        let degrees = word
            .strip_prefix("deg")
            .and_then(|degrees| degrees.parse::<f32>().ok());
        match (word, degrees) {
            (_, Some(degrees)) => {
                vector[0] += degrees.to_radians().cos();
                vector[1] += degrees.to_radians().sin();
            }
            ("car" | "automobile", _) => vector[0] += 1.0,
            ("anticar", _) => vector[0] -= 1.0,
            ("cat" | "kitten", _) => vector[1] += 1.0,
            ("sun", _) => vector[2] += 1.0,
            _ => vector[3] += 0.01,
        }
    }
    vector
}

/// Vectors of five numbers: the other model takes the moon for the sun, and knows no automobiles.
pub(crate) fn other_vector(text: &str) -> [f32; 5] {
    let mut vector = [0.0; 5];
    for word in text.split_whitespace() {
        match word {
            "car" | "lorry" => vector[4] += 1.0,
            "cat" | "kitten" => vector[3] += 1.0,
            "sun" | "moon" => vector[2] += 1.0,
            _ => vector[0] += 0.01,
        }
    }
    vector
}

async fn answer(State(double): State<Arc<Double>>, headers: HeaderMap, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let input: Vec<String> = serde_json::from_value(request["input"].clone()).unwrap();
    let key = headers
        .get("authorization")
        .map(|key| key.to_str().unwrap().to_owned());
    double.requests.lock().unwrap().push((request, key));
    let fault = double.faults.lock().unwrap().pop_front();
    let mut gate = double.gate.subscribe();
    let is_held = double.gate.send_if_modified(|gate| {
        let is_held = gate.closed && gate.passing == 0;
        gate.held += usize::from(is_held);
        gate.passing = gate.passing.saturating_sub(1);
        is_held
    });
    if is_held {
        drop(gate.wait_for(|gate| !gate.closed).await.unwrap());
        double.gate.send_modify(|gate| gate.held -= 1);
    }
    let mut data: Vec<_> = input
        .iter()
        .enumerate()
        .map(|(index, text)| json!({"index": index, "embedding": (double.vector)(text)}))
        .collect();
    match fault {
        None | Some(Fault::None) => {}
        Some(Fault::Status(status, headers, body)) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            return response.body(Body::from(body)).unwrap();
        }
        Some(Fault::CutOff) => {
            let chunks = [Ok("{\"data\":["), Err(io::Error::other("cut off"))];
            return Response::new(Body::from_stream(stream::iter(chunks)));
        }
        Some(Fault::WrongCount) => drop(data.pop()),
        Some(Fault::OneTooMany) => {
            data.push(json!({"index": data.len(), "embedding": (double.vector)("")}));
        }
        Some(Fault::Reversed) => data.reverse(),
        // The four bytes of a NaN.
        Some(Fault::NotANumber) => data[0]["embedding"] = json!("AADAfwAAwH8AAMB/AADAfw=="),
        Some(Fault::OtherDims) => data[0]["embedding"] = json!([1, 2, 3, 4, 5]),
        Some(Fault::Silence) => pending().await,
    }
    Response::builder()
        .status(StatusCode::OK)
        .body(Body::from(
            json!({"data": data, "model": "double"}).to_string(),
        ))
        .unwrap()
}
