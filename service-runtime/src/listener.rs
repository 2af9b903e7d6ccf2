//! The two sockets of a service, bound before anything else is done.

use std::{io, net::SocketAddr};

use tokio::net::TcpListener;

/// The gRPC and the admin socket of a service, listening.
///
/// Connections made before the service serves wait in the kernel's queue.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) grpc: TcpListener,
    pub(crate) admin: TcpListener,
    grpc_addr: SocketAddr,
    admin_addr: SocketAddr,
}

impl Listeners {
    /// Binds both sockets. Port 0 takes a free port.
    ///
    /// # Errors
    /// [`BindError`] if an address is in use, not of this machine, or not permitted.
    pub async fn bind(listen: SocketAddr, admin: SocketAddr) -> Result<Self, BindError> {
        let (grpc, grpc_addr) = bind(listen, "--listen").await?;
        let (admin, admin_addr) = bind(admin, "--admin-listen").await?;
        Ok(Self {
            grpc,
            admin,
            grpc_addr,
            admin_addr,
        })
    }

    /// Where gRPC is served.
    #[must_use]
    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }

    /// Where `/metrics`, `/livez` and `/readyz` are served.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }
}

async fn bind(
    address: SocketAddr,
    flag: &'static str,
) -> Result<(TcpListener, SocketAddr), BindError> {
    let error = |cause| BindError {
        address,
        flag,
        cause,
    };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let bound = listener.local_addr().map_err(error)?;
    Ok((listener, bound))
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `{address}`: {}; choose another address with `{flag}`", cause.kind())]
pub struct BindError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// The flag that changes it.
    pub flag: &'static str,
    /// What the operating system said.
    pub cause: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_named_with_the_flag_that_changes_it() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = Listeners::bind(any, any).await.unwrap();

        let taken = first.grpc_addr();
        let error = Listeners::bind(taken, any).await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "cannot listen on `{taken}`: address in use; choose another address with `--listen`"
            )
        );

        let taken = first.admin_addr();
        let error = Listeners::bind(any, taken).await.unwrap_err().to_string();
        assert!(error.contains(&taken.to_string()) && error.contains("`--admin-listen`"));
    }
}
