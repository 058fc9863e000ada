//! A removal: what ends with it in one transaction.

use super::{Delete, Phase, Result, RowId, State, changes, deletes, local};

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
}
