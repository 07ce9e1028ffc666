//! What memory arrays hold: strings lie in buffers, which an array shares with those that it was cut or
//! copied from.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ByteViewType, DataType};

/// Strings keep the buffers that they lie in, unless those are so many times what is used.
const SLACK: usize = 2;

/// The array, without buffers that hardly any of its strings lie in.
pub fn compact(array: ArrayRef) -> ArrayRef {
    let (held, used) = strings(array.as_ref());
    match held > used.saturating_mul(SLACK) {
        true => own(array),
        false => array,
    }
}

/// The array, with no buffer that another one has as well.
pub fn own(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        DataType::List(field) => {
            let list: &ListArray = array.as_list();
            let values = own(items(list));
            let lengths = list.offsets().windows(2).map(|pair| match pair {
                [from, to] => (to - from) as usize,
                _ => 0,
            });
            let (offsets, nulls) = (OffsetBuffer::from_lengths(lengths), list.nulls().cloned());
            match ListArray::try_new(field.clone(), offsets, values, nulls) {
                Ok(list) => Arc::new(list),
                Err(_) => array,
            }
        }
        _ => array,
    }
}

/// The items of the lists, without those that only an array has which they were cut from.
fn items(list: &ListArray) -> ArrayRef {
    let offsets = list.offsets();
    let place = |at: Option<&i32>| at.map_or(0, |at| *at as usize);
    let (from, to) = (place(offsets.first()), place(offsets.last()));
    list.values().slice(from, to - from)
}

/// Bytes of the array's strings.
pub fn string_bytes(array: &dyn Array) -> usize {
    strings(array).1
}

/// Bytes of the buffers that strings lie in, and how many of those they use.
fn strings(array: &dyn Array) -> (usize, usize) {
    fn of<T: ByteViewType>(array: &GenericByteViewArray<T>) -> (usize, usize) {
        let buffers = array.data_buffers().iter();
        let held = buffers.map(|buffer| buffer.capacity()).sum();
        (held, array.total_buffer_bytes_used())
    }
    match array.data_type() {
        DataType::Utf8View => of(array.as_string_view()),
        DataType::BinaryView => of(array.as_binary_view()),
        DataType::List(_) => strings(items(array.as_list()).as_ref()),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ListBuilder, StringViewBuilder};

    use super::*;

    #[test]
    fn a_slice_of_lists_has_its_own_strings_only() {
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for count in [3, 0, 2, 1] {
            for _ in 0..count {
                lists.values().append_value("a text that lies in a buffer");
            }
            lists.append(count > 0);
        }
        // A builder reserves room for more.
        let lists = own(Arc::new(lists.finish()));
        let text = "a text that lies in a buffer".len();
        assert_eq!(string_bytes(&lists), 6 * text);
        let slice = lists.slice(1, 2);
        assert_eq!(string_bytes(&slice), 2 * text);
        assert_eq!(string_bytes(&lists.slice(2, 0)), 0);
        // What others have goes once it is too much.
        let (kept, cut) = (compact(lists.slice(0, 3)), compact(slice.clone()));
        assert_eq!(strings(&kept).0, strings(&lists).0);
        assert_eq!((&cut, &own(slice.clone())), (&slice, &slice));
        assert_eq!(cut.as_list::<i32>().values().len(), 2);
        assert!(strings(&cut).0 < strings(&lists).0);
    }
}
