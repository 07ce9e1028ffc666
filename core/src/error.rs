//! One error type for the whole engine. Every error carries the SQLSTATE that PostgreSQL would
//! send, so that drivers and people can act on it.

use std::fmt;
use std::io;

/// `Result` with the engine's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A five-character SQLSTATE code (PostgreSQL documentation, appendix A).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SqlState(&'static str);

macro_rules! states {
    ($($name:ident = $code:literal,)*) => {
        impl SqlState {
            $(#[doc = $code] pub const $name: SqlState = SqlState($code);)*

            /// The code that a five-character string names, if the engine knows it.
            pub fn from_code(code: &str) -> Option<SqlState> {
                match code {
                    $($code => Some(SqlState::$name),)*
                    _ => None,
                }
            }
        }
    };
}

states! {
    CONNECTION_FAILURE = "08006",
    PROTOCOL_VIOLATION = "08P01",
    FEATURE_NOT_SUPPORTED = "0A000",
    INVALID_TRANSACTION_INITIATION = "0B000",
    INVALID_GRANTOR = "0L000",
    INVALID_GRANT_OPERATION = "0LP01",
    CARDINALITY_VIOLATION = "21000",
    STRING_DATA_RIGHT_TRUNCATION = "22001",
    NULL_VALUE_NOT_ALLOWED = "22004",
    NUMERIC_VALUE_OUT_OF_RANGE = "22003",
    INVALID_DATETIME_FORMAT = "22007",
    DATETIME_FIELD_OVERFLOW = "22008",
    INVALID_TIME_ZONE_DISPLACEMENT = "22009",
    SUBSTRING_ERROR = "22011",
    DIVISION_BY_ZERO = "22012",
    INVALID_PRECEDING_OR_FOLLOWING_SIZE = "22013",
    INTERVAL_FIELD_OVERFLOW = "22015",
    INVALID_CHARACTER_VALUE_FOR_CAST = "22018",
    INVALID_ESCAPE_SEQUENCE = "22025",
    INVALID_ESCAPE_CHARACTER = "22019",
    CHARACTER_NOT_IN_REPERTOIRE = "22021",
    INVALID_PARAMETER_VALUE = "22023",
    ARRAY_SUBSCRIPT_ERROR = "2202E",
    INVALID_REGULAR_EXPRESSION = "2201B",
    INVALID_ROW_COUNT_IN_LIMIT_CLAUSE = "2201W",
    INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE = "2201X",
    INVALID_ARGUMENT_FOR_LOGARITHM = "2201E",
    INVALID_ARGUMENT_FOR_POWER_FUNCTION = "2201F",
    INVALID_ARGUMENT_FOR_WIDTH_BUCKET_FUNCTION = "2201G",
    INVALID_TEXT_REPRESENTATION = "22P02",
    INVALID_BINARY_REPRESENTATION = "22P03",
    BAD_COPY_FILE_FORMAT = "22P04",
    UNTRANSLATABLE_CHARACTER = "22P05",
    SEQUENCE_GENERATOR_LIMIT_EXCEEDED = "2200H",
    INVALID_ARGUMENT_FOR_NTH_VALUE = "22016",
    INVALID_TABLESAMPLE_ARGUMENT = "2202H",
    GENERATED_ALWAYS = "428C9",
    RESTRICT_VIOLATION = "23001",
    NOT_NULL_VIOLATION = "23502",
    FOREIGN_KEY_VIOLATION = "23503",
    UNIQUE_VIOLATION = "23505",
    CHECK_VIOLATION = "23514",
    INVALID_CURSOR_STATE = "24000",
    ACTIVE_SQL_TRANSACTION = "25001",
    READ_ONLY_SQL_TRANSACTION = "25006",
    NO_ACTIVE_SQL_TRANSACTION = "25P01",
    IN_FAILED_SQL_TRANSACTION = "25P02",
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT = "25P03",
    INVALID_SQL_STATEMENT_NAME = "26000",
    INVALID_AUTHORIZATION_SPECIFICATION = "28000",
    INVALID_PASSWORD = "28P01",
    DEPENDENT_OBJECTS_STILL_EXIST = "2BP01",
    INVALID_CURSOR_NAME = "34000",
    INVALID_CATALOG_NAME = "3D000",
    INVALID_SCHEMA_NAME = "3F000",
    INVALID_SAVEPOINT_SPECIFICATION = "3B001",
    SERIALIZATION_FAILURE = "40001",
    DEADLOCK_DETECTED = "40P01",
    SYNTAX_ERROR = "42601",
    INSUFFICIENT_PRIVILEGE = "42501",
    CANNOT_COERCE = "42846",
    GROUPING_ERROR = "42803",
    WINDOWING_ERROR = "42P20",
    INVALID_RECURSION = "42P19",
    INVALID_FOREIGN_KEY = "42830",
    INVALID_NAME = "42602",
    NAME_TOO_LONG = "42622",
    RESERVED_NAME = "42939",
    DATATYPE_MISMATCH = "42804",
    INDETERMINATE_DATATYPE = "42P18",
    WRONG_OBJECT_TYPE = "42809",
    UNDEFINED_COLUMN = "42703",
    UNDEFINED_FUNCTION = "42883",
    UNDEFINED_TABLE = "42P01",
    UNDEFINED_PARAMETER = "42P02",
    UNDEFINED_OBJECT = "42704",
    DUPLICATE_COLUMN = "42701",
    DUPLICATE_CURSOR = "42P03",
    DUPLICATE_DATABASE = "42P04",
    DUPLICATE_PREPARED_STATEMENT = "42P05",
    DUPLICATE_SCHEMA = "42P06",
    DUPLICATE_TABLE = "42P07",
    DUPLICATE_ALIAS = "42712",
    DUPLICATE_OBJECT = "42710",
    AMBIGUOUS_COLUMN = "42702",
    AMBIGUOUS_FUNCTION = "42725",
    INVALID_COLUMN_REFERENCE = "42P10",
    INVALID_COLUMN_DEFINITION = "42611",
    INVALID_OBJECT_DEFINITION = "42P17",
    INVALID_TABLE_DEFINITION = "42P16",
    WITH_CHECK_OPTION_VIOLATION = "44000",
    INSUFFICIENT_RESOURCES = "53000",
    DISK_FULL = "53100",
    OUT_OF_MEMORY = "53200",
    TOO_MANY_CONNECTIONS = "53300",
    PROGRAM_LIMIT_EXCEEDED = "54000",
    STATEMENT_TOO_COMPLEX = "54001",
    TOO_MANY_COLUMNS = "54011",
    OBJECT_NOT_IN_PREREQUISITE_STATE = "55000",
    OBJECT_IN_USE = "55006",
    CANT_CHANGE_RUNTIME_PARAM = "55P02",
    LOCK_NOT_AVAILABLE = "55P03",
    QUERY_CANCELED = "57014",
    ADMIN_SHUTDOWN = "57P01",
    CANNOT_CONNECT_NOW = "57P03",
    IO_ERROR = "58030",
    SUCCESSFUL_COMPLETION = "00000",
    WARNING = "01000",
    PRIVILEGE_NOT_REVOKED = "01006",
    PRIVILEGE_NOT_GRANTED = "01007",
    INTERNAL_ERROR = "XX000",
    DATA_CORRUPTED = "XX001",
}

impl SqlState {
    /// The five characters.
    pub fn code(self) -> &'static str {
        self.0
    }
}

