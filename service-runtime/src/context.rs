//! What travels with every call: who asks, until when, and under which id.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

/// Longest tenant name, in bytes. As long as a DNS label may be, and one.
const MAX_TENANT_BYTES: usize = 64;

/// How long a call may take if no layer said otherwise: the default of
/// [`ServerSettings::default_deadline`](crate::ServerSettings).
const UNLAYERED_DEADLINE: Duration = Duration::from_secs(30);

/// Whose data a call may see. Never taken from a message, only from credentials.
///
/// Invariant: 1 to 64 bytes of `a`-`z`, `0`-`9`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// Checks a tenant's name.
    ///
    /// # Errors
    /// [`InvalidTenant`] if the name is empty, too long, or holds other characters.
    pub fn try_new(name: &str) -> Result<Self, InvalidTenant> {
        let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if (1..=MAX_TENANT_BYTES).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidTenant(name.into()))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    /// The tenant of everybody while there is no authentication: `default`.
    fn default() -> Self {
        static DEFAULT: LazyLock<Tenant> = LazyLock::new(|| Tenant("default".into()));
        DEFAULT.clone()
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tenant {
    type Err = InvalidTenant;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::try_new(name)
    }
}

/// A name that no tenant can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tenant `{0}` must be 1 to 64 characters of `a`-`z`, `0`-`9`, `_` and `-`")]
pub struct InvalidTenant(String);

/// Who makes a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The caller, as its credentials name it.
    pub id: Arc<str>,
    /// Whose data the caller works on.
    pub tenant: Tenant,
}

impl Default for Principal {
    /// `anonymous` of the default tenant: every caller while there is no authentication.
    fn default() -> Self {
        static ANONYMOUS: LazyLock<Arc<str>> = LazyLock::new(|| "anonymous".into());
        Self {
            id: ANONYMOUS.clone(),
            tenant: Tenant::default(),
        }
    }
}

/// The moment by which a call must have been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline at `instant`.
    #[must_use]
    pub fn new(instant: Instant) -> Self {
        Self(instant)
    }

    /// A deadline `duration` from now.
    #[must_use]
    pub fn in_(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// The moment itself, for [`tokio::time::timeout_at`].
    #[must_use]
    pub fn at(self) -> Instant {
        self.0
    }

    /// How long until then; zero if it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// What the context layer knows of a call; found in the request's extensions.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Who makes the call.
    pub principal: Principal,
    /// Until when it must be answered. On a stream, until when it must begin.
    pub deadline: Deadline,
    /// The caller's `x-request-id` if it is a UUID, else a fresh UUIDv7.
    pub request_id: Uuid,
}

impl RequestContext {
    /// The context of `request`: what the layer left there, or defaults if there is no layer.
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .unwrap_or_else(|| Self {
                principal: Principal::default(),
                deadline: Deadline::in_(UNLAYERED_DEADLINE),
                request_id: Uuid::now_v7(),
            })
    }

    /// Whose data the call may see.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.principal.tenant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_a_short_lower_case_name() {
        for name in ["a", "default", "team-7_x", &"a".repeat(64)] {
            assert_eq!(Tenant::try_new(name).unwrap().as_str(), name);
        }
        for name in ["", "A", "a b", "a/b", "é", "a\0", &"a".repeat(65)] {
            let error = Tenant::try_new(name).unwrap_err();
            assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
        }
    }

    #[test]
    fn without_a_layer_a_call_is_anonymous_in_the_default_tenant() {
        let context = RequestContext::of(&tonic::Request::new(()));
        assert_eq!(context.tenant().as_str(), "default");
        assert_eq!(&*context.principal.id, "anonymous");
        assert!(context.deadline.remaining() <= UNLAYERED_DEADLINE);
    }

    #[test]
    fn a_passed_deadline_has_nothing_remaining() {
        assert_eq!(Deadline::new(Instant::now()).remaining(), Duration::ZERO);
        let remaining = Deadline::in_(Duration::from_secs(60)).remaining();
        assert!(remaining > Duration::from_secs(30) && remaining <= Duration::from_secs(60));
    }
}
