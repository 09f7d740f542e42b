//! What can go wrong, in words for the person who has to mend it.
//!
//! Every error says where (a file, a line of the policy, a node, a value), what was expected,
//! what was found, and, where there is something to do, what to do.

use std::path::{Path, PathBuf};

/// The library's result.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure and the place it belongs to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something about a file: unreadable, truncated, of the wrong kind, unwritable.
    #[error("{}: {message}", path.display())]
    File {
        /// The file as the user named it.
        path: PathBuf,
        /// What was expected, what was found, what to do.
        message: String,
    },
    /// Something a line of the policy says. Lines and columns count from one.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Policy {
        /// The policy's file.
        path: PathBuf,
        /// Line, from one.
        line: usize,
        /// Column, from one.
        column: usize,
        /// What is wrong with it.
        message: String,
    },
    /// Something about one node of the graph.
    #[error("in node {node:?} ({op_type}): {message}")]
    Node {
        /// The node's name, or the name of its first output where it has none.
        node: String,
        /// The operator.
        op_type: String,
        /// What is wrong with it.
        message: String,
    },
    /// Something about one value (a tensor) of the graph.
    #[error("value {value:?}: {message}")]
    Value {
        /// The value's name.
        value: String,
        /// What is wrong with it.
        message: String,
    },
    /// The engine cannot run a model: it lacks an operator, or the model is at fault.
    #[error("{0}")]
    Engine(String),
    /// Anything that has no narrower place.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// An error about the file at `path`.
    pub fn file(path: impl AsRef<Path>, message: impl ToString) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), message: message.to_string() }
    }

    /// An error about the value called `value`.
    pub fn value(value: impl Into<String>, message: impl ToString) -> Self {
        Self::Value { value: value.into(), message: message.to_string() }
    }

    /// An error about the node called `node`, which runs `op_type`.
    pub fn node(node: impl Into<String>, op_type: impl Into<String>, message: impl ToString) -> Self {
        Self::Node { node: node.into(), op_type: op_type.into(), message: message.to_string() }
    }

    /// The same with the name of the model's file before it, where it tells of a node, a value or the engine alone.
    #[must_use]
    pub fn in_model(self, path: &Path) -> Self {
        match self {
            Self::Node { .. } | Self::Value { .. } | Self::Engine(_) => Self::file(path, self),
            placed => placed,
        }
    }

    /// The same error, with the model at `path` where it is one of the engine.
    #[must_use]
    pub fn of_engine(self, path: &Path) -> Self {
        match self {
            Self::Engine(why) => Self::file(path, why),
            other => other,
        }
    }

    /// An error without a narrower place.
    pub fn other(message: impl ToString) -> Self {
        Self::Other(message.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_named_where_nothing_else_is() {
        let path = Path::new("a.onnx");
        assert_eq!(Error::value("x", "is odd").in_model(path).to_string(), "a.onnx: value \"x\": is odd");
        assert_eq!(Error::Engine("no".to_owned()).in_model(path).to_string(), "a.onnx: no");
        assert_eq!(Error::file("b.yaml", "is odd").in_model(path).to_string(), "b.yaml: is odd");
    }
}