/// An error as PostgreSQL reports it: SQLSTATE, message, and the optional fields of an
/// `ErrorResponse`. Boxed, because results are passed around far more often than errors.
#[derive(Clone)]
pub struct Error(Box<Fields>);

/// The fields of an [`Error`]; names follow the PostgreSQL protocol's error fields.
#[derive(Clone, Debug)]
pub struct Fields {
    pub state: SqlState,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Position in the statement, counted in characters from 1.
    pub position: Option<usize>,
    pub context: Option<String>,
    pub schema: Option<String>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub constraint: Option<String>,
    /// The routine of PostgreSQL that reports it, where clients tell errors apart by it.
    pub routine: Option<String>,
}

macro_rules! setters {
    ($($name:ident)*) => {
        $(#[doc = concat!("Sets the field `", stringify!($name), "`.")]
        #[must_use]
        pub fn $name(mut self, text: impl Into<String>) -> Self {
            self.0.$name = Some(text.into());
            self
        })*
    };
}

impl Error {
    pub fn new(state: SqlState, message: impl Into<String>) -> Self {
        Error(Box::new(Fields {
            state,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            context: None,
            schema: None,
            table: None,
            column: None,
            constraint: None,
            routine: None,
        }))
    }

    setters! { detail hint context schema table column constraint routine }

    /// Sets the position in the statement, counted in characters from 1.
    #[must_use]
    pub fn position(mut self, at: usize) -> Self {
        self.0.position = Some(at);
        self
    }

    /// `what` is not supported (0A000); `instead` says what to use.
    pub fn unsupported(what: impl fmt::Display, instead: impl Into<String>) -> Self {
        Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("{what} is not supported"),
        )
        .hint(instead)
    }

    /// What a READ ONLY transaction must not do (25006).
    pub fn read_only(what: &str) -> Self {
        Error::new(
            SqlState::READ_ONLY_SQL_TRANSACTION,
            format!("cannot execute {what} in a read-only transaction"),
        )
    }

    /// A broken invariant of the engine (XX000).
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(SqlState::INTERNAL_ERROR, message)
    }

    /// What the storage medium refuses (58030; 53100 where it is full).
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
        let message = format!("{what}: {error}");
        match full {
            true => Error::new(SqlState::DISK_FULL, message)
                .hint("Free some space where the database is stored."),
            false => Error::new(SqlState::IO_ERROR, message),
        }
    }

    /// Stored bytes that are not what was written (XX001).
    pub fn corrupted(message: impl Into<String>) -> Self {
        Error::new(SqlState::DATA_CORRUPTED, message)
    }

    pub fn state(&self) -> SqlState {
        self.0.state
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn fields(&self) -> &Fields {
        &self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for Error {}

/// A message to the client that is not an error.
#[derive(Clone, Debug)]
pub struct Notice {
    /// `NOTICE`, `WARNING`, `INFO`, ….
    pub severity: &'static str,
    pub error: Error,
}

/// Any failure of redb is one of the storage medium: nothing that a statement did.
macro_rules! from_redb {
    ($($kind:ident)*) => {
        $(impl From<redb::$kind> for Error {
            fn from(error: redb::$kind) -> Self {
                let error: redb::Error = error.into();
                let state = match &error {
                    redb::Error::Io(error) => return Error::io("storage", error),
                    redb::Error::Corrupted(_) => SqlState::DATA_CORRUPTED,
                    redb::Error::DatabaseAlreadyOpen => SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                    _ => SqlState::IO_ERROR,
                };
                Error::new(state, format!("storage: {error}"))
            }
        })*
    };
}

from_redb! { DatabaseError TransactionError TableError StorageError CommitError SetDurabilityError CompactionError }
