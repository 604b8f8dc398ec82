//! The help texts are an interface: a change of them is seen in review. `UPDATE=1 cargo test -p tuplenet-tpctl --test help` writes them anew.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};
use tuplenet_fixture::{Dir, text};

fn tpctl(arguments: &[&str]) -> (Option<i32>, String) {
    let mut tpctl = Command::new(env!("CARGO_BIN_EXE_tpctl"));
    let output = tpctl.env_clear().args(arguments).stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// The commands below one, as its help lists them.
fn commands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let named = lines.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    named.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn the_help_texts_are_as_reviewed() {
    let mut texts = String::new();
    let mut todo: Vec<Vec<String>> = vec![Vec::new()];
    while !todo.is_empty() {
        let path = todo.remove(0);
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        // Options that all commands share stand in the long help of tpctl itself; -h shows the rest.
        let long = path.is_empty() || path == ["apply"];
        arguments.push(if long { "--help" } else { "-h" });
        let (code, help) = tpctl(&arguments);
        assert_eq!(code, Some(0));
        texts.push_str(&format!("$ tpctl {}\n{help}\n", arguments.join(" ")));
        for command in commands(&help) {
            let mut below = path.clone();
            below.push(command);
            todo.push(below);
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &texts).unwrap();
    }
    let reviewed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        reviewed == texts,
        "help texts changed: look at them, then UPDATE=1 cargo test -p tuplenet-tpctl --test help\n{texts}"
    );
}

#[test]
fn the_example_in_the_help_is_a_valid_document() {
    let (_, help) = tpctl(&["apply", "--help"]);
    let example = help.split("everything in it):\n").nth(1).unwrap();
    let document = tuplenet_model::document::Document::parse(example).unwrap();
    assert_eq!(document.resolve(&Default::default()).unwrap().iter().count(), 8);
}

#[test]
fn completion_and_man_pages_are_made() {
    for (shell, word) in [("bash", "_tpctl"), ("zsh", "#compdef tpctl"), ("fish", "complete -c tpctl")] {
        let (code, script) = tpctl(&["completion", shell]);
        assert!(code == Some(0) && script.contains(word), "{shell}");
    }
    let place = Dir::new("man");
    // The command makes it.
    let dir = place.file("man");
    let (code, _) = tpctl(&["man", &text(&dir)]);
    assert_eq!(code, Some(0));
    let page = fs::read_to_string(dir.join("tpctl-lsp-add.1")).unwrap();
    assert!(page.contains(".TH tpctl-lsp-add 1"), "{page}");
}
