//! Settings that are lists: `search_path`, and the `options` of a start-up message.

use crate::error::{Error, Result, SqlState};

/// The settings in a start-up message's `options`: `-c name=value` and `--name=value`, separated by
/// blanks; a backslash takes the next character as it is.
pub(super) fn command_line(text: &str) -> Result<Vec<(String, String)>> {
    let mut words = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let Some(word) = words.last_mut() else { break };
        match c {
            '\\' => word.extend(chars.next()),
            c if c.is_whitespace() => words.push(String::new()),
            c => word.push(c),
        }
    }
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let assignment = if word == "-c" {
            words.next()
        } else {
            let name = word.strip_prefix("--").or_else(|| word.strip_prefix("-c"));
            name.map(str::to_owned)
        };
        let pair = assignment.as_deref().and_then(|text| text.split_once('='));
        let (name, value) = pair.ok_or_else(|| {
            Error::new(
                SqlState::SYNTAX_ERROR,
                format!("invalid command-line argument for server process: {word}"),
            )
            .hint("Give settings as -c name=value.")
        })?;
        settings.push((name.to_owned(), value.to_owned()));
    }
    Ok(settings)
}

/// The schema names of a `search_path`, unquoted.
pub(super) fn split_path(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let name;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut value = String::new();
            let mut chars = quoted.char_indices().peekable();
            let mut end = quoted.len();
            while let Some((at, c)) = chars.next() {
                if c != '"' {
                    value.push(c);
                } else if chars.peek().is_some_and(|(_, next)| *next == '"') {
                    value.push('"');
                    chars.next();
                } else {
                    end = at + 1;
                    break;
                }
            }
            rest = quoted.get(end..).unwrap_or("");
            name = value;
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (head, tail) = rest.split_at(end);
            name = head.trim().to_lowercase();
            rest = tail;
        }
        if !name.is_empty() {
            names.push(name);
        }
        rest = rest.trim_start().trim_start_matches(',').trim_start();
    }
    names
}

/// One argument of SET search_path: a name, quoted where it has to be.
pub(super) fn quote_schema(value: &str) -> String {
    let plain = value
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && value.starts_with(|c: char| !c.is_ascii_digit());
    if plain {
        value.to_owned()
    } else {
        format!("\"{}\"", value.replace('"', "\"\""))
    }
}
