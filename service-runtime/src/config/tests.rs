use std::{collections::BTreeMap, fs, net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::*;
use crate::CommonArgs;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    listen: SocketAddr,
    data_dir: PathBuf,
    paths: Vec<String>,
    #[serde(with = "human::option_duration")]
    default_ttl: Option<Duration>,
    label: Option<String>,
    secret: Option<Secret>,
    models: BTreeMap<String, String>,
    server: Server,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Server {
    #[serde(with = "human::duration")]
    drain_timeout: Duration,
    max_in_flight: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 50051).into(),
            data_dir: "data".into(),
            paths: vec!["$".into()],
            default_ttl: None,
            label: None,
            secret: None,
            models: BTreeMap::new(),
            server: Server::default(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            drain_timeout: Duration::from_secs(25),
            max_in_flight: 1024,
        }
    }
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::of(variables.iter().copied(), &["memory_url", "llm"])
}

fn from_environment(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load(&(), None, &environment(variables))
}

fn from_file(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weft.toml");
    fs::write(&path, text).unwrap();
    load(&(), Some(&path), &environment(&[]))
}

#[test]
fn without_any_source_there_are_defaults() {
    assert_eq!(from_environment(&[]).unwrap(), Config::default());
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weft.toml");
    fs::write(
        &path,
        "listen = \"127.0.0.1:1\"\ndata_dir = \"file\"\nlabel = \"file\"\n\
         [server]\nmax_in_flight = 7\n",
    )
    .unwrap();
    let environment = environment(&[("WEFT_LISTEN", "127.0.0.1:2"), ("WEFT_DATA_DIR", "env")]);
    let flags = CommonArgs {
        data_dir: Some("flag".into()),
        ..CommonArgs::default()
    };
    let config: Config = load(&flags, Some(&path), &environment).unwrap();

    assert_eq!(config.data_dir, PathBuf::from("flag"));
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.label.as_deref(), Some("file"));
    assert_eq!(config.server.max_in_flight, 7);
    assert_eq!(config.server.drain_timeout, Duration::from_secs(25));
}

#[test]
fn a_variable_takes_the_type_of_its_key() {
    let config = from_environment(&[
        ("WEFT_DATA_DIR", "2024"),
        ("WEFT_LABEL", "true"),
        ("WEFT_PATHS", "text,notes[*].body"),
        ("WEFT_DEFAULT_TTL", "1h 30m"),
        ("WEFT_SECRET", "12345"),
        ("WEFT_SERVER__MAX_IN_FLIGHT", "5"),
        ("WEFT_MODELS__FAST", "small"),
    ])
    .unwrap();
    assert_eq!(config.data_dir, PathBuf::from("2024"));
    assert_eq!(config.label.as_deref(), Some("true"));
    assert_eq!(config.paths, ["text", "notes[*].body"]);
    assert_eq!(config.default_ttl, Some(Duration::from_secs(5400)));
    assert_eq!(config.secret.unwrap().expose(), "12345");
    assert_eq!(config.server.max_in_flight, 5);
    assert_eq!(config.models["fast"], "small");

    for paths in [r#"["{a,b}", "c"]"#, "{a,b}, c"] {
        let config = from_environment(&[("WEFT_PATHS", paths)]).unwrap();
        assert_eq!(config.paths, ["{a,b}", "c"]);
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_key() {
    let error = from_file("data_dri = 1").unwrap_err().to_string();
    assert!(error.contains("weft.toml`: there is no key `data_dri`; the nearest is `data_dir`"));

    let error = from_file("[server]\ndrain_time = \"1s\"")
        .unwrap_err()
        .to_string();
    assert!(error.contains("no key `server.drain_time`; the nearest is `server.drain_timeout`"));

    let error = from_environment(&[("WEFT_DEFALT_TTL", "1s")])
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "variable `WEFT_DEFALT_TTL`: there is no key `WEFT_DEFALT_TTL`; \
         the nearest is `WEFT_DEFAULT_TTL`"
    );

    let flags = BTreeMap::from([("data_dirs", "x")]);
    let error = load::<Config>(&flags, None, &environment(&[]))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "flag `--data-dirs`: there is no key `data_dirs`; the nearest is `data_dir`"
    );
}

#[test]
fn a_value_that_does_not_fit_is_refused_with_its_place_and_what_would_fit() {
    let error = from_file("[server]\ndrain_timeout = 5")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("weft.toml`: `server.drain_timeout`: "),
        "{error}"
    );
    assert!(error.contains("such as `30s`"), "{error}");

    let variable = ("WEFT_SERVER__MAX_IN_FLIGHT", "many");
    let error = from_environment(&[("WEFT_DATA_DIR", "7"), variable])
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "variable `WEFT_SERVER__MAX_IN_FLIGHT`: `server.max_in_flight`: \
         invalid type: found string \"many\", expected usize"
    );

    let error = from_environment(&[("WEFT_LISTEN", "localhost")])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("variable `WEFT_LISTEN`: `listen`: "),
        "{error}"
    );
}

#[test]
fn a_file_that_cannot_be_read_or_parsed_is_named() {
    let missing = Path::new("no/such/weft.toml");
    let error = load::<Config>(&(), Some(missing), &environment(&[]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("`no/such/weft.toml`"), "{error}");

    let error = from_file("label = \"a\"\nlabel = ")
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("weft.toml` is not TOML: line 2: a value is missing"),
        "{error}"
    );
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn variables_of_the_sibling_of_clients_of_tests_and_of_kubernetes_are_ignored() {
    let config = from_environment(&[
        ("PATH", "/bin"),
        ("WEFT_CONFIG", "weft.toml"),
        ("WEFT_TEST_QDRANT_URL", "x"),
        ("WEFT_MEMORY_URL", "http://localhost:1"),
        ("WEFT_LLM__API_KEY", "x"),
        ("WEFT_WORKFLOW_URL", "localhost:2"),
        ("WEFT_IMPLICIT_HOSTING", "off"),
        ("WEFT_MEMORY_SERVICE_HOST", "10.0.0.1"),
        ("WEFT_MEMORY_SERVICE_PORT_GRPC", "50051"),
        ("WEFT_MEMORY_PORT", "tcp://10.0.0.1:50051"),
        ("WEFT_MEMORY_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ("WEFT_LABEL", ""),
    ]);
    assert_eq!(config.unwrap(), Config::default());
    let named = environment(&[("WEFT_CONFIG", "weft.toml")]).config_file();
    assert_eq!(named, Some(PathBuf::from("weft.toml")));
}

#[test]
fn a_dump_is_read_back_as_the_same_configuration() {
    let config = Config {
        default_ttl: Some(Duration::from_millis(90_500)),
        label: Some("x \"y\"".into()),
        models: BTreeMap::from([("a".into(), "b".into())]),
        server: Server {
            drain_timeout: Duration::from_secs(1),
            max_in_flight: 3,
        },
        ..Config::default()
    };
    assert_eq!(from_file(&dump(&config).unwrap()).unwrap(), config);
}

#[test]
fn a_dump_shows_no_secret_and_a_redacted_secret_is_no_secret() {
    let config = from_environment(&[("WEFT_SECRET", "hunter2")]).unwrap();
    let dumped = dump(&config).unwrap();
    assert!(!dumped.contains("hunter2") && !format!("{config:?}").contains("hunter2"));
    let error = from_file(&dumped).unwrap_err().to_string();
    assert!(
        error.contains("`secret`: ") && error.contains("redacted"),
        "{error}"
    );
}
