//! Waiting for a service to be ready, by the standard health protocol.

use anyhow::{Context as _, Result, bail};
use tonic::{Streaming, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};

use crate::within;

/// Waits until the service behind `channel` serves.
///
/// # Errors
/// If it does not in time.
pub async fn ready(channel: Channel) -> Result<()> {
    becomes(channel, ServingStatus::Serving).await
}

/// Waits until the service behind `channel` says that it has `status`.
///
/// # Errors
/// If it does not in time.
pub async fn becomes(channel: Channel, status: ServingStatus) -> Result<()> {
    let wait = async {
        let mut changes = watch(channel).await?;
        while let Some(change) = changes.message().await? {
            if change.status() == status {
                return Ok(());
            }
        }
        bail!("the health watch ended")
    };
    let what = format!("the service to be {}", status.as_str_name());
    within(&what, wait).await?.with_context(|| what)
}

/// Follows the health of the service behind `channel`.
///
/// # Errors
/// If it cannot be reached.
pub async fn watch(channel: Channel) -> Result<Streaming<HealthCheckResponse>> {
    let request = HealthCheckRequest::default();
    Ok(HealthClient::new(channel)
        .watch(request)
        .await?
        .into_inner())
}
