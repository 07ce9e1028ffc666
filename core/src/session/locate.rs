//! Where in a statement an error is: the planner names what it did not find, but not its place.

use crate::error::{Error, SqlState};

/// Adds the position of the name that an error is about, if the text has that name exactly once.
/// `offset` is the number of characters of the query string before `text`.
pub(super) fn locate(error: Error, text: &str, offset: usize) -> Error {
    let about_a_name = [
        SqlState::UNDEFINED_COLUMN,
        SqlState::UNDEFINED_TABLE,
        SqlState::AMBIGUOUS_COLUMN,
    ];
    if error.fields().position.is_some() || !about_a_name.contains(&error.state()) {
        return error;
    }
    let Some(name) = error
        .message()
        .split('"')
        .nth(1)
        .filter(|name| !name.is_empty())
    else {
        return error;
    };
    let mut places = text.match_indices(name).filter(|(at, _)| {
        let before = text.get(..*at).and_then(|text| text.chars().next_back());
        let after = text
            .get(at + name.len()..)
            .and_then(|text| text.chars().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    });
    match (places.next(), places.next()) {
        (Some((at, _)), None) => {
            let before = text.get(..at).map_or(0, |text| text.chars().count());
            error.position(offset + before + 1)
        }
        _ => error,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(message: &str, text: &str) -> Option<usize> {
        let error = Error::new(SqlState::UNDEFINED_COLUMN, message);
        locate(error, text, 0).fields().position
    }

    #[test]
    fn a_name_is_found_when_it_stands_once() {
        let message = "column \"b\" does not exist";
        assert_eq!(place(message, "SELECT ab, b FROM t"), Some(12));
        assert_eq!(place(message, "SELECT b, b FROM t"), None);
        assert_eq!(place(message, "SELECT 1"), None);
        assert_eq!(place("column does not exist", "SELECT b"), None);
    }
}
