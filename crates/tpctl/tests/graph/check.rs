//! Readers of what `tpctl graph` draws, that are too simple to be wrong: a small DOT parser, a small XML parser, rectangles.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A drawing in DOT: the nodes with their attributes, and the edges.
#[derive(Debug, Default)]
pub struct Dot {
    pub nodes: BTreeMap<String, BTreeMap<String, String>>,
    pub edges: Vec<(String, String, BTreeMap<String, String>)>,
}

struct Tokens(VecDeque<String>);

impl Tokens {
    fn next(&mut self) -> String {
        self.0.pop_front().expect("it ends too early")
    }
    fn expect(&mut self, wanted: &str) {
        assert_eq!(self.next(), wanted);
    }
    fn peek(&self) -> &str {
        self.0.front().map(String::as_str).unwrap_or_default()
    }
}

/// Words, quoted strings (as `"` and their content) and punctuation. Every name must be quoted.
fn tokens(text: &str) -> Tokens {
    let (mut tokens, mut chars) = (VecDeque::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '"' => {
                let mut string = "\"".to_owned();
                loop {
                    match chars.next().expect("a string ends") {
                        '"' => break,
                        '\\' => {
                            let next = chars.next().expect("something is escaped");
                            assert!(matches!(next, '"' | '\\' | 'n' | 'l'), "\\{next} in a string");
                            string.push(if next == 'n' || next == 'l' { '\n' } else { next });
                        }
                        c => {
                            assert!(!c.is_control(), "{c:?} in a string");
                            string.push(c);
                        }
                    }
                }
                tokens.push_back(string);
            }
            '-' => {
                assert_eq!(chars.next(), Some('>'), "an edge is ->");
                tokens.push_back("->".to_owned());
            }
            '{' | '}' | '[' | ']' | '=' | ',' | ';' => tokens.push_back(c.to_string()),
            c if c.is_ascii_alphabetic() => {
                let mut word = c.to_string();
                while let Some(c) = chars.next_if(char::is_ascii_alphanumeric) {
                    word.push(c);
                }
                tokens.push_back(word);
            }
            c => panic!("{c:?} is not quoted"),
        }
    }
    Tokens(tokens)
}

fn string(token: String) -> String {
    token.strip_prefix('"').unwrap_or_else(|| panic!("{token} is not quoted")).to_owned()
}

fn attributes(tokens: &mut Tokens) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    tokens.expect("[");
    loop {
        let name = tokens.next();
        tokens.expect("=");
        let value = string(tokens.next());
        assert_eq!(found.insert(name.clone(), value), None, "{name} twice");
        match tokens.next().as_str() {
            "," => {}
            "]" => break,
            other => panic!("{other} among attributes"),
        }
    }
    tokens.expect(";");
    found
}

/// Reads DOT; panics where it is not what we write.
pub fn dot(text: &str) -> Dot {
    let (head, rest) = text.split_once('\n').unwrap();
    let mut head = tokens(head);
    head.expect("digraph");
    string(head.next());
    head.expect("{");
    let body = rest.strip_suffix("}\n").expect("it ends");
    let mut found = Dot::default();
    for line in body.lines() {
        let mut tokens = tokens(line);
        let first = tokens.next();
        if matches!(first.as_str(), "graph" | "node" | "edge") {
            attributes(&mut tokens);
            continue;
        }
        let from = string(first);
        if tokens.peek() == "->" {
            tokens.next();
            let to = string(tokens.next());
            found.edges.push((from, to, attributes(&mut tokens)));
        } else {
            assert!(found.nodes.insert(from.clone(), attributes(&mut tokens)).is_none(), "{from} twice");
        }
        assert!(tokens.0.is_empty(), "{line}");
    }
    for (from, to, _) in &found.edges {
        assert!(found.nodes.contains_key(from) && found.nodes.contains_key(to), "{from} -> {to}");
    }
    found
}

/// An element of XML.
#[derive(Debug, Default)]
pub struct Element {
    pub name: String,
    pub attributes: BTreeMap<String, String>,
    pub children: Vec<Element>,
    pub text: String,
}

impl Element {
    fn number(&self, name: &str) -> i64 {
        self.attributes.get(name).map(|value| value.parse().unwrap()).unwrap_or(0)
    }
    fn class(&self) -> &str {
        self.attributes.get("class").map(String::as_str).unwrap_or_default()
    }
    /// All elements below, this included.
    pub fn all(&self) -> Vec<&Element> {
        let mut all = vec![self];
        all.extend(self.children.iter().flat_map(Element::all));
        all
    }
    /// The boxes.
    pub fn boxes(&self) -> Vec<&Element> {
        let all = self.all().into_iter();
        all.filter(|e| e.class().starts_with("node ") && e.attributes.contains_key("id")).collect()
    }
}

