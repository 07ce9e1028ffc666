//! Options of COPY, checked as PostgreSQL checks them.

use datafusion::sql::sqlparser::ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption, Ident};

use crate::catalog::fold;
use crate::error::{Error, Result, SqlState};
use crate::sql::dml::forms::{ALL_COLUMNS, HEADER_MATCH};
use crate::sql::settings::is_encoding;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Csv,
    Binary,
}

/// Checked options.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub format: Format,
    pub delimiter: u8,
    pub null: String,
    pub header: Header,
    pub quote: u8,
    pub escape: u8,
    pub force_quote: Force,
    pub force_not_null: Vec<String>,
    pub force_null: Vec<String>,
    /// A hint of how to store the rows, which are stored in one way; but what PostgreSQL demands for
    /// it is checked.
    pub freeze: bool,
}

/// The HEADER option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    No,
    Yes,
    /// The first line must name the columns.
    Match,
}

/// The columns of FORCE_QUOTE.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Force {
    Columns(Vec<String>),
    All,
}

impl Force {
    fn new(columns: &[Ident]) -> Self {
        match columns {
            [all] if all.value == ALL_COLUMNS && all.quote_style.is_some() => Force::All,
            columns => Force::Columns(names(columns)),
        }
    }
}

#[derive(Default)]
struct Given {
    format: Option<Format>,
    delimiter: Option<char>,
    null: Option<String>,
    header: Option<bool>,
    header_match: bool,
    quote: Option<char>,
    escape: Option<char>,
    force_quote: Option<Force>,
    force_not_null: Option<Vec<String>>,
    force_null: Option<Vec<String>>,
    encoding: Option<String>,
    freeze: Option<bool>,
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<()> {
    if slot.replace(value).is_some() {
        return Err(syntax("conflicting or redundant options"));
    }
    Ok(())
}

fn syntax(message: impl Into<String>) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message)
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(SqlState::FEATURE_NOT_SUPPORTED, message)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn names(idents: &[Ident]) -> Vec<String> {
    idents.iter().map(fold).collect()
}

impl Options {
    /// Checks the options of a COPY; `from` is its direction.
    ///
    /// # Errors
    /// 42601, 0A000 and 22023, as PostgreSQL raises them.
    pub(super) fn new(
        options: &[CopyOption],
        legacy: &[CopyLegacyOption],
        from: bool,
    ) -> Result<Options> {
        let mut given = Given::default();
        for option in options {
            given.take(option)?;
        }
        for option in legacy {
            given.take_legacy(option)?;
        }
        given.check(from)
    }
}

impl Given {
    fn take(&mut self, option: &CopyOption) -> Result<()> {
        match option {
            CopyOption::Format(name) => {
                let format = match fold(name).as_str() {
                    "text" => Format::Text,
                    "csv" => Format::Csv,
                    "binary" => Format::Binary,
                    other => {
                        return Err(invalid(format!("COPY format \"{other}\" not recognized")));
                    }
                };
                once(&mut self.format, format)
            }
            CopyOption::Freeze(freeze) => once(&mut self.freeze, *freeze),
            CopyOption::Delimiter(c) => once(&mut self.delimiter, *c),
            CopyOption::Null(text) => once(&mut self.null, text.clone()),
            CopyOption::Header(header) => once(&mut self.header, *header),
            CopyOption::Quote(c) => once(&mut self.quote, *c),
            CopyOption::Escape(c) => once(&mut self.escape, *c),
            CopyOption::ForceQuote(columns) => once(&mut self.force_quote, Force::new(columns)),
            CopyOption::ForceNotNull(columns) => once(&mut self.force_not_null, names(columns)),
            CopyOption::ForceNull(columns) => once(&mut self.force_null, names(columns)),
            CopyOption::Encoding(name) => once(&mut self.encoding, name.clone()),
        }
    }

