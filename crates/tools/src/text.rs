//! Fitting text into a limit that counts JSON bytes, as a row and a message do.

/// The longest prefix of `text` whose JSON form (without quotes) is at most `limit` bytes long.
pub(crate) fn fit(text: &str, limit: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += json_len(c);
        if used > limit {
            return &text[..at];
        }
    }
    text
}

/// How many bytes `text` takes as a JSON string, quotes included.
pub(crate) fn json_string_len(text: &str) -> usize {
    2 + text.chars().map(json_len).sum::<usize>()
}

fn json_len(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_what_serde_writes(text in any::<String>(), limit in 0usize..64) {
            prop_assert_eq!(json_string_len(&text), serde_json::to_string(&text).unwrap().len());
            prop_assert!(json_string_len(fit(&text, limit)) <= limit + 2);
        }
    }

    #[test]
    fn cuts_between_characters() {
        assert_eq!(fit("aé\nb", 3), "aé");
        assert_eq!(fit("aé\nb", 5), "aé\n");
        assert_eq!(fit("aé\nb", 6), "aé\nb");
        assert_eq!(fit("aé", 2), "a");
    }
}
