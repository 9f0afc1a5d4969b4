//! Values from elsewhere: `${VAR}` and `${VAR:-default}` in strings, and `file:/path` for a string that is a
//! file's content.
//!
//! It works on the parsed strings, not on the text before parsing: a variable's value can then neither break
//! the syntax nor smuggle in a key, and positions stay those of the file. What came from elsewhere is not
//! looked into again. `$${` writes a plain `${`.

use std::{
    fs::File,
    io::{self, Read},
};

/// The longest file that a value may be: far above any key or certificate.
const MOST_BYTES: u64 = 64 * 1024;

/// Looks up a variable of the environment.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The value of a string, where it is not what is written: `None` says that it is.
///
/// # Errors
/// What is wrong, in words; no value of a variable or content of a file is among them.
pub(super) fn resolve(written: &str, env: Env<'_>) -> Result<Option<String>, String> {
    let is_file = written.starts_with("file:/");
    if !is_file && !written.contains("${") {
        return Ok(None);
    }
    let value = substitute(written, env)?;
    match value.strip_prefix("file:").filter(|_| is_file) {
        Some(path) => read(path).map(Some),
        None => Ok(Some(value)),
    }
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

/// A file's content without the line break at its end.
fn read(path: &str) -> Result<String, String> {
    let content = File::open(path).and_then(|file| {
        let mut content = String::new();
        file.take(MOST_BYTES + 1).read_to_string(&mut content)?;
        if content.len() as u64 > MOST_BYTES {
            return Err(io::Error::other("it is over 64 KiB"));
        }
        Ok(content)
    });
    match content {
        Ok(content) => {
            Ok(content.strip_suffix('\n').map_or(&*content, |line| line.trim_end_matches('\r')).to_owned())
        }
        Err(error) => Err(format!("cannot read the file `{path}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::resolve;

    fn env(name: &str) -> Option<String> {
        match name {
            "KEY" => Some("sk-1".to_owned()),
            "NESTED" => Some("${KEY}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn check(written: &str, expected: Result<Option<&str>, &str>) {
        match (resolve(written, &env), expected) {
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
    fn what_cannot_be_resolved_is_said() {
        check("${NO}", Err("the variable `NO` is not set"));
        check("${NO", Err("not closed"));
        check("${}", Err("no name of a variable"));
        check("${1A}", Err("no name of a variable"));
        check("file:/nowhere/at/all", Err("cannot read the file `/nowhere/at/all`"));
    }
}
