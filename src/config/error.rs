//! What is wrong with a configuration, said so that its author can repair it.

use std::fmt;

/// A configuration the server cannot start with. Where the reference exits with code 2, so do we.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file as it was named, or where else the setting came from: `JVMFLAGS`.
    pub file: String,
    /// Line of the entry; the first line is 1. None when nothing in the file is to blame.
    pub line: Option<usize>,
    /// The key, or empty when the whole file is meant.
    pub key: String,
    /// The value as written, if there is one.
    pub value: Option<String>,
    /// What must be different.
    pub problem: String,
}

impl ConfigError {
    /// Exit code of a process that stops for this. Reference: `ExitCode.INVALID_INVOCATION`.
    pub const EXIT_CODE: u8 = 2;

    pub(super) fn file(file: &str, problem: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, key: String::new(), value: None, problem: problem.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(out, " line {line}")?;
        }
        if !self.key.is_empty() {
            write!(out, ": {}", self.key)?;
            if let Some(value) = &self.value {
                write!(out, "={value}")?;
            }
        }
        write!(out, ": {}", self.problem)
    }
}
