//! Compiles `kvd/v1/*.proto` without protoc: protox parses, tonic-prost-build
//! generates. The descriptor set, with comments, is kept for reflection and for
//! the naming test.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 5] = [
    "kvd/v1/types.proto",
    "kvd/v1/kv_service.proto",
    "kvd/v1/watch_service.proto",
    "kvd/v1/lease_service.proto",
    "kvd/v1/admin_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
    fs::write(out_dir.join("kvd.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".kvd.v1")
        .compile_fds(descriptors)?;
    Ok(())
}
