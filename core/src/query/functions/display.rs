//! Values that are shown otherwise than they are computed with: OIDs by their names.

use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;

use super::super::bind::Typed;
use super::casts::names_function;
use crate::types::{PgType, oid};

/// The expression to show instead; `None` when the column already shows what it should.
pub(in crate::query) fn display(typed: &Typed) -> Option<Typed> {
    let expr = match typed.ty.oid {
        oid::REGCLASS | oid::REGPROC | oid::REGTYPE | oid::REGNAMESPACE | oid::REGROLE => {
            named(typed)
        }
        _ => return None,
    };
    Some(Typed {
        expr,
        ty: typed.ty,
        data: DataType::Utf8View,
    })
}

/// The name that an OID stands for.
fn named(typed: &Typed) -> Expr {
    let function = names_function(typed.ty, PgType::TEXT);
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![typed.expr.clone()]))
}
