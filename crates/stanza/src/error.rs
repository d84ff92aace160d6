//! What can be wrong with a stanza.

use thiserror::Error;

use crate::iq::IqError;

/// A stanza that does not have the form of its kind.
///
/// `element` is the path from the root, `iq/list/user/skey` for instance. Values are never part of the text, because
/// they may name people.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StanzaError {
    /// The root element is another one.
    #[error("<{found}> where <{expected}> was expected")]
    Tag {
        /// The tag, or tags, that would do.
        expected: &'static str,
        /// The tag that is there.
        found: String,
    },
    /// A required attribute is absent.
    #[error("<{element}> lacks the attribute `{attribute}`: expected {expected}")]
    MissingAttribute {
        /// Path of the element.
        element: String,
        /// Name of the attribute.
        attribute: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// An attribute has a value of another form.
    #[error("the attribute `{attribute}` of <{element}> is not {expected}")]
    BadAttribute {
        /// Path of the element.
        element: String,
        /// Name of the attribute.
        attribute: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// A required child is absent.
    #[error("<{element}> lacks the child <{child}>: expected {expected}")]
    MissingChild {
        /// Path of the element.
        element: String,
        /// Tag of the child.
        child: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// The content has the wrong size or kind.
    #[error("<{element}> holds {found}: expected {expected}")]
    BadContent {
        /// Path of the element.
        element: String,
        /// What should be there.
        expected: &'static str,
        /// What is there, without the content itself.
        found: Found,
    },
}

/// What stands where something else was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Found {
    /// No content at all.
    #[error("nothing")]
    Nothing,
    /// Children.
    #[error("child elements")]
    Children,
    /// So many bytes.
    #[error("{0} bytes")]
    Bytes(usize),
    /// So many elements.
    #[error("{0} elements")]
    Elements(usize),
}

/// Why a request has no good answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The server refused the request.
    #[error("the server refused the request")]
    Refused(#[source] IqError),
    /// The answer does not have the form of an answer to this request.
    #[error("the answer cannot be read")]
    Malformed(#[source] StanzaError),
}

impl From<StanzaError> for ReplyError {
    fn from(error: StanzaError) -> Self {
        Self::Malformed(error)
    }
}
