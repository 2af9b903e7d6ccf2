//! The allocator of every process that this crate is part of.
//!
//! Messages are made by one thread and freed by another one. The system's allocator then has threads
//! wait for each other, and gives memory back to the kernel only to ask for it again.

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
