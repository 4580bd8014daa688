//! `kvd`: serve a store, or look at its files and settings.

#[global_allocator]
static ALLOCATOR: kvd::Jemalloc = kvd::Jemalloc;

fn main() -> std::process::ExitCode {
    kvd::commands::run()
}
