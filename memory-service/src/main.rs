//! The memory-service binary; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    service_runtime::run::<memory_service::MemoryService>()
}