    fn take_legacy(&mut self, option: &CopyLegacyOption) -> Result<()> {
        match option {
            CopyLegacyOption::Binary => once(&mut self.format, Format::Binary),
            CopyLegacyOption::Delimiter(c) => once(&mut self.delimiter, *c),
            CopyLegacyOption::Null(text) => once(&mut self.null, text.clone()),
            CopyLegacyOption::Header => once(&mut self.header, true),
            header if *header == HEADER_MATCH => {
                self.header_match = true;
                Ok(())
            }
            CopyLegacyOption::Csv(options) => {
                once(&mut self.format, Format::Csv)?;
                for option in options {
                    match option {
                        CopyLegacyCsvOption::Header => once(&mut self.header, true)?,
                        CopyLegacyCsvOption::Quote(c) => once(&mut self.quote, *c)?,
                        CopyLegacyCsvOption::Escape(c) => once(&mut self.escape, *c)?,
                        CopyLegacyCsvOption::ForceQuote(columns) => {
                            once(&mut self.force_quote, Force::new(columns))?;
                        }
                        CopyLegacyCsvOption::ForceNotNull(columns) => {
                            once(&mut self.force_not_null, names(columns))?;
                        }
                    }
                }
                Ok(())
            }
            other => Err(syntax(format!("option \"{other}\" not recognized"))),
        }
    }

