//! Variables in a description's file, so that an element's layout can leave sizes to the caller.

/// Puts values in the place of `${NAME}`, `${NAME:-TEXT}` (the text if the variable is not set or empty) and
/// `${NAME:+TEXT}` (the text if it is neither). Texts may have several lines and variables in them. A dollar sign
/// without a brace stays.
///
/// # Errors
/// What is wrong: a brace that is not closed, something that is no name, a variable that is needed and not set.
pub fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        out.push_str(before);
        let end = closing(behind).ok_or_else(|| {
            let line = behind.lines().next().unwrap_or_default();
            format!("the brace of '${{{line}' is not closed")
        })?;
        out.push_str(&one(&behind[..end], lookup)?);
        rest = &behind[end + 1..];
    }
    Ok(out + rest)
}

/// Where the brace closes that was opened before the text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn one(inside: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
    let (name, how) = inside.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("'${{{inside}}}' names no variable"));
    }
    let value = lookup(name).filter(|value| !value.is_empty());
    match (how.get(..2), value) {
        (Some(":-"), Some(value)) | (None, Some(value)) if how.is_empty() || how.starts_with(":-") => Ok(value),
        (Some(":-"), None) => expand(&how[2..], lookup),
        (Some(":+"), Some(_)) => expand(&how[2..], lookup),
        (Some(":+"), None) => Ok(String::new()),
        (None, None) if how.is_empty() => Err(format!("the variable {name} is not set")),
        _ => Err(format!("'${{{inside}}}' is not understood: ${{NAME}}, ${{NAME:-TEXT}} and ${{NAME:+TEXT}} are")),
    }
}

#[cfg(test)]
mod tests {
    use super::expand;

    fn given(text: &str) -> Result<String, String> {
        let lookup = |name: &str| match name {
            "SIZE" => Some("2GiB".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        expand(text, &lookup)
    }

    #[test]
    fn values_and_texts_take_the_place_of_variables() {
        assert_eq!(
            given("size: ${SIZE}, ${SIZE:-1GiB}, ${NO:-1GiB}, ${EMPTY:-1GiB}").unwrap(),
            "size: 2GiB, 2GiB, 1GiB, 1GiB"
        );
        assert_eq!(given("a${SIZE:+\n- b: {c: ${SIZE}}\n}d${NO:+e}").unwrap(), "a\n- b: {c: 2GiB}\nd");
        assert_eq!(given("${NO:-${SIZE}} $NO 5$").unwrap(), "2GiB $NO 5$");
    }

    #[test]
    fn mistakes_are_told() {
        assert_eq!(given("${NO}").unwrap_err(), "the variable NO is not set");
        assert!(given("${SIZE\nx").unwrap_err().contains("'${SIZE' is not closed"));
        assert!(given("${1}").unwrap_err().contains("no variable"));
        assert!(given("${SIZE%x}").unwrap_err().contains("not understood"));
        assert!(given("${SIZE:=x}").unwrap_err().contains("not understood"));
    }
}
