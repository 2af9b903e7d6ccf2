//! Generates the Rust code and the descriptor set from the `.proto` files, without `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 4] = [
    "weft/common/v1/payload.proto",
    "weft/memory/v1/memory.proto",
    "weft/workflow/v1/workflow.proto",
    "weft/workflow/v1/worker.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    // tonic-prost-build no longer prints these lines itself.
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=weft");

    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.binpb"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        // Its constructor `connect` would bear the name of a call of WorkerService.
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}
