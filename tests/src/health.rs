//! Waiting for a service to be ready, by the standard health protocol.

use anyhow::{Context as _, Result};
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
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
    let watch = async {
        let mut client = HealthClient::new(channel);
        let mut changes = client
            .watch(HealthCheckRequest::default())
            .await?
            .into_inner();
        while let Some(change) = changes.message().await? {
            if change.status() == status {
                return Ok(());
            }
        }
        anyhow::bail!("the health watch ended")
    };
    let what = format!("the service to be {}", status.as_str_name());
    within(&what, watch).await?.with_context(|| what)
}
