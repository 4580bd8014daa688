//! `kvd` with faults on request: see `kvd::debug`. For acceptance scripts; never shipped.

#[global_allocator]
static ALLOCATOR: kvd::Jemalloc = kvd::Jemalloc;

fn main() -> std::process::ExitCode {
    kvd::commands::run()
}