fn unescape(text: &str) -> String {
    assert!(!text.contains(['<', '>']), "{text}");
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        let (entity, more) = after.split_once(';').expect("an entity ends");
        out.push_str(before);
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" => '\'',
            other => panic!("&{other};"),
        });
        rest = more;
    }
    assert!(!rest.chars().any(|c| c.is_control() && c != '\n'), "{rest:?}");
    out + rest
}

/// Reads XML; panics where it is not well-formed (or has what we never write: comments, declarations, CDATA).
pub fn xml(text: &str) -> Element {
    let mut stack = vec![Element::default()];
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        stack.last_mut().unwrap().text.push_str(&unescape(before));
        let (tag, more) = after.split_once('>').expect("a tag ends");
        rest = more;
        if let Some(name) = tag.strip_prefix('/') {
            let done = stack.pop().unwrap();
            assert_eq!(done.name, name);
            stack.last_mut().expect("an element is open").children.push(done);
            continue;
        }
        let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, mut more) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "<{tag}>");
        let mut element = Element { name: name.to_owned(), ..Element::default() };
        while let Some((attribute, value)) = more.trim_start().split_once("=\"") {
            let (value, after) = value.split_once('"').expect("a value ends");
            assert!(element.attributes.insert(attribute.to_owned(), unescape(value)).is_none(), "{attribute} twice");
            more = after;
        }
        assert_eq!(more.trim(), "", "<{tag}>");
        if empty {
            stack.last_mut().unwrap().children.push(element);
        } else {
            stack.push(element);
        }
    }
    let mut root = stack.pop().unwrap();
    assert!(stack.is_empty() && rest.trim().is_empty(), "elements are closed");
    assert_eq!(root.children.len(), 1);
    root.children.remove(0)
}

/// Reads a drawing, and judges it: boxes do not touch, text is in its box, nothing is outside, nothing comes from elsewhere.
pub fn svg(text: &str) -> Element {
    let root = xml(text);
    assert_eq!((root.name.as_str(), root.attributes["xmlns"].as_str()), ("svg", "http://www.w3.org/2000/svg"));
    let all = root.all();
    assert!(!all.iter().any(|e| ["image", "script", "use", "foreignObject"].contains(&e.name.as_str())));
    assert_eq!(text.matches("http").count(), 1, "it needs nothing else");
    let (width, height) = (root.number("width"), root.number("height"));
    let group = root.children.iter().find(|e| e.name == "g").unwrap();
    let shift: Vec<i64> = group.attributes["transform"]
        .trim_start_matches("translate(")
        .trim_end_matches(')')
        .split(' ')
        .map(|n| n.parse().unwrap())
        .collect();
    let mut taken: Vec<(i64, i64, i64, i64, String)> = Vec::new();
    let mut ids = BTreeSet::new();
    for node in root.boxes() {
        assert!(ids.insert(&node.attributes["id"]));
        // The last is the front one of a pile.
        let rect = node.children.iter().rfind(|e| e.name == "rect").unwrap();
        let (x, y) = (rect.number("x"), rect.number("y"));
        let (right, bottom) = (x + rect.number("width"), y + rect.number("height"));
        assert!(x >= 0 && y >= 0 && right + shift[0] <= width && bottom + shift[1] <= height, "{node:?}");
        for line in node.children.iter().filter(|e| e.name == "text") {
            // The advance of the widest common monospaced font at 12 pixels is 7.23.
            let end = line.number("x") as f64 + line.text.chars().count() as f64 * 7.3;
            assert!(line.number("x") > x && end < right as f64, "{line:?} leaves its box");
            assert!(line.number("y") - 10 > y && line.number("y") < bottom, "{line:?} leaves its box");
        }
        taken.push((x, y, right, bottom, node.attributes["id"].clone()));
    }
    taken.sort();
    for (i, a) in taken.iter().enumerate() {
        for b in taken.iter().skip(i + 1).take_while(|b| b.0 < a.2) {
            assert!(a.3 <= b.1 || b.3 <= a.1, "{} and {} overlap", a.4, b.4);
        }
    }
    for text in root.children.iter().filter(|e| e.name == "text") {
        assert!(
            text.number("y") <= height && text.number("x") + text.text.chars().count() as i64 * 7 <= width,
            "{text:?}"
        );
    }
    root
}
