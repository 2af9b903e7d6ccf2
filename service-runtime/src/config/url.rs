//! URLs of servers: they are shown in logs, in errors and in dumps.

use http::Uri;

/// What is wrong with the URL of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is none.
    #[error("must be a URL, http:// or https://")]
    NotOne,
    /// It may hold a secret.
    #[error(
        "must hold no user name, no password, no query and no fragment: a URL is shown in logs and \
         dumps; give secrets in a file or a variable"
    )]
    MayHoldSecret,
}

/// Checks the URL of a server.
///
/// # Errors
/// [`BadUrl`]; it does not repeat the URL.
pub fn check_url(text: &str) -> Result<(), BadUrl> {
    // What cannot be read may hold a secret too.
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    if authority.contains('@') || text.contains(['?', '#']) {
        return Err(BadUrl::MayHoldSecret);
    }
    let url: Option<Uri> = text.parse().ok();
    match url.as_ref().and_then(Uri::scheme_str) {
        Some("http" | "https") => Ok(()),
        Some(_) | None => Err(BadUrl::NotOne),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_nothing_secret() {
        for good in [
            "http://127.0.0.1:50051",
            "https://api.example.com/v1",
            "http://[::1]:1/a@b",
        ] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in ["", "localhost:1", "ftp://a", "http://", "http://a b"] {
            assert_eq!(check_url(bad), Err(BadUrl::NotOne), "{bad}");
        }
        for secret in [
            "http://me:s3cret@host/v1",
            "me:s3cret@host",
            "http://s3cret@host",
            "https://host/v1?key=s3cret",
            "https://host/v1#s3cret",
            "http://a b?key=s3cret",
        ] {
            let error = check_url(secret).unwrap_err();
            assert_eq!(error, BadUrl::MayHoldSecret, "{secret}");
        }
    }
}
