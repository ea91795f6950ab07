//! Why a folder could not be opened.

use std::fmt;
use std::path::{Path, PathBuf};

/// A folder could not be opened as history.
#[derive(Debug)]
pub struct OpenError {
    folder: PathBuf,
    kind: OpenErrorKind,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What kept the folder from being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// Another process, or another store of this one, has it open.
    InUse,
    /// It cannot be created, read or written: permissions, a file in its place, a full disk.
    Access,
    /// It was written in a format that this version does not know.
    Format {
        /// The format's number.
        found: u32,
    },
    /// What it holds cannot be what was written there.
    Damaged,
}

impl OpenError {
    pub(super) fn new(folder: &Path, kind: OpenErrorKind) -> Self {
        Self {
            folder: folder.to_owned(),
            kind,
            source: None,
        }
    }

    pub(super) fn because(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kept the folder from being opened.
    #[must_use]
    pub fn kind(&self) -> OpenErrorKind {
        self.kind
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        match self.kind {
            OpenErrorKind::InUse => {
                write!(f, "history folder {folder} is in use by another process")
            }
            OpenErrorKind::Access => {
                write!(f, "history folder {folder} cannot be read and written")
            }
            OpenErrorKind::Format { found } => write!(
                f,
                "history folder {folder} has format {found}, this version knows only {}",
                super::files::FORMAT
            ),
            OpenErrorKind::Damaged => write!(
                f,
                "history folder {folder} is damaged: restore it, or move it away to begin anew"
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}
