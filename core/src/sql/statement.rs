//! A statement after parsing: who runs it is decided here.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::catalog::fold;
use crate::txn::{Isolation, RowMode};
use crate::types::PgType;

/// One statement of a query string.
#[derive(Clone, Debug)]
pub struct Statement {
    pub body: Body,
    /// The text between the semicolons.
    pub text: String,
    /// Characters of the query string before it.
    pub offset: usize,
    /// Line and column of the query string where it starts, as the parser counts.
    pub start: Location,
}

/// Who runs a statement.
#[derive(Clone, Debug)]
pub enum Body {
    /// The session itself: transactions, settings, prepared statements, cursors.
    Session(Verb),
    /// Everything else: queries, writes, DDL. A query's locking clauses are taken out of the AST.
    Sql(Box<ast::Statement>, Vec<Locking>),
    /// DDL in a form that sqlparser does not know.
    Ddl(Box<super::ddl::Form>),
    /// Only white space and comments.
    Empty,
}

/// `FOR UPDATE …` at the end of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Locking {
    pub mode: RowMode,
    /// Names of FROM items; empty means all.
    pub of: Vec<String>,
    pub wait: LockWait,
}

/// The locking clause of a sub-query.
impl From<&ast::LockClause> for Locking {
    fn from(clause: &ast::LockClause) -> Self {
        let name = clause.of.as_ref().and_then(|of| of.0.last());
        Locking {
            mode: match clause.lock_type {
                ast::LockType::Share => RowMode::Share,
                ast::LockType::Update => RowMode::Update,
            },
            of: name
                .and_then(|name| name.as_ident())
                .map(fold)
                .into_iter()
                .collect(),
            wait: match clause.nonblock {
                None => LockWait::Block,
                Some(ast::NonBlock::Nowait) => LockWait::NoWait,
                Some(ast::NonBlock::SkipLocked) => LockWait::SkipLocked,
            },
        }
    }
}

/// What a locking clause does about a row that another transaction holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    Block,
    NoWait,
    SkipLocked,
}

/// Isolation levels by their names in SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationLevel {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl IsolationLevel {
    /// In the order in which PostgreSQL lists them.
    const ALL: [IsolationLevel; 4] = [
        IsolationLevel::Serializable,
        IsolationLevel::RepeatableRead,
        IsolationLevel::ReadCommitted,
        IsolationLevel::ReadUncommitted,
    ];

    /// The name, as a setting shows it.
    pub fn name(self) -> &'static str {
        match self {
            IsolationLevel::ReadUncommitted => "read uncommitted",
            IsolationLevel::ReadCommitted => "read committed",
            IsolationLevel::RepeatableRead => "repeatable read",
            IsolationLevel::Serializable => "serializable",
        }
    }

    pub fn from_name(name: &str) -> Option<IsolationLevel> {
        let mut all = IsolationLevel::ALL.into_iter();
        all.find(|level| level.name().eq_ignore_ascii_case(name))
    }

    /// How a transaction of this level runs.
    pub fn isolation(self) -> Isolation {
        match self {
            IsolationLevel::ReadUncommitted | IsolationLevel::ReadCommitted => {
                Isolation::ReadCommitted
            }
            IsolationLevel::RepeatableRead => Isolation::RepeatableRead,
            IsolationLevel::Serializable => Isolation::Serializable,
        }
    }
}

/// Modes of BEGIN and SET TRANSACTION; `None` leaves a mode as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    pub isolation: Option<IsolationLevel>,
    pub read_only: Option<bool>,
    /// DEFERRABLE asks a serializable reader to wait for a snapshot that cannot fail: every
    /// snapshot here is one, so it only shows in the setting.
    pub deferrable: Option<bool>,
}

/// The right side of SET.
#[derive(Clone, Debug, PartialEq)]
pub enum SetValue {
    Default,
    /// One or more values, as text.
    Values(Vec<String>),
}

/// Where FETCH and MOVE go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Forward by so many rows.
    Forward(u64),
    All,
}

/// What EXPLAIN was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExplainOptions {
    pub analyze: bool,
    pub verbose: bool,
}

/// Statements that the session runs itself.
#[derive(Clone, Debug)]
pub enum Verb {
    Begin {
        modes: Modes,
        /// Written as START TRANSACTION, which is then the tag.
        start: bool,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    SetTransaction(Modes),
    SetSessionCharacteristics(Modes),
    /// Of ALL constraints: none can be deferred, so nothing changes.
    SetConstraints,
    Set {
        name: String,
        value: SetValue,
        local: bool,
    },
    /// `None` is ALL.
    Reset(Option<String>),
    /// `None` is ALL.
    Show(Option<String>),
    DiscardAll,
    DiscardPlans,
    DiscardSequences,
    DiscardTemp,
    Prepare {
        name: String,
        types: Vec<PgType>,
        statement: Box<Statement>,
    },
    Execute {
        name: String,
        arguments: Vec<ast::Expr>,
    },
    /// `None` is ALL.
    Deallocate(Option<String>),
    Explain {
        options: ExplainOptions,
        statement: Box<Statement>,
    },
    Declare {
        name: String,
        hold: bool,
        query: Box<Statement>,
    },
    Fetch {
        direction: Direction,
        cursor: String,
    },
    Move {
        direction: Direction,
        cursor: String,
    },
    /// `None` is ALL.
    Close(Option<String>),
    /// LISTEN is refused, so there is never anything to stop.
    Unlisten,
}
