//! All functions by name, and which of them a call means.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::logical_expr::{ScalarUDF, Volatility};

use super::row::{RowFn, RowFunction};
use super::waiting::WaitFn;
use super::{
    advisory, array_series, arrays, dates, extreme, formatting, json, math, record, sealing,
    session, strings, waiting,
};
use crate::error::{Error, Result, SqlState};
use crate::types::cast::{self, Context};
use crate::types::names::{array_of, element_of, from_name, physical};
use crate::types::{PgType, oid};

/// PostgreSQL's pseudo types.
pub(in crate::query) const ANY: u32 = 2276;
const ANYELEMENT: u32 = 2283;
const ANYARRAY: u32 = 2277;

/// A function with its declared types.
#[derive(Clone)]
pub(in crate::query) struct Function {
    pub name: &'static str,
    pub args: Vec<u32>,
    /// The last argument may be repeated.
    pub variadic: bool,
    pub result: u32,
    pub volatility: Volatility,
    pub strict: bool,
    pub run: RowFn,
    /// What the call waits for before it has a value.
    pub wait: Option<WaitFn>,
}

/// What the types of a call came to.
pub(in crate::query) struct Output {
    pub function: Function,
    /// The type that each argument is cast to.
    pub args: Vec<PgType>,
    pub result: PgType,
}

/// The functions of one engine.
pub(in crate::query) struct Functions {
    by_name: HashMap<&'static str, Vec<Function>>,
    /// What the system schemas add.
    pub system: HashMap<String, Arc<ScalarUDF>>,
}

/// Collects definitions.
pub(super) struct Definitions(Vec<Function>);

impl Definitions {
    /// A strict, immutable function: `("upper", "text", "text", …)`. `...` before the last
    /// argument's type lets it repeat.
    pub fn add(
        &mut self,
        name: &'static str,
        args: &str,
        result: &str,
        run: RowFn,
    ) -> &mut Function {
        let mut variadic = false;
        let args = args
            .split(',')
            .filter(|arg| !arg.is_empty())
            .map(|arg| {
                let arg = arg.trim();
                let plain = arg.strip_prefix("...");
                variadic |= plain.is_some();
                type_oid(plain.unwrap_or(arg))
            })
            .collect();
        let result = type_oid(result);
        self.0.push(Function {
            name,
            args,
            variadic,
            result,
            volatility: Volatility::Immutable,
            strict: true,
            run,
            wait: None,
        });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}

impl Function {
    pub fn stable(&mut self) -> &mut Self {
        self.volatility = Volatility::Stable;
        self
    }

    pub fn volatile(&mut self) -> &mut Self {
        self.volatility = Volatility::Volatile;
        self
    }

    pub fn takes_null(&mut self) -> &mut Self {
        self.strict = false;
        self
    }

    /// A function that waits, and is volatile for it.
    pub fn waits(&mut self, wait: WaitFn) -> &mut Self {
        self.wait = Some(wait);
        self.volatile()
    }

    /// The function for these types of arguments, ready to be called.
    pub fn row_function(&self, types: Vec<PgType>, result: PgType) -> RowFunction {
        let mut function = RowFunction::new(
            self.name,
            types,
            result,
            self.volatility,
            self.strict,
            self.run,
        );
        function.wait = self.wait;
        function
    }
}

/// The names of a function's arguments, of those that are called by name; 0 is their default.
pub(in crate::query) fn argument_names(function: &str) -> Option<&'static [&'static str]> {
    Some(match function {
        "make_interval" => &["years", "months", "weeks", "days", "hours", "mins", "secs"],
        "make_date" => &["year", "month", "day"],
        "make_time" => &["hour", "min", "sec"],
        "make_timestamp" => &["year", "month", "mday", "hour", "min", "sec"],
        "make_timestamptz" => &["year", "month", "mday", "hour", "min", "sec", "timezone"],
        _ => return None,
    })
}

fn type_oid(name: &str) -> u32 {
    match name {
        "any" => ANY,
        "anyelement" => ANYELEMENT,
        "anyarray" => ANYARRAY,
        "void" => oid::VOID,
        name => from_name(name).map_or(ANY, |ty| ty.oid),
    }
}

impl Functions {
    pub fn new(system: Vec<ScalarUDF>) -> Functions {
        let mut all = Definitions(Vec::new());
        strings::define(&mut all);
        math::define(&mut all);
        dates::define(&mut all);
        formatting::define(&mut all);
        json::define(&mut all);
        record::define(&mut all);
        arrays::define(&mut all);
        extreme::define(&mut all);
        array_series::define(&mut all);
        session::define(&mut all);
        waiting::define(&mut all);
        sealing::define(&mut all);
        advisory::define(&mut all);
        let mut by_name: HashMap<&'static str, Vec<Function>> = HashMap::new();
        for function in all.0 {
            by_name.entry(function.name).or_default().push(function);
        }
        let system = system
            .into_iter()
            .map(|function| (function.name().to_owned(), Arc::new(function)))
            .collect();
        Functions { by_name, system }
    }

