//! What is written into the runner's files (`GITHUB_OUTPUT`): `NAME<<DELIMITER`, the value, `DELIMITER`.

/// One output. `None` if the value holds the delimiter: it was not random enough, or somebody knew it.
pub fn output(name: &str, value: &str, delimiter: &str) -> Option<String> {
    // The runner ends lines at any of these.
    let inside = value.split(['\n', '\r']).any(|line| line == delimiter);
    (!inside).then(|| format!("{name}<<{delimiter}\n{value}\n{delimiter}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_can_not_be_the_beginning_of_another_output() {
        assert_eq!(output("run", "r1", "D1").as_deref(), Some("run<<D1\nr1\nD1\n"));
        assert_eq!(output("run", "r1\nEOF\nadmin=yes", "D1").as_deref(), Some("run<<D1\nr1\nEOF\nadmin=yes\nD1\n"), "another delimiter is text");
        assert_eq!(output("run", "r1\nD1\nadmin=yes", "D1"), None);
        assert_eq!(output("run", "r1\rD1\radmin=yes", "D1"), None);
    }
}
