//! How a table's rows become the columns of a segment.

use super::Table;
use crate::error::Result;
use crate::segment::{Layout, LayoutColumn, Shape};
use crate::types::Datum;
use crate::types::text::{self, TextStyle};

impl Table {
    /// Its physical columns, and which of them its row keys are made of, as segments are written.
    ///
    /// # Errors
    /// XX000 when the catalog holds a value that is not of its column's type.
    pub fn shape(&self) -> Result<Shape> {
        let columns = self.columns.iter().map(|column| {
            let missing = match &column.missing {
                Some(value) if !column.dropped => {
                    text::parse(column.ty, value, &TextStyle::default())?
                }
                _ => Datum::Null,
            };
            Ok(LayoutColumn {
                name: column.name.clone(),
                ty: column.ty,
                not_null: column.not_null,
                missing,
                dropped: column.dropped,
            })
        });
        Ok(Shape {
            layout: Layout {
                columns: columns.collect::<Result<_>>()?,
            },
            key: self.primary_key.clone(),
        })
    }
}
