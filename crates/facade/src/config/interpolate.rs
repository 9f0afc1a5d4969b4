//! Values from elsewhere: `${VAR}` and `${VAR:-default}` in strings, and `file:/path` for a string that is a
//! file's content.
//!
//! It works on the parsed strings, not on the text before parsing: a variable's value can then neither break
//! the syntax nor smuggle in a key, and positions stay those of the file. What came from elsewhere is not
//! looked into again. `$${` writes a plain `${`.

use std::{io, path::Path};

/// Looks up a variable of the environment.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a file whole.
pub(super) type Files<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// The value of a string, where it is not what is written: `None` says that it is.
///
/// # Errors
/// What is wrong, in words; no value of a variable or content of a file is among them. Whatever begins as a file does is
/// one, or wrong: as a value it would be sent as a key.
pub(super) fn resolve(written: &str, env: Env<'_>, files: Files<'_>) -> Result<Option<String>, String> {
    let is_file = begins_as_file(written);
    if !is_file && !written.contains("${") {
        return Ok(None);
    }
    let value = substitute(written, env)?;
    if !is_file {
        return Ok(Some(value));
    }
    let path = value.strip_prefix("file:").filter(|path| path.starts_with('/'));
    let path =
        path.ok_or("a file is written `file:` and its path from the root, such as `file:/run/secrets/key`")?;
    content(path, written, files).map(Some)
}

/// Whether a text begins with `file:`, however it is spelt.
pub(super) fn begins_as_file(text: &str) -> bool {
    text.trim_start().get(..5).is_some_and(|start| start.eq_ignore_ascii_case("file:"))
}

fn substitute(written: &str, env: Env<'_>) -> Result<String, String> {
    let mut value = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((before, from)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            value.push_str(before);
            value.push_str("${");
            rest = from;
            continue;
        }
        value.push_str(before);
        let (inside, after) =
            from.split_once('}').ok_or("`${` is not closed by `}`; a plain `${` is written `$${`")?;
        value.push_str(&variable(inside, env)?);
        rest = after;
    }
    value.push_str(rest);
    Ok(value)
}

/// `VAR` or `VAR:-default`; as in a shell the default also stands in for an empty variable.
fn variable(inside: &str, env: Env<'_>) -> Result<String, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    if !is_name {
        return Err(format!("`{name}` is no name of a variable; a plain `${{` is written `$${{`"));
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            Err(format!("the variable `{name}` is not set; set it, or write `${{{name}:-default}}`"))
        }
    }
}

/// A file's content without the line breaks at its end. It is named as it is written: a variable in its path may
/// be secret.
fn content(path: &str, written: &str, files: Files<'_>) -> Result<String, String> {
    let shown = written.strip_prefix("file:").unwrap_or(written);
    let content =
        files(Path::new(path)).map_err(|error| format!("cannot read the file `{shown}`: {error}"))?;
    let value = content.trim_end_matches(['\r', '\n']);
    if value.trim().is_empty() {
        return Err(format!("the file `{shown}` is empty"));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path};

    use super::resolve;

    fn env(name: &str) -> Option<String> {
        match name {
            "KEY" => Some("sk-1".to_owned()),
            "NESTED" => Some("${KEY}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn files(path: &Path) -> io::Result<String> {
        match path.to_str() {
            Some("/run/secrets/key") => Ok("sk-2\r\n\n".to_owned()),
            Some("/run/secrets/sk-1") => Ok("${KEY}".to_owned()),
            Some("/run/secrets/empty") => Ok(" \n".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn check(written: &str, expected: Result<Option<&str>, &str>) {
        match (resolve(written, &env, &files), expected) {
            (Ok(value), Ok(expected)) => assert_eq!(value.as_deref(), expected, "{written}"),
            (Err(message), Err(part)) => assert!(message.contains(part), "{written}: {message}"),
            (got, expected) => panic!("{written}: {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn variables_are_put_in_once() {
        check("plain $5 {x}", Ok(None));
        check("${KEY}", Ok(Some("sk-1")));
        check("a-${KEY}-${KEY}-z", Ok(Some("a-sk-1-sk-1-z")));
        check("${NESTED}", Ok(Some("${KEY}")));
        check("${EMPTY}", Ok(Some("")));
        check("$${KEY} ${KEY}", Ok(Some("${KEY} sk-1")));
    }

    #[test]
    fn a_default_stands_in_for_what_is_unset_or_empty() {
        check("${NO:-us-east}", Ok(Some("us-east")));
        check("${EMPTY:-us-east}", Ok(Some("us-east")));
        check("${KEY:-us-east}", Ok(Some("sk-1")));
        check("${NO:-}", Ok(Some("")));
    }

    #[test]
    fn a_file_is_read_once_and_without_its_last_line_break() {
        check("file:/run/secrets/key", Ok(Some("sk-2")));
        check("file:/run/secrets/${KEY}", Ok(Some("${KEY}")));
        check("file:${NO:-/run}/secrets/key", Ok(Some("sk-2")));
        check("see file:/run/secrets/key", Ok(None));
    }

    /// **A misspelt file is no key.** Fails if one that is no path from the root passes as what is written.
    #[test]
    fn what_begins_as_a_file_is_one_or_wrong() {
        for written in
            ["file:secrets/key", "file: /x", "File:/run/secrets/key", " file:/x", "file:", "file:${KEY}"]
        {
            check(written, Err("its path from the root"));
        }
        check("filet:/x", Ok(None));
    }

    #[test]
    fn what_cannot_be_resolved_is_said() {
        check("${NO}", Err("the variable `NO` is not set"));
        check("${NO", Err("not closed"));
        check("${}", Err("no name of a variable"));
        check("${1A}", Err("no name of a variable"));
        check("file:/nowhere/at/all", Err("cannot read the file `/nowhere/at/all`"));
        check("file:/nowhere/${KEY}", Err("cannot read the file `/nowhere/${KEY}`"));
        check("file:/run/secrets/empty", Err("the file `/run/secrets/empty` is empty"));
    }
}
