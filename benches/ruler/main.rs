//! The ruler: what bedfs costs, each row beside what it is measured against in the same run.
//!
//! `scripts/bench` runs it with all it needs. Emulators run in processes of their own, which are this
//! program in another role, so that their work is never counted as bedfs's. A row that cannot be
//! measured says why; none is asserted.

mod calls;
mod copies;
mod cpu;
mod far;
mod index;
mod machine;
mod measure;
mod memory;
mod mounted;
mod outcome;
mod rclone;
mod reads;
mod run;
mod stand;
mod table;
mod tree;
mod writes;

use std::process::ExitCode;

use outcome::Outcome;
use run::Run;
use table::Table;

/// Where the results are kept, inside the project.
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks.md");

fn main() -> ExitCode {
    // `cargo bench` adds a flag of its own.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [stand::ROLE, bed] => stand::serve(bed),
        [writes::ROLE, errand] => writes::as_another_user(errand),
        [] => rule(false),
        ["--quick"] => rule(true),
        _ => Err("usage: ruler [--quick]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ruler: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures every row, prints the table, and keeps it unless sizes and rounds are small.
fn rule(quick: bool) -> Outcome<()> {
    let run = Run::new(quick)?;
    run.touch_memory();
    let mut table = Table::default();
    reads::rows(&run, &mut table);
    far::rows(&run, &mut table);
    writes::rows(&run, &mut table);
    copies::rows(&run, &mut table);
    tree::rows(&run, &mut table);
    calls::rows(&run, &mut table);
    memory::rows(&run, &mut table);
    cpu::rows(&run, &mut table);
    println!("{}\n", machine::tell(&run));
    print!("{}", table.text());
    if quick {
        println!("\nquick: small files, {} rounds a row; nothing is kept", run.rounds);
        return Ok(());
    }
    table.keep(RESULTS.as_ref(), &machine::tell(&run))?;
    println!("\nkept in docs/benchmarks.md");
    Ok(())
}
