//! Aligned columns for a terminal, and for `awk`: two blanks between columns, none within numbers.

use std::fmt;

/// A table of text; columns that hold only numbers are set to the right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|&name| name.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row; cells beyond the columns are dropped, missing ones are empty.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        let mut cells = Vec::from(cells);
        cells.resize(self.head.len(), String::new());
        self.rows.push(cells);
    }

    fn width(&self, column: usize) -> usize {
        let lines = self.rows.iter().chain([&self.head]);
        lines.map(|cells| cells[column].chars().count()).max().unwrap_or_default()
    }

    fn is_numeric(&self, column: usize) -> bool {
        let is_number = |cell: &str| {
            !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        };
        !self.rows.is_empty() && self.rows.iter().all(|cells| is_number(&cells[column]))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<_> = (0..self.head.len())
            .map(|column| (self.width(column), self.is_numeric(column)))
            .collect();
        for cells in [&self.head].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (cell, (width, is_numeric)) in cells.iter().zip(&columns) {
                let padding = " ".repeat(width - cell.chars().count());
                let (before, after) =
                    if *is_numeric { (padding.as_str(), "") } else { ("", padding.as_str()) };
                line.extend([before, cell, after, "  "]);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_words_to_the_left() {
        let mut table = Table::new(&["kind", "records", "note"]);
        table.row(["event".into(), "7".into(), "".into()]);
        table.row(["überlang".into(), "12345678".into(), "x".into()]);
        let expected = "kind       records  note\n\
                        event            7\n\
                        überlang  12345678  x\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn an_empty_table_is_its_head() {
        assert_eq!(Table::new(&["a", "b"]).to_string(), "a  b\n");
    }
}
