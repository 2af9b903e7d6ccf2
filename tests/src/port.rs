//! Ports that stay ours while a service is down.

use std::{
    net::TcpListener,
    process,
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Result, bail};

/// Below what Linux and macOS hand out for port 0 and for outgoing connections (32768 and 49152):
/// nobody takes such a port by chance while a killed service is not there to hold it.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of the loopback interface that is free now, and that no other call in this process
/// returns.
///
/// # Errors
/// If none of the range is free.
pub fn reserve() -> Result<u16> {
    let size = RANGE.end - RANGE.start;
    // Test processes that run at the same time begin at different places.
    let offset = (process::id().wrapping_mul(7919) % u32::from(size)) as u16;
    for _ in 0..size {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % size;
        let port = RANGE.start + (offset + step) % size;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {} to {} is free", RANGE.start, RANGE.end - 1)
}
