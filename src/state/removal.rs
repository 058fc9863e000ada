//! A removal: what ends with it in one transaction.

use super::{Delete, LocalRow, Phase, Result, RowId, State, changes, deletes, local};

impl State {
    /// The user removed objects, and files that were staged here, which are in this phase from now
    /// on: all of it or nothing.
    pub fn remove(&self, deletes: &[Delete], rows: &[RowId], phase: Phase) -> Result<()> {
        self.write("recording a removal", |db| {
            for delete in deletes {
                deletes::insert(db, delete)?;
                // What a rename made is not to come again.
                changes::overtake(db, "made", &delete.object)?;
            }
            for row in rows {
                local::set_phase(db, *row, phase)?;
            }
            Ok(())
        })
    }

    /// Files that were removed, and of which an upload may still come about.
    pub fn removed(&self) -> Result<Vec<LocalRow>> {
        self.read("reading what was removed", |db| {
            let sql = "SELECT * FROM local WHERE phase = 'removed'";
            db.prepare_cached(sql)?.query_map([], local::read)?.collect()
        })
    }
}
