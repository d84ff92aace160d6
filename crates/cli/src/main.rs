//! The `landbridge` program; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    landbridge_cli::run_program()
}