    fn check(self, from: bool) -> Result<Options> {
        let format = self.format.unwrap_or(Format::Text);
        let csv = format == Format::Csv;
        if format == Format::Binary {
            if self.delimiter.is_some() {
                return Err(syntax("cannot specify DELIMITER in BINARY mode"));
            }
            if self.null.is_some() {
                return Err(syntax("cannot specify NULL in BINARY mode"));
            }
            if self.header == Some(true) {
                return Err(unsupported("cannot specify HEADER in BINARY mode"));
            }
        }
        if let Some(encoding) = &self.encoding {
            let name: String = encoding
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .collect::<String>()
                .to_ascii_lowercase();
            if !matches!(name.as_str(), "utf8" | "unicode") {
                return Err(match is_encoding(&name) {
                    true => Error::unsupported(
                        format!("COPY encoding \"{encoding}\""),
                        "Convert the data to UTF8.",
                    ),
                    false => {
                        invalid("argument to option \"encoding\" must be a valid encoding name")
                    }
                });
            }
        }
        if self.header_match && !from {
            return Err(unsupported("cannot use \"match\" with HEADER in COPY TO"));
        }
        let delimiter = self.delimiter.unwrap_or(if csv { ',' } else { '\t' });
        let delimiter = u8::try_from(delimiter)
            .ok()
            .filter(u8::is_ascii)
            .ok_or_else(|| unsupported("COPY delimiter must be a single one-byte character"))?;
        if matches!(delimiter, b'\n' | b'\r') {
            return Err(invalid(
                "COPY delimiter cannot be newline or carriage return",
            ));
        }
        let null = self
            .null
            .unwrap_or_else(|| if csv { String::new() } else { "\\N".to_owned() });
        if null.contains(['\n', '\r']) {
            return Err(invalid(
                "COPY null representation cannot use newline or carriage return",
            ));
        }
        if !csv && b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(&delimiter) {
            return Err(invalid(format!(
                "COPY delimiter cannot be \"{}\"",
                char::from(delimiter)
            )));
        }
        if !csv && self.quote.is_some() {
            return Err(unsupported("COPY quote available only in CSV mode"));
        }
        let quote = u8::try_from(self.quote.unwrap_or('"'))
            .ok()
            .filter(u8::is_ascii)
            .ok_or_else(|| unsupported("COPY quote must be a single one-byte character"))?;
        if csv && delimiter == quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        if !csv && self.escape.is_some() {
            return Err(unsupported("COPY escape available only in CSV mode"));
        }
        let escape = u8::try_from(self.escape.unwrap_or(char::from(quote)))
            .ok()
            .filter(u8::is_ascii)
            .ok_or_else(|| unsupported("COPY escape must be a single one-byte character"))?;
        for (given, name, only_from) in [
            (self.force_quote.is_some(), "force quote", false),
            (self.force_not_null.is_some(), "force not null", true),
            (self.force_null.is_some(), "force null", true),
        ] {
            if given && !csv {
                return Err(unsupported(format!(
                    "COPY {name} available only in CSV mode"
                )));
            }
            if given && only_from != from {
                let direction = if only_from { "FROM" } else { "TO" };
                return Err(unsupported(format!(
                    "COPY {name} only available using COPY {direction}"
                )));
            }
        }
        if format != Format::Binary && null.as_bytes().contains(&delimiter) {
            return Err(unsupported(
                "COPY delimiter must not appear in the NULL specification",
            ));
        }
        if csv && null.as_bytes().contains(&quote) {
            return Err(unsupported(
                "CSV quote character must not appear in the NULL specification",
            ));
        }
        Ok(Options {
            format,
            delimiter,
            null,
            header: match (self.header, self.header_match) {
                (Some(true), true) => Header::Match,
                (Some(true), false) => Header::Yes,
                _ => Header::No,
            },
            quote,
            escape,
            force_quote: self.force_quote.unwrap_or(Force::Columns(Vec::new())),
            force_not_null: self.force_not_null.unwrap_or_default(),
            force_null: self.force_null.unwrap_or_default(),
            freeze: self.freeze.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(sql: &str, from: bool) -> Result<Options> {
        use crate::query::SqlDialect;
        use datafusion::sql::sqlparser::ast::Statement;
        use datafusion::sql::sqlparser::parser::Parser;
        let direction = if from { "FROM STDIN" } else { "TO STDOUT" };
        let sql = format!("COPY t {direction} {sql}");
        match Parser::parse_sql(&SqlDialect, &sql).unwrap().pop().unwrap() {
            Statement::Copy {
                options,
                legacy_options,
                ..
            } => Options::new(&options, &legacy_options, from),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn defaults_depend_on_the_format() {
        let text = options("", true).unwrap();
        assert_eq!(
            (text.format, text.delimiter, text.null.as_str()),
            (Format::Text, b'\t', "\\N")
        );
        let csv = options("WITH (FORMAT csv, HEADER)", true).unwrap();
        assert_eq!(
            (csv.delimiter, csv.null.as_str(), csv.header),
            (b',', "", Header::Yes)
        );
        let legacy = options("CSV HEADER QUOTE AS '''' FORCE QUOTE a", false).unwrap();
        assert_eq!(
            (legacy.quote, legacy.escape, legacy.header),
            (b'\'', b'\'', Header::Yes)
        );
        assert_eq!(legacy.force_quote, Force::Columns(vec!["a".to_owned()]));
    }

    #[test]
    fn contradictions_are_refused() {
        for (sql, state, message) in [
            (
                "(FORMAT csv, FORMAT text)",
                "42601",
                "conflicting or redundant options",
            ),
            ("(FORMAT x)", "22023", "COPY format \"x\" not recognized"),
            ("(DELIMITER 'a')", "22023", "COPY delimiter cannot be \"a\""),
            (
                "(QUOTE '\"')",
                "0A000",
                "COPY quote available only in CSV mode",
            ),
            (
                "(FORMAT binary, DELIMITER ',')",
                "42601",
                "cannot specify DELIMITER in BINARY mode",
            ),
            (
                "(FORMAT csv, FORCE_QUOTE (a))",
                "0A000",
                "COPY force quote only available using COPY TO",
            ),
            (
                "(FORMAT csv, NULL ',')",
                "0A000",
                "COPY delimiter must not appear in the NULL specification",
            ),
        ] {
            let error = options(sql, true).unwrap_err();
            assert_eq!(
                (error.state().code(), error.message()),
                (state, message),
                "{sql}"
            );
        }
    }
}
