//! Attributes: modes, owners and times that the user set, by file ID.

use std::collections::HashMap;

use super::row::{
    ATTRIBUTES, attributes, drop_attributes, id_column, put_attributes, put_local_attributes,
};
use super::{Result, RowId, State};
use crate::types::{Attributes, FileId};

/// From this many objects on, reading the whole table is cheaper than asking for each.
const MANY: usize = 1000;

/// What attributes are of.
#[derive(Clone, Debug)]
pub enum Owner {
    /// An object that the service has.
    Object(FileId),
    /// A file or folder that is only here, or is on its way.
    Row(RowId),
}

impl State {
    /// Keeps what the user set on each of these, in place of what was set before.
    pub fn keep_attributes(&self, kept: &[(Owner, Attributes)]) -> Result<()> {
        if kept.is_empty() {
            return Ok(());
        }
        self.write("keeping attributes", |db| {
            kept.iter().try_for_each(|(owner, attributes)| match owner {
                Owner::Object(object) => put_attributes(db, object, attributes),
                Owner::Row(row) => put_local_attributes(db, *row, attributes),
            })
        })
    }

    /// An object is gone, and what was set on it.
    pub fn forget_attributes(&self, object: &FileId) -> Result<()> {
        self.write("forgetting attributes", |db| drop_attributes(db, object))
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
