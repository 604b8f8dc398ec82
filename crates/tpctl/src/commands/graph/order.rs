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

/// How many letters must change, come, go or change places with the next to make one of the other (optimal string alignment).
pub fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
    let (a, b) = (letters(a), letters(b));
    // Row i has the distances of the first i letters of a and all beginnings of b; two rows back is where exchanges come from.
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&row, j) + usize::from(x != y)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let exchanged = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if exchanged {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
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
    fn distances_count_edits() {
        for (a, b, wanted) in [
            ("", "", 0),
            ("abc", "", 3),
            ("web", "wbe", 1),
            ("LS-A", "ls-a", 0),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (wanted, wanted), "{a} {b}");
        }
    }
}
