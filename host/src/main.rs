//! `greenroom`: hosts actors, and talks to a host.

mod assemble;
mod cli;
mod client;
mod commands;
mod config;
mod listen;
mod settings;

use std::process::ExitCode;

/// Gives memory back after thousands of actors have gone to sleep, where the system's allocator keeps most.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    commands::run(&matches).into()
}
