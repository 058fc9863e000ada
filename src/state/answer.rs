//! Answers: what the service may be found to do where its documents are silent. Each question is a
//! type, and its values are the answers.

use std::fmt::Debug;
use std::time::Duration;

/// What was found out about one question.
pub trait Answer: Copy + Debug + Eq {
    /// The question, as the state file keeps it.
    const QUESTION: &'static str;
    /// The question in words.
    const ABOUT: &'static str;
    /// The answer in words; also as the state file keeps it.
    fn text(self) -> String;
    /// The answer of these words.
    fn of(text: &str) -> Option<Self>;
}

macro_rules! answers {
    ($(
        $(#[$question_doc:meta])*
        $question:ident, $key:literal, $about:literal {
            $($(#[$answer_doc:meta])* $answer:ident = $text:literal,)+
        }
    )+) => {$(
        $(#[$question_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $question {
            $($(#[$answer_doc])* $answer,)+
        }

        impl Answer for $question {
            const QUESTION: &'static str = $key;
            const ABOUT: &'static str = $about;

            fn text(self) -> String {
                match self { $(Self::$answer => $text,)+ }.to_owned()
            }

            fn of(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$answer),)+ _ => None }
            }
        }
    )+};
}

answers! {
    /// What becomes of a picture when one of the same bytes and another name is created in its
    /// folder.
    SameBytes, "same-bytes", "creating the same bytes twice in a folder" {
        /// It stays.
        BothStay = "keeps both",
        /// It is gone: such a creation must not be made.
        OlderVanishes = "makes the older vanish",
        /// The second is refused.
        Refused = "is refused",
    }
    /// What `create` does with no bytes at all.
    EmptyFile, "empty-file", "an empty file" {
        /// It is made.
        Taken = "is taken",
        /// It is refused.
        Refused = "is refused",
    }
    /// What `move` does with a folder.
    MoveFolder, "move-folder", "moving a folder" {
        /// It is moved.
        Works = "works",
        /// It is refused.
        Refused = "is refused",
        /// The service says yes, and it stays where it was.
        DoesNothing = "is said to work and does nothing",
    }
}

/// How long it took until a change was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// By `detail`; `None` if it was not seen as long as it was waited for.
    pub detail: Option<Duration>,
    /// By a listing.
    pub listing: Option<Duration>,
}

/// How long it takes until a new picture is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfterCreate(pub Freshness);

/// How long it takes until a deleted picture is gone from view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfterDelete(pub Freshness);

/// What stands for a change that was not seen.
const NEVER: &str = "never";

impl Freshness {
    /// To tenths of a second.
    fn text(self) -> String {
        let words = |seen: Option<Duration>| {
            seen.map_or_else(|| NEVER.to_owned(), |seen| format!("{:.1} s", seen.as_secs_f32()))
        };
        format!("detail: {}, listing: {}", words(self.detail), words(self.listing))
    }

    fn of(text: &str) -> Option<Self> {
        let seen = |words: &str| match words {
            NEVER => Some(None),
            words => {
                let seconds = words.strip_suffix(" s")?.parse().ok()?;
                Some(Some(Duration::try_from_secs_f32(seconds).ok()?))
            }
        };
        let (detail, listing) = text.strip_prefix("detail: ")?.split_once(", listing: ")?;
        Some(Self { detail: seen(detail)?, listing: seen(listing)? })
    }
}

impl Answer for AfterCreate {
    const QUESTION: &'static str = "after-create";
    const ABOUT: &'static str = "a new picture is seen after";

    fn text(self) -> String {
        self.0.text()
    }

    fn of(text: &str) -> Option<Self> {
        Freshness::of(text).map(Self)
    }
}

impl Answer for AfterDelete {
    const QUESTION: &'static str = "after-delete";
    const ABOUT: &'static str = "a deleted picture is gone after";

    fn text(self) -> String {
        self.0.text()
    }

    fn of(text: &str) -> Option<Self> {
        Freshness::of(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        for answer in [SameBytes::BothStay, SameBytes::OlderVanishes, SameBytes::Refused] {
            assert_eq!(SameBytes::of(&answer.text()), Some(answer));
        }
        assert_eq!(SameBytes::of("of a later version"), None);
        let seen = Freshness { detail: Some(Duration::from_millis(500)), listing: None };
        assert_eq!(AfterCreate::of(&AfterCreate(seen).text()), Some(AfterCreate(seen)));
        assert_eq!(AfterDelete::of("detail: soon, listing: never"), None);
    }
}
