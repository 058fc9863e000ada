//! Attributes: modes, owners and times that the user set, by file ID.

use std::collections::HashMap;

use super::row::{ATTRIBUTES, attributes, id_column, put_attributes};
use super::{Result, State};
use crate::types::{Attributes, FileId};

/// From this many objects on, reading the whole table is cheaper than asking for each.
const MANY: usize = 1000;

impl State {
    /// Keeps what the user set on an object.
    pub fn set_attributes(&self, object: &FileId, attributes: &Attributes) -> Result<()> {
        self.write("keeping attributes", |db| put_attributes(db, object, attributes))
    }

    /// What was set on those of these objects on which something was.
    pub fn attributes(&self, objects: &[&FileId]) -> Result<HashMap<FileId, Attributes>> {
        self.read("reading attributes", |db| {
            let sql = format!("SELECT object, {ATTRIBUTES} FROM attributes");
            let read = |row: &rusqlite::Row<'_>| Ok((id_column(row, "object")?, attributes(row)?));
            if objects.len() > MANY {
                let wanted: std::collections::HashSet<_> = objects.iter().collect();
                let mut statement = db.prepare(&sql)?;
                let all = statement.query_map([], read)?;
                return all
                    .filter(|row| row.as_ref().map_or(true, |(id, _)| wanted.contains(&id)))
                    .collect();
            }
            let mut statement = db.prepare_cached(&format!("{sql} WHERE object = ?"))?;
            let mut found = HashMap::new();
            for object in objects {
                found.extend(statement.query_map([object.as_str()], read)?.flatten());
            }
            Ok(found)
        })
    }
}
