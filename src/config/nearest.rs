//! The nearest: of the words that are known, the one that was probably meant.

/// `; did you mean WORD?`, or nothing where no word is near.
pub(super) fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(typed, known).map(|word| format!("; did you mean {word}?")).unwrap_or_default()
}

/// The word that was probably meant.
pub(super) fn nearest<'a>(
    typed: &str, known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A slip in three letters is still the same word; in short words one is.
    let limit = (typed.chars().count() / 3).max(1);
    let distance = |word: &&str| strsim::damerau_levenshtein(typed, word);
    let nearest = known.into_iter().min_by_key(distance);
    nearest.filter(|word| distance(word) <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_mended_and_another_word_is_not() {
        let known = ["dir-ttl", "root", "timeout"];
        assert_eq!(did_you_mean("dir-tll", known), "; did you mean dir-ttl?");
        assert_eq!(did_you_mean("time-out", known), "; did you mean timeout?");
        assert_eq!(did_you_mean("nonsense", known), "");
    }
}
