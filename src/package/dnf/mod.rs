//! What dnf says when it fails, versions 4 and 5: read from its output, and put in a few words.
//!
//! dnf has one exit status for every failure, and what it says of one is spread over a page of progress.
//! [`failure`] finds the reason in the lines, [`scriptlets::failed`] the failures that dnf itself takes for
//! warnings, and [`explain`] makes the message, with what the caller looked up about the surroundings.

pub mod explain;
mod reading;
pub mod repositories;
pub mod scriptlets;

pub use explain::{Explanation, Surroundings};
pub use reading::failure;
pub use scriptlets::Scriptlet;

/// Why dnf failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Nothing in the repositories has these names.
    NotFound {
        /// Names of packages, or of what they provide.
        packages: Vec<String>,
        /// Names of groups, without `@`.
        groups: Vec<String>,
    },
    /// The packages cannot be installed together; the solver's reasons, the decisive ones first.
    Dependencies(Vec<String>),
    /// A repository's data cannot be had.
    Metadata {
        /// Its id.
        repository: String,
        /// Why.
        reason: Reason,
    },
    /// Offline, and the cache does not have this repository.
    NotCached {
        /// Its id.
        repository: String,
    },
    /// A package cannot be downloaded.
    Download {
        /// Its file name.
        file: String,
        /// Why.
        reason: Reason,
    },
    /// A package's signature is not what it has to be.
    Signature {
        /// Its file or full name.
        package: String,
        /// What is wrong.
        fault: SignatureFault,
        /// Addresses of the keys that the repository names, if dnf told them.
        keys: Vec<String>,
    },
    /// A key cannot be had.
    Key(Reason),
    /// rpm refused the transaction before it began: conflicting files, say.
    Transaction(Vec<String>),
    /// There is not enough room for the packages.
    Space(Vec<String>),
    /// Scripts of packages failed, and with them the installation.
    Scriptlets(Vec<Scriptlet>),
    /// Something else: dnf's own last words.
    Other(Vec<String>),
}

/// Why something cannot be downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The server's status.
    Status {
        /// 404, say.
        code: u16,
        /// What was asked for.
        url: String,
    },
    /// A `file://` that is not there.
    NoFile {
        /// Its address.
        url: String,
    },
    /// No connection: refused, no such host, timeout.
    Unreachable {
        /// What was asked for.
        url: String,
        /// curl's words.
        why: String,
    },
    /// The server's certificate is not accepted.
    Certificate {
        /// What was asked for.
        url: String,
        /// curl's words.
        why: String,
    },
    /// It came, but is not what the repository says that it is.
    Checksum,
    /// It came in part.
    Truncated {
        /// What was asked for.
        url: String,
    },
    /// What came as repomd.xml is something else; the parser's words.
    Garbage(String),
    /// The mirror list has no mirror.
    NoMirror,
    /// Something else: dnf's words.
    Other(String),
}

/// What is wrong with a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureFault {
    /// There is none.
    Missing,
    /// It is of a key that the repository does not name.
    OtherKey,
    /// None of the files that the repository names holds a key that can be used.
    NoUsableKey,
    /// It does not fit the package.
    Broken,
}
