//! Compiles `proto/onnx.proto` to Rust. `protox` is a protobuf compiler in Rust: no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/onnx.proto");
    let descriptors = protox::compile(["proto/onnx.proto"], ["proto"])?;
    // `bytes::Bytes` shares the buffer a model was read into: weights are not copied while decoding.
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    Ok(())
}