    /// The function that a call means (PostgreSQL's rules for overloads); `None` when there is none.
    pub fn resolve(&self, name: &str, types: &[PgType]) -> Result<Option<Output>> {
        let Some(candidates) = self.by_name.get(name) else {
            return Ok(None);
        };
        let mut best: Vec<(i32, Output)> = Vec::new();
        for function in candidates {
            let Some((score, output)) = matches(function, types) else {
                continue;
            };
            match best.first().map(|(known, _)| *known) {
                Some(known) if known > score => {}
                Some(known) if known == score => best.push((score, output)),
                _ => best = vec![(score, output)],
            }
        }
        let mut best = best.into_iter();
        match (best.next(), best.next()) {
            (Some((_, output)), None) => Ok(Some(output)),
            (None, _) => Ok(None),
            (Some((_, first)), Some(_)) if types.iter().any(|ty| ty.oid == oid::UNKNOWN) => Ok(Some(first)),
            (Some(_), Some(_)) => Err(Error::new(
                SqlState::AMBIGUOUS_FUNCTION,
                format!("function {name}({}) is not unique", super::format::type_list(types)),
            )
            .hint("Could not choose a best candidate function. You might need to add explicit type casts.")),
        }
    }
}

/// How well a function fits: exact types count most, then preferred ones.
fn matches(function: &Function, types: &[PgType]) -> Option<(i32, Output)> {
    let fixed = function.args.len();
    let enough = if function.variadic {
        types.len() >= fixed
    } else {
        types.len() == fixed
    };
    if !enough {
        return None;
    }
    let declared = |at: usize| function.args.get(at).or(function.args.last()).copied();
    // What the polymorphic arguments stand for.
    let mut element: Option<PgType> = None;
    for (at, ty) in types.iter().enumerate() {
        let known = match declared(at)? {
            ANYARRAY if ty.oid != oid::UNKNOWN => Some(PgType::new(element_of(ty.oid)?)),
            ANYELEMENT if ty.oid != oid::UNKNOWN => Some(PgType::new(ty.oid)),
            _ => None,
        };
        let Some(known) = known else { continue };
        element = Some(match element {
            None => known,
            Some(element) if element.oid == known.oid => element,
            Some(element) if cast::allowed(known, element, Context::Implicit) => element,
            Some(element) if cast::allowed(element, known, Context::Implicit) => known,
            Some(_) => return None,
        });
    }
    let mut score = 0;
    let mut args = Vec::with_capacity(types.len());
    for (at, ty) in types.iter().enumerate() {
        let wanted = match declared(at)? {
            ANY => {
                args.push(if ty.oid == oid::UNKNOWN {
                    PgType::TEXT
                } else {
                    *ty
                });
                continue;
            }
            ANYELEMENT => element.unwrap_or(PgType::TEXT),
            // The vectors keep their type: it says what their subscripts are.
            ANYARRAY if matches!(ty.oid, oid::INT2VECTOR | oid::OIDVECTOR) => *ty,
            ANYARRAY => PgType::new(array_of(element.unwrap_or(PgType::TEXT).oid)?),
            oid => PgType::new(oid),
        };
        if ty.oid == oid::UNKNOWN {
            // A string literal prefers text.
            if category(wanted) == 'S' {
                score += 3;
            } else if preferred(wanted) {
                score += 1;
            }
        } else if ty.oid == wanted.oid {
            // A type that is named comes before one that stands for any.
            let named = declared(at) == Some(wanted.oid);
            score += if named { 100 } else { 99 };
        } else if cast::allowed(*ty, wanted, Context::Implicit) {
            score += if preferred(wanted) { 2 } else { 0 };
            score += if category(*ty) == category(wanted) {
                3
            } else {
                0
            };
        } else {
            return None;
        }
        args.push(wanted);
    }
    let result = match function.result {
        ANYELEMENT => element.unwrap_or(PgType::TEXT),
        ANYARRAY => PgType::new(array_of(element.unwrap_or(PgType::TEXT).oid)?),
        oid => PgType::new(oid),
    };
    if function.variadic {
        score -= 1;
    }
    Some((
        score,
        Output {
            function: function.clone(),
            args,
            result,
        },
    ))
}

fn category(ty: PgType) -> char {
    physical(ty.oid).map_or('X', |physical| physical.1)
}

fn preferred(ty: PgType) -> bool {
    matches!(
        ty.oid,
        oid::BOOL | oid::TEXT | oid::FLOAT8 | oid::OID | oid::TIMESTAMPTZ | oid::INTERVAL
    )
}
