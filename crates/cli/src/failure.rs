//! How a command ends when it does not end well.

use std::error::Error;
use std::process::ExitCode;

/// What is printed as one sentence, and the exit code that goes with it.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    sentence: String,
}

impl Failure {
    /// The command line or the configuration is wrong: exit code 2.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self { code: 2, sentence: sentence.into() }
    }

    /// The command was right and did not succeed: exit code 1. The sentence says what to do.
    pub(crate) fn runtime(sentence: impl Into<String>) -> Self {
        Self { code: 1, sentence: sentence.into() }
    }

    /// A failure with its causes, each of which says one thing.
    pub(crate) fn from_error(error: &(dyn Error + 'static)) -> Self {
        Self::runtime(with_causes(error))
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub(crate) fn hint(self, advice: &str) -> Self {
        Self { sentence: format!("{}; {advice}", self.sentence), ..self }
    }

    /// What went wrong and what to do about it.
    pub(crate) fn sentence(&self) -> &str {
        &self.sentence
    }

    /// Prints the sentence to standard error.
    pub(crate) fn report(&self) -> ExitCode {
        // One line, whatever a cause may contain.
        let line: Vec<&str> = self.sentence.split_whitespace().collect();
        eprintln!("landbridge: {}", line.join(" "));
        ExitCode::from(self.code)
    }
}

/// An error and its causes, joined by colons. A cause that the sentence before it already ends with is not said twice.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::from_error(&error)
    }
}
