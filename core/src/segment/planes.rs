//! Values of one width, byte by byte: the first byte of each, then the second of each, and so on. What
//! differs little between values then stands together, and compresses to a fraction.

/// Appends values of `width` bytes each as planes.
pub(super) fn split(values: &[u8], width: usize, out: &mut Vec<u8>) {
    for plane in 0..width {
        out.extend(values.iter().skip(plane).step_by(width));
    }
}

/// Appends the values that were split; `planes` has a whole number of them.
pub(super) fn join(planes: &[u8], width: usize, out: &mut Vec<u8>) {
    if width == 1 {
        out.extend_from_slice(planes);
        return;
    }
    let start = out.len();
    out.resize(start + planes.len(), 0);
    let count = planes.len() / width.max(1);
    let Some(values) = out.get_mut(start..) else {
        return;
    };
    for (plane, bytes) in planes.chunks_exact(count.max(1)).take(width).enumerate() {
        for (value, byte) in values.chunks_exact_mut(width).zip(bytes) {
            if let Some(slot) = value.get_mut(plane) {
                *slot = *byte;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_split_is_joined() {
        for width in [1, 2, 4, 8, 16, 3] {
            for count in [0, 1, 2, 7, 300] {
                let values: Vec<u8> = (0..width * count).map(|at| (at * 7 % 251) as u8).collect();
                let (mut planes, mut joined) = (Vec::new(), vec![9]);
                split(&values, width, &mut planes);
                join(&planes, width, &mut joined);
                assert_eq!(joined[1..], values);
                assert_eq!(planes.first(), values.first());
            }
        }
    }
}
