//! passwd, shadow, group and gshadow: lines of fields between colons; see passwd(5), shadow(5), group(5), gshadow(5).

use anyhow::Result;

use crate::restore::tree::Tree;

/// One of the four files, in the order of its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads a file's text. Lines of NIS (`+name`) are no accounts of the machine.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with(['+', '-', '#']));
        Self { rows: lines.map(|line| line.split(':').map(str::to_owned).collect()).collect() }
    }

    /// The file's text.
    pub(super) fn text(&self) -> String {
        self.rows.iter().map(|row| row.join(":") + "\n").collect()
    }

    /// Reads a file of the new system; `None` if it has none.
    pub(super) fn of(tree: &Tree, path: &str) -> Result<Option<Self>> {
        Ok(tree.text(path)?.map(|text| Self::parse(&text)))
    }

    /// Its lines as lists of fields.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[String]> {
        self.rows.iter().map(Vec::as_slice)
    }

    /// The line that begins with a name.
    pub(super) fn find(&self, name: &str) -> Option<&[String]> {
        self.rows.iter().find(|row| row[0] == name).map(Vec::as_slice)
    }

    /// The line that has a number in its third field.
    pub(super) fn by_id(&self, id: u32) -> Option<&[String]> {
        self.rows.iter().find(|row| number(row, 2) == Some(id)).map(Vec::as_slice)
    }

    /// Puts a line in the place of that with the same name, or at the end.
    pub(super) fn put(&mut self, row: Vec<String>) {
        match self.rows.iter_mut().find(|old| old[0] == row[0]) {
            Some(old) => *old = row,
            None => self.rows.push(row),
        }
    }

    /// Adds a name to a list in a field, between commas; false if there is no line of that name.
    pub(super) fn add_member(&mut self, group: &str, field: usize, member: &str) -> bool {
        let Some(row) = self.rows.iter_mut().find(|row| row[0] == group && row.len() > field) else { return false };
        if !members(&row[field]).any(|m| m == member) {
            let comma = if row[field].is_empty() { "" } else { "," };
            row[field] = format!("{}{comma}{member}", row[field]);
        }
        true
    }

    /// The least number from a smallest one that no line of this table or the others has.
    pub(super) fn free_id(&self, least: u32, others: &[&Self]) -> u32 {
        let taken = |id| self.by_id(id).is_some() || others.iter().any(|other| other.by_id(id).is_some());
        (least..).find(|&id| !taken(id)).unwrap_or(least)
    }
}

/// The names in a list.
pub(super) fn members(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// A field as a number.
pub(super) fn number(row: &[String], field: usize) -> Option<u32> {
    row.get(field)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_and_written_back() {
        let mut table = Table::parse("root:x:0:\nwheel:x:10:joe\n+nis\n\n");
        assert!(table.add_member("wheel", 3, "ann"));
        assert!(table.add_member("wheel", 3, "joe"));
        assert!(!table.add_member("none", 3, "joe"));
        table.put(vec!["root".into(), "x".into(), "0".into(), "ann".into()]);
        assert_eq!(table.text(), "root:x:0:ann\nwheel:x:10:joe,ann\n");
        assert_eq!(table.free_id(10, &[]), 11);
    }
}
