//! The contract of Weft: its `.proto` files and the code generated from them, nothing else.
//!
//! # Layout
//! - `common::v1`: types that both APIs share
//! - `memory::v1`: `MemoryService`
//! - `workflow::v1`: `WorkflowService`, `ThreadService` and `WorkerService`

/// Types that both APIs share.
pub mod common {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("weft.common.v1");
    }
}

/// Namespaced, searchable memory.
pub mod memory {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("weft.memory.v1");
    }
}

/// Durable runs of entrypoints, the threads they belong to, and the workers that execute them.
pub mod workflow {
    /// Version 1.
    #[expect(clippy::large_enum_variant, reason = "generated")]
    pub mod v1 {
        tonic::include_proto!("weft.workflow.v1");
    }
}

/// Encoded `FileDescriptorSet` of all files above, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));
