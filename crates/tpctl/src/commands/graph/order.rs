//! Names in the order that people expect: `web2` before `web10`.

use std::cmp::Ordering;

/// Compares; numbers within by their value. Total: names that differ are never equal.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        match (left.chars().next(), right.chars().next()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (number, rest) = digits(left);
                let (other, other_rest) = digits(right);
                let by_value = number.len().cmp(&other.len()).then_with(|| number.cmp(other));
                if by_value.is_ne() {
                    return by_value;
                }
                (left, right) = (rest, other_rest);
            }
            (Some(x), Some(y)) if x == y => {
                let next = x.len_utf8();
                (left, right) = (left.get(next..).unwrap_or_default(), right.get(next..).unwrap_or_default());
            }
            (Some(x), Some(y)) => return x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase()).then(x.cmp(&y)),
            (None, None) => return a.cmp(b), // 01 and 1
            (x, y) => return x.is_some().cmp(&y.is_some()),
        }
    }
}

/// The number that a text begins with, without leading zeros, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (number.trim_start_matches('0'), rest)
}

/// How many letters must change, come or go to make one of the other.
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().flat_map(char::to_lowercase).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(left);
        for (y, above) in b.iter().zip(row.iter().skip(1)) {
            left = (left + 1).min(above + 1).min(diagonal + usize::from(x != *y));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_by_value() {
        let mut names = vec!["web10", "web2", "Web1", "db", "web02", "web", "web2a", "10", "9"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["9", "10", "db", "Web1", "web", "web02", "web2", "web2a", "web10"]);
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, wanted) in
            [("", "", 0), ("abc", "", 3), ("web", "wbe", 2), ("LS-A", "ls-a", 0), ("kitten", "sitting", 3)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (wanted, wanted), "{a} {b}");
        }
    }
}
