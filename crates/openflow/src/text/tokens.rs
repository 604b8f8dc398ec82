//! Cutting a line into `key=value`, `key:value` and `key(arguments)`, as `ovs-ofctl` does.

use crate::ParseError;

/// One piece of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    /// All of it.
    pub(super) text: &'a str,
    /// What stands before the first `=`, `:` or `(`.
    pub(super) key: &'a str,
    /// What stands after it; from the parenthesis on if it was one.
    pub(super) rest: &'a str,
}

/// Cuts at commas and blanks that are not inside of parentheses.
pub(super) fn split(line: &str) -> Result<Vec<Token<'_>>, ParseError> {
    let mut tokens = Vec::new();
    let mut depth = 0usize;
    let mut start = None;
    for (i, c) in line.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => {
                let unopened = || ParseError::new(line, "a parenthesis closes that was never opened");
                depth = depth.checked_sub(1).ok_or_else(unopened)?;
            }
            _ => {}
        }
        let separates = depth == 0 && matches!(c, ',' | ' ' | '\t' | '\r' | '\n');
        match (separates, start) {
            (true, Some(from)) => {
                tokens.extend(line.get(from..i).map(token));
                start = None;
            }
            (false, None) => start = Some(i),
            _ => {}
        }
    }
    if depth > 0 {
        return Err(ParseError::new(line, "a parenthesis is never closed"));
    }
    tokens.extend(start.and_then(|from| line.get(from..)).map(token));
    Ok(tokens)
}

fn token(text: &str) -> Token<'_> {
    let end = text.find(['=', ':', '(']).unwrap_or(text.len());
    let (key, rest) = text.split_at(end);
    Token { text, key, rest: rest.strip_prefix(['=', ':']).unwrap_or(rest) }
}

impl<'a> Token<'a> {
    /// The arguments, parentheses taken off; what follows them is an error.
    pub(super) fn arguments(&self) -> Result<&'a str, ParseError> {
        match self.arguments_then()? {
            (inner, "") => Ok(inner),
            (_, after) => Err(ParseError::new(after, format!("does not belong after {}(...)", self.key))),
        }
    }

    /// The arguments, and what follows the closing parenthesis.
    pub(super) fn arguments_then(&self) -> Result<(&'a str, &'a str), ParseError> {
        let Some(inner) = self.rest.strip_prefix('(') else { return Ok((self.rest, "")) };
        let mut depth = 1usize;
        for (i, c) in inner.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let (arguments, after) = inner.split_at(i);
                return Ok((arguments, after.strip_prefix(')').unwrap_or(after)));
            }
        }
        Err(ParseError::new(self.text, "a parenthesis is never closed"))
    }

    /// An error about this piece.
    pub(super) fn error(&self, why: impl Into<String>) -> ParseError {
        ParseError::new(self.text, why)
    }
}
