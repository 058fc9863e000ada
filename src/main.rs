//! The program `bedfs`: hands over to the command line.

fn main() -> std::process::ExitCode {
    bedfs::cli::main()
}
