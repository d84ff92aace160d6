//! Generates the Rust types from `/proto` without a protoc binary.

use std::{env, error::Error, path::PathBuf};

const FILES: [&str; 3] = ["handshake.proto", "signal.proto", "message.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = protox::compile(FILES.map(|file| root.join(file)), [&root])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
