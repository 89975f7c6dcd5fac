//! Text that steps print: it arrives live and again in events, and is shown once, by whole lines.

use aidt_domain::DispatchNo;
use std::collections::BTreeMap;

/// Longer lines are cut in pieces, so that a step without line ends is shown too.
const MAX_LINE: usize = 4096;

/// What was shown of each step's text.
#[derive(Debug, Default)]
pub(crate) struct StepTexts(BTreeMap<String, Shown>);

#[derive(Debug, Default)]
struct Shown {
    dispatch: DispatchNo,
    /// Bytes of the dispatch's text that were taken in.
    end: u64,
    /// The line that has not ended.
    rest: String,
}

impl StepTexts {
    /// Takes in a piece of what a dispatch printed; gives the lines that it completes.
    pub(crate) fn add(&mut self, step: &str, dispatch: DispatchNo, offset: u64, text: &str) -> Vec<String> {
        let shown = self.0.entry(step.to_owned()).or_default();
        let mut lines = Vec::new();
        if dispatch != shown.dispatch {
            lines.extend(shown.take_rest());
            *shown = Shown { dispatch, ..Shown::default() };
        }
        let known = usize::try_from(shown.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        if let Some(new) = text.get(known.min(text.len())..).filter(|new| !new.is_empty()) {
            shown.end = offset + text.len() as u64;
            shown.rest.push_str(new);
            lines.extend(shown.whole_lines());
        }
        lines
    }

    /// The dispatch ended: gives its last line, should it have no end.
    pub(crate) fn end(&mut self, step: &str) -> Vec<String> {
        self.0.get_mut(step).and_then(Shown::take_rest).into_iter().collect()
    }
}

impl Shown {
    fn take_rest(&mut self) -> Option<String> {
        Some(std::mem::take(&mut self.rest)).filter(|rest| !rest.is_empty())
    }

    fn whole_lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let end = match self.rest.find('\n') {
                Some(end) => end,
                None if self.rest.len() > MAX_LINE => {
                    let line = std::mem::take(&mut self.rest);
                    lines.push(line);
                    return lines;
                }
                None => return lines,
            };
            let line: String = self.rest.drain(..=end).collect();
            lines.push(line.trim_end_matches(['\n', '\r']).to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D1: DispatchNo = DispatchNo(1);

    #[test]
    fn what_comes_live_and_again_as_an_event_is_shown_once() {
        let mut texts = StepTexts::default();
        assert_eq!(texts.add("a", D1, 0, "one\ntw"), ["one"]);
        assert_eq!(texts.add("a", D1, 0, "one\ntwo\n"), ["two"]);
        assert_eq!(texts.add("a", D1, 0, "one\ntwo\n"), [""; 0]);
        assert_eq!(texts.add("a", D1, 8, "three"), [""; 0]);
        assert_eq!(texts.end("a"), ["three"]);
        assert_eq!(texts.end("a"), [""; 0]);
    }

    #[test]
    fn a_new_dispatch_starts_anew_and_text_that_was_missed_is_no_error() {
        let mut texts = StepTexts::default();
        assert_eq!(texts.add("a", D1, 0, "half"), [""; 0]);
        assert_eq!(texts.add("a", DispatchNo(2), 0, "again\n"), ["half", "again"]);
        assert_eq!(texts.add("a", DispatchNo(2), 100, "later\n"), ["later"]);
        assert_eq!(texts.add("b", D1, 0, "other\n"), ["other"]);
    }

    #[test]
    fn a_piece_is_never_cut_within_a_character() {
        let mut texts = StepTexts::default();
        texts.add("a", D1, 0, "ab");
        // Overlaps by one byte, in the middle of é: left out rather than broken.
        assert_eq!(texts.add("a", D1, 1, "é\n"), [""; 0]);
    }
}
