//! Columns.

use crate::terminal::visible;

/// Rows of equal length as lines, each column as wide as its widest cell; the first row is the head.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let cell = |row: &Vec<String>, column: usize| row.get(column).map(|c| one_line(c)).unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            widths.iter().enumerate().map(|(column, &width)| format!("{:width$}", cell(row, column))).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn one_line(text: &str) -> String {
    visible(text).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [["RUN", "STATE", "ERROR"], ["run_1", "done", ""], ["run_22", "é", "a\nb"]];
        let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(|c| (*c).to_owned()).collect()).collect();
        assert_eq!(table(&rows), ["RUN     STATE  ERROR", "run_1   done", "run_22  é      a b"]);
    }
}
