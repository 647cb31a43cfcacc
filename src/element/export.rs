//! The element list as hooks and callers get it: `IMAGE_ELEMENT`, `IMAGE_ELEMENT_YAML`,
//! `get_image_element_array`, and the output of `element-info` (contract 1.5).

use std::fmt::Write;

use crate::element::resolve::Resolution;

/// The name of the bash function that every hook can call.
pub const ARRAY_FUNCTION: &str = "get_image_element_array";

/// `IMAGE_ELEMENT`: the names with spaces between.
pub fn image_element(resolution: &Resolution) -> String {
    resolution.names().collect::<Vec<_>>().join(" ")
}

/// `IMAGE_ELEMENT_YAML`: a map from name to directory, sorted by name.
pub fn image_element_yaml(resolution: &Resolution) -> String {
    let mut elements: Vec<_> = resolution.elements.iter().collect();
    elements.sort_by(|a, b| a.name.cmp(&b.name));
    let mut text = String::new();
    for element in elements {
        let dir = element.dir.to_string_lossy();
        let _ok = writeln!(text, "{}: {}", yaml_scalar(&element.name), yaml_scalar(&dir));
    }
    text
}

/// What [`ARRAY_FUNCTION`] prints: the inside of a bash associative array from name to directory.
pub fn element_array(resolution: &Resolution) -> String {
    resolution.elements.iter().map(|e| format!("[{}]={} ", e.name, e.dir.display())).collect()
}

/// The value of the exported function as bash hands it on in the environment, under [`array_function_variable`].
pub fn array_function(resolution: &Resolution) -> String {
    format!("() {{  echo {}\n}}", shell_quoted(&element_array(resolution)))
}

/// The environment variable that carries an exported bash function (bash 4.3 and later).
pub fn array_function_variable() -> String {
    format!("BASH_FUNC_{ARRAY_FUNCTION}%%")
}

/// The shell text of `element-info --env`.
pub fn element_info_env(resolution: &Resolution) -> String {
    format!(
        "export IMAGE_ELEMENT={}\nexport IMAGE_ELEMENT_YAML={}\nfunction {ARRAY_FUNCTION} {{\n  echo {};\n}};\nexport -f {ARRAY_FUNCTION};\n",
        shell_quoted(&image_element(resolution)),
        shell_quoted(&image_element_yaml(resolution)),
        shell_quoted(&element_array(resolution)),
    )
}

/// The text in single quotes, as one shell word.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The text as a YAML scalar: plain where no reader could take it for something else.
fn yaml_scalar(text: &str) -> String {
    const WORDS: &[&str] = &["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./+@".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;
    use crate::element::resolve::ResolvedElement;

    fn resolution(elements: &[(&str, &str)]) -> Resolution {
        let element = |(name, dir): &(&str, &str)| ResolvedElement {
            name: (*name).to_owned(),
            dir: PathBuf::from(dir),
            requested: false,
            required_by: vec![],
        };
        let elements = elements.iter().map(element).collect();
        Resolution { elements, graph: Default::default(), provided: Default::default() }
    }

    #[test]
    fn e16_bash_reads_the_list_back() {
        let resolution = resolution(&[("vm", "/e/vm"), ("base", "/e/base")]);
        assert_eq!(image_element_yaml(&resolution), "base: /e/base\nvm: /e/vm\n");
        let check = "eval \"declare -A all=($(get_image_element_array))\"\n\
             echo \"$IMAGE_ELEMENT|$IMAGE_ELEMENT_YAML|${all[vm]}|${all[base]}|$(bash -c get_image_element_array)|\"\n";
        let expected = "vm base|base: /e/base\nvm: /e/vm\n|/e/vm|/e/base|[vm]=/e/vm [base]=/e/base |\n";
        let by_text = Command::new("bash").arg("-c").arg(element_info_env(&resolution) + check).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&by_text.stdout), expected);
        let by_environment = Command::new("bash")
            .arg("-c")
            .arg(check)
            .env("IMAGE_ELEMENT", image_element(&resolution))
            .env("IMAGE_ELEMENT_YAML", image_element_yaml(&resolution))
            .env(array_function_variable(), array_function(&resolution))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&by_environment.stdout), expected);
    }

    #[test]
    fn scalars_that_yaml_would_read_as_something_else_are_quoted() {
        assert_eq!(yaml_scalar("yes"), "'yes'");
        assert_eq!(yaml_scalar("/a: b"), "'/a: b'");
        assert_eq!(yaml_scalar("7z"), "'7z'");
    }
}
