//! What the linker can leave out.

fn main() {
    let script = format!("{}/no-unwind.ld", std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo:rerun-if-changed={script}");
    // Functions with the same code become one; unwind tables of the standard library and of C code go.
    for argument in ["--icf=all", "--no-eh-frame-hdr", &format!("-T,{script}")] {
        println!("cargo:rustc-link-arg-cdylib=-Wl,{argument}");
    }
}
