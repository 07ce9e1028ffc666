//! Trigonometry in degrees, exact where the result is.

use super::super::registry::Definitions;
use super::bad_input;
use super::float::{RADIANS_PER_DEGREE, f8, float_at};
use crate::error::Result;
use crate::types::Datum;

pub(super) fn define(all: &mut Definitions) {
    all.add("sind", "float8", "float8", |_, a| {
        finite(float_at(a, 0), sind)
    });
    all.add("cosd", "float8", "float8", |_, a| {
        finite(float_at(a, 0), cosd)
    });
    all.add("tand", "float8", "float8", |_, a| {
        finite(float_at(a, 0), tand)
    });
    all.add("cotd", "float8", "float8", |_, a| {
        finite(float_at(a, 0), cotd)
    });
    all.add("asind", "float8", "float8", |_, a| {
        super::float::in_unit(
            float_at(a, 0),
            |x| {
                if x >= 0.0 { asind(x) } else { -asind(-x) }
            },
        )
    });
    all.add("acosd", "float8", "float8", |_, a| {
        super::float::in_unit(float_at(a, 0), |x| {
            if x >= 0.0 { acosd(x) } else { 90.0 + asind(-x) }
        })
    });
    all.add("atand", "float8", "float8", |_, a| {
        f8(float_at(a, 0).atan() / 1.0_f64.atan() * 45.0)
    });
    all.add("atan2d", "float8,float8", "float8", |_, a| {
        f8(float_at(a, 0).atan2(float_at(a, 1)) / 1.0_f64.atan() * 45.0)
    });
}

fn finite(value: f64, function: fn(f64) -> f64) -> Result<Datum<'static>> {
    if value.is_infinite() {
        return Err(bad_input());
    }
    f8(function(value))
}

fn sin_to_30(x: f64) -> f64 {
    (x * RADIANS_PER_DEGREE).sin() / (30.0 * RADIANS_PER_DEGREE).sin() / 2.0
}

fn cos_to_60(x: f64) -> f64 {
    let unit = 1.0 - (60.0 * RADIANS_PER_DEGREE).cos();
    1.0 - (1.0 - (x * RADIANS_PER_DEGREE).cos()) / unit / 2.0
}

/// Sine and cosine from 0 to 90 degrees.
fn sin_quarter(x: f64) -> f64 {
    if x <= 30.0 {
        sin_to_30(x)
    } else {
        cos_to_60(90.0 - x)
    }
}

fn cos_quarter(x: f64) -> f64 {
    if x <= 60.0 {
        cos_to_60(x)
    } else {
        sin_to_30(90.0 - x)
    }
}

/// The angle in the first quarter, whether it was turned over the horizontal, and over the vertical.
fn fold(x: f64) -> (f64, bool, bool) {
    let mut angle = x % 360.0;
    let mut below = false;
    if angle < 0.0 {
        angle = -angle;
        below = true;
    }
    if angle > 180.0 {
        angle = 360.0 - angle;
        below = !below;
    }
    if angle > 90.0 {
        (180.0 - angle, below, true)
    } else {
        (angle, below, false)
    }
}

fn signed(value: f64, negative: bool) -> f64 {
    // No negative zero.
    let value = if negative { -value } else { value };
    if value == 0.0 { 0.0 } else { value }
}

fn sind(x: f64) -> f64 {
    let (angle, below, _) = fold(x);
    let value = sin_quarter(angle);
    if below { -value } else { value }
}

fn cosd(x: f64) -> f64 {
    let (angle, _, left) = fold(x);
    let value = cos_quarter(angle);
    if left { -value } else { value }
}

fn tand(x: f64) -> f64 {
    let (angle, below, left) = fold(x);
    let unit = sin_quarter(45.0) / cos_quarter(45.0);
    signed(
        sin_quarter(angle) / cos_quarter(angle) / unit,
        below != left,
    )
}

fn cotd(x: f64) -> f64 {
    let (angle, below, left) = fold(x);
    let unit = cos_quarter(45.0) / sin_quarter(45.0);
    signed(
        cos_quarter(angle) / sin_quarter(angle) / unit,
        below != left,
    )
}

fn asind(x: f64) -> f64 {
    if x <= 0.5 {
        x.asin() / 0.5_f64.asin() * 30.0
    } else {
        90.0 - x.acos() / 0.5_f64.acos() * 60.0
    }
}

fn acosd(x: f64) -> f64 {
    if x <= 0.5 {
        90.0 - x.asin() / 0.5_f64.asin() * 30.0
    } else {
        x.acos() / 0.5_f64.acos() * 60.0
    }
}
