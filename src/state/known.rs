//! Knowledge: what a probe learned of the service where its documents are silent.

use rusqlite::{OptionalExtension, params};

use super::answer::Answer;
use super::row::now;
use super::{Result, State};

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knowledge {
    /// What was asked, as "empty-files".
    pub question: String,
    /// What came out, as "taken".
    pub answer: String,
    /// When, in seconds since the epoch.
    pub changed: i64,
}

impl State {
    /// The answer to a question, if it was ever learned.
    pub fn known(&self, question: &str) -> Result<Option<String>> {
        self.read("reading what is known of the service", |db| {
            db.prepare_cached("SELECT answer FROM known WHERE question = ?")?
                .query_row([question], |row| row.get(0))
                .optional()
        })
    }

    /// What is known of one question; also nothing if what was kept is no answer of this version.
    pub fn answer<A: Answer>(&self) -> Result<Option<A>> {
        Ok(self.known(A::QUESTION)?.and_then(|text| A::of(&text)))
    }

    /// Keeps what was learned of one question, in place of an older answer.
    pub fn learn_answer<A: Answer>(&self, answer: A) -> Result<()> {
        self.learn(A::QUESTION, &answer.text())
    }

    /// Everything that was learned, by question.
    pub fn all_known(&self) -> Result<Vec<Knowledge>> {
        self.read("reading what is known of the service", |db| {
            let sql = "SELECT question, answer, changed FROM known ORDER BY question";
            db.prepare(sql)?
                .query_map([], |row| {
                    let (question, answer) = (row.get(0)?, row.get(1)?);
                    Ok(Knowledge { question, answer, changed: row.get(2)? })
                })?
                .collect()
        })
    }

    /// Keeps an answer, in place of an older one.
    pub fn learn(&self, question: &str, answer: &str) -> Result<()> {
        self.write("keeping what was learned of the service", |db| {
            let sql = "INSERT OR REPLACE INTO known (question, answer, changed) VALUES (?, ?, ?)";
            db.execute(sql, params![question, answer, now()]).map(drop)
        })
    }
}
