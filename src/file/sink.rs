//! A protobuf message straight to a file: in memory it would be as large as the model once more.

use super::atomic::Beside;
use crate::error::{Error, Result};
use crate::mapped;
use bytes::buf::UninitSlice;
use bytes::{Buf, BufMut};
use prost::Message;

/// Bytes that small fields are gathered in.
const BUFFER: usize = 1 << 16;

/// Writes `message` to `file`.
///
/// # Errors
/// When the disk is full.
pub fn write(message: &impl Message, file: &mut Beside) -> Result<()> {
    let mut sink = Sink { file, buffer: vec![0; BUFFER], filled: 0, outcome: Ok(()) };
    message.encode(&mut sink).map_err(Error::other)?;
    sink.empty();
    sink.outcome
}

struct Sink<'a> {
    file: &'a mut Beside,
    buffer: Vec<u8>,
    /// How many bytes of the buffer wait to be written; never all of them.
    filled: usize,
    /// The first failure; after it nothing is written.
    outcome: Result<()>,
}

impl Sink<'_> {
    fn empty(&mut self) {
        let filled = std::mem::take(&mut self.filled);
        if self.outcome.is_ok() {
            self.outcome = self.file.write(&self.buffer[..filled]);
        }
    }
}

#[expect(unsafe_code, reason = "the trait is unsafe: see below")]
// SAFETY: `chunk_mut` gives out initialized bytes of the buffer, and `advance_mut` counts no more of them than there are.
unsafe impl BufMut for Sink<'_> {
    fn remaining_mut(&self) -> usize {
        usize::MAX - self.filled
    }

    unsafe fn advance_mut(&mut self, count: usize) {
        assert!(count <= self.buffer.len() - self.filled, "more bytes than there is room for");
        self.filled += count;
        if self.filled == self.buffer.len() {
            self.empty();
        }
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        UninitSlice::new(&mut self.buffer[self.filled..])
    }

    fn put<T: Buf>(&mut self, mut source: T)
    where
        Self: Sized,
    {
        while source.has_remaining() {
            let chunk = source.chunk();
            let count = chunk.len();
            self.put_slice(chunk);
            source.advance(count);
        }
    }

    fn put_slice(&mut self, source: &[u8]) {
        if source.len() >= self.buffer.len() - self.filled {
            self.empty();
        }
        if source.len() >= self.buffer.len() {
            if self.outcome.is_ok() {
                self.outcome = self.file.write(source);
            }
            mapped::let_go(source);
            return;
        }
        self.buffer[self.filled..][..source.len()].copy_from_slice(source);
        self.filled += source.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{GraphProto, ModelProto, TensorProto};

    #[test]
    fn the_file_holds_what_would_be_encoded_in_memory() {
        let tensor = |count: usize| TensorProto {
            raw_data: Some((0..count).map(|i| i as u8).collect::<Vec<_>>().into()),
            float_data: vec![0.5; count / 7],
            ..TensorProto::default()
        };
        let sizes = [0, 1, 100, BUFFER - 20, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER, 5, 70_000];
        let graph = GraphProto { initializer: sizes.map(tensor).to_vec(), ..GraphProto::default() };
        let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = Beside::create(&folder.path().join("model.onnx")).expect("a writable folder");
        write(&model, &mut file).expect("room on the disk");
        file.flush().expect("room on the disk");
        assert!(std::fs::read(file.path()).expect("the file") == model.encode_to_vec());
    }
}
