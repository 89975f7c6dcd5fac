//! Generates `aidt.v1` from `proto/`, with a compiler written in Rust: nothing has to be installed.

use std::error::Error;

const FILES: [&str; 2] = ["aidt/v1/envelope.proto", "aidt/v1/worker.proto"];
const ROOT: &str = "../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={ROOT}/{file}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    let descriptors = protox::compile(FILES, [ROOT])?;
    tonic_prost_build::configure()
        .bytes(".")
        // Its `connect` constructor would collide with the rpc of that name.
        .build_transport(false)
        // They hold a token and a key: see `secrets.rs`.
        .skip_debug([".aidt.v1.Hello", ".aidt.v1.Welcome"])
        .compile_fds(descriptors)?;
    Ok(())
}
