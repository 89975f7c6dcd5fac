//! "Did you mean": the nearest of the words that would have been right.

/// The word of `known` that is most like `found`, if any is like it at all.
pub(crate) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(found, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.len().max(found.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_a_slip_and_not_a_stranger() {
        assert_eq!(nearest("lable", ["label", "limit"]), Some("label"));
        assert_eq!(nearest("inptus", ["plan", "inputs"]), Some("inputs"));
        assert_eq!(nearest("zzzzzz", ["plan", "inputs"]), None);
    }
}
