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

/// Records that few replies have. Boxed, they leave the replies of a pipeline, which are as
/// large as the largest kind and moved several times, half as large.
const RARE: [&str; 4] = [
    ".kvd.v1.SetResponse.previous",
    ".kvd.v1.SetResponse.current",
    ".kvd.v1.DeleteResponse.previous",
    ".kvd.v1.DeleteResponse.current",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
    fs::write(out_dir.join("kvd.v1.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::configure().bytes(".kvd.v1");
    for field in RARE {
        config = config.boxed(field);
    }
    config.compile_fds(descriptors)?;
    Ok(())
}
