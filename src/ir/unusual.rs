//! Constants that are no dense arrays of numbers.

use super::graph::{Graph, Source, ValueId};
use super::tensors::tensor_from_proto;
use crate::error::{Error, Result};
use crate::proto::TensorProto;
use crate::tensor::{DataType, Tensor};
use bytes::Bytes;

/// A constant of strings, or a sparse one.
#[derive(Debug, Clone, PartialEq)]
pub struct Unusual {
    /// What it is: type and shape.
    pub said: String,
    /// How many elements are stored.
    pub count: usize,
    strings: Vec<Bytes>,
    /// The numbers of a sparse tensor, and where they are.
    sparse: Option<[Tensor; 2]>,
}

/// Whether the elements of a tensor are strings.
pub(super) fn holds_strings(tensor: &TensorProto) -> bool {
    tensor.data_type() == DataType::String.onnx()
}

impl Graph {
    /// The constant that `value` holds, if that is one of strings or a sparse one.
    ///
    /// # Errors
    /// When the stored tensor is malformed.
    pub fn unusual(&self, value: ValueId) -> Result<Option<Unusual>> {
        let known = self.value(value);
        if known.source() != Source::Initializer {
            return Ok(None);
        }
        match &known.constant {
            Some(tensor) if holds_strings(tensor) => {
                let (said, strings) = (format!("string, shape {:?}", tensor.dims), tensor.string_data.clone());
                Ok(Some(Unusual { said, count: strings.len(), strings, sparse: None }))
            }
            Some(_) => Ok(None),
            None => self.sparse(known.name()).map_err(|why| Error::value(known.name(), why)),
        }
    }

    fn sparse(&self, name: &str) -> Result<Option<Unusual>> {
        let mut all = self.rest.sparse_initializer.iter();
        let found = all.find(|sparse| sparse.values.as_ref().is_some_and(|values| values.name() == name));
        let Some((sparse, values)) = found.and_then(|sparse| Some((sparse, sparse.values.as_ref()?))) else {
            return Ok(None);
        };
        let indices = sparse.indices.as_ref().ok_or_else(|| Error::other("a sparse tensor has no indices"))?;
        let (values, indices) = (tensor_from_proto(values)?, tensor_from_proto(indices)?);
        let said = format!("sparse {}, shape {:?}, {} stored", values.dtype(), sparse.dims, values.len());
        Ok(Some(Unusual { said, count: values.len(), strings: vec![], sparse: Some([values, indices]) }))
    }
}
