//! Rust sources, less what does not run: comments, texts and tests.

use std::path::{Path, PathBuf};

use crate::run::root;

/// One file of a crate.
pub(super) struct Source {
    /// From the folder `crates` on.
    pub(super) path: String,
    /// The code. Comments, the insides of texts and items under `#[cfg(test)]` are blanks, so places are those of
    /// the file.
    pub(super) code: String,
}

impl Source {
    /// Where the byte at `offset` is, for a message.
    pub(super) fn place(&self, offset: usize) -> String {
        let before = self.code.as_bytes().get(..offset).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("{}:{line}", self.path)
    }
}

/// The files of a crate's `src`, those of test modules left out.
pub(super) fn of_crate(name: &str) -> Result<Vec<Source>, String> {
    let crates = root().join("crates");
    let mut files = Vec::new();
    collect(&crates.join(name).join("src"), &mut files)?;
    files.sort();
    let mut sources = Vec::new();
    let mut tests = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut code = bare(&text);
        tests.extend(blank_tests(&mut code).into_iter().map(|module| module_file(&file, &module)));
        let path = file.strip_prefix(&crates).unwrap_or(&file).display().to_string();
        sources.push((file, Source { path, code }));
    }
    sources.retain(|(file, _)| !tests.contains(file));
    Ok(sources.into_iter().map(|(_, source)| source).collect())
}

/// What is in a folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    Ok(entries)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    for entry in entries(folder)? {
        if entry.is_dir() {
            collect(&entry, files)?;
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    Ok(())
}

/// The file of `mod module;` in `file`.
fn module_file(file: &Path, module: &str) -> PathBuf {
    let folder = file.parent().unwrap_or(file);
    let stem = file.file_stem().unwrap_or_default();
    let inside = if ["lib", "mod", "main"].iter().any(|root| stem == *root) {
        folder.to_owned()
    } else {
        folder.join(stem)
    };
    inside.join(format!("{module}.rs"))
}

/// Blanks comments and the insides of texts and characters; the length and the lines stay.
fn bare(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = match rest {
            [b'/', b'/', ..] => at + line_length(rest),
            [b'/', b'*', ..] => at + comment_length(rest),
            [b'"', ..] => at + text_length(rest),
            [b'r', b'"' | b'#', ..] if !is_word(bytes.get(at.wrapping_sub(1))) => {
                at + raw_length(rest).unwrap_or(1)
            }
            [b'b', b'r', b'"' | b'#', ..] if !is_word(bytes.get(at.wrapping_sub(1))) => {
                at + 1 + raw_length(&rest[1..]).unwrap_or(1)
            }
            [b'\'', ..] if character_length(rest) > 1 => at + character_length(rest),
            _ => {
                at += 1;
                continue;
            }
        };
        for byte in &mut code[at..end.min(bytes.len())] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8_lossy(&code).into_owned()
}

pub(super) fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

fn line_length(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

fn comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn text_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// The length of `r"…"` or `r#"…"#`; `None` for `r#word`.
fn raw_length(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let end = [&b"\""[..], &b"#".repeat(hashes)].concat();
    let from = 2 + hashes;
    let length = rest[from..].windows(end.len()).position(|window| window == end)?;
    Some(from + length + end.len())
}

/// The length of a character, or of the quote alone where it begins a lifetime.
fn character_length(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        let close = rest.iter().skip(3).position(|byte| *byte == b'\'');
        return close.map_or(rest.len(), |close| close + 4);
    }
    let width = rest.get(1).map_or(1, |first| match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    });
    if rest.get(1 + width) == Some(&b'\'') { width + 2 } else { 1 }
}

/// Blanks the items under `#[cfg(test)]`; gives the names of those that are modules in files of their own.
fn blank_tests(code: &mut String) -> Vec<String> {
    const MARK: &str = "#[cfg(test)]";
    let mut modules = Vec::new();
    while let Some(start) = code.find(MARK) {
        let item = start + MARK.len();
        let end = item_end(code, item);
        let text = &code[item..end];
        if let Some(name) = text.trim().strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
            modules.push(name.trim().to_owned());
        }
        let blank: String = code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(start..end, &blank);
    }
    modules
}

/// The end of the item that begins at `from`: its closing brace, or its semicolon.
pub(super) fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && byte == b'}' {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_run_is_blank() {
        let text = "let a = \"std::fs // \\\" \"; // std::net\nlet 'x: &'a str = r#\"a\"b\"#; /* a /* b */ c */ let c = '\\'';let d = 'é';b";
        let code = bare(text);
        assert_eq!(code.len(), code.trim_end().len());
        let words: Vec<_> = code.split_whitespace().collect();
        assert_eq!(words.join(" "), "let a = ; let 'x: &'a str = ; let c = ;let d = ;b");
        assert_eq!(code.lines().count(), 2);
    }

    #[test]
    fn tests_are_no_part_of_the_code() {
        let mut code =
            "fn a() {}\n#[cfg(test)]\nmod far;\n#[cfg(test)]\nmod tests { fn b() { 1; } }\nfn c() {}"
                .to_owned();
        assert_eq!(blank_tests(&mut code), ["far"]);
        assert_eq!(code.split_whitespace().collect::<Vec<_>>().join(" "), "fn a() {} fn c() {}");
    }
}
