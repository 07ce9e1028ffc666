//! What memory arrays hold: strings lie in buffers, which an array shares with those that it was cut or
//! copied from.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray, ListArray};
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
            let values = own(list.values().clone());
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            match ListArray::try_new(field.clone(), offsets, values, nulls) {
                Ok(list) => Arc::new(list),
                Err(_) => array,
            }
        }
        _ => array,
    }
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
        DataType::List(_) => strings(array.as_list::<i32>().values().as_ref()),
        _ => (0, 0),
    }
}
