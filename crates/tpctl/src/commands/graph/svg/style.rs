//! Colours and samples of them. On dark ground others: a page that asks for it by `prefers-color-scheme` gets them; elsewhere the drawing brings its
//! own white ground along.

use super::{
    super::{
        picture::{Life, Line, Node, Picture, What},
        words::Tone,
    },
    boxes::{CHARACTER, LINE},
};

/// The style sheet, and the heads of arrows.
pub const STYLE: &str = r##"<style>
text{font:12px "DejaVu Sans Mono",Menlo,Consolas,"Liberation Mono",monospace;fill:#1b1f24}
.name{font-weight:bold}
.paper{fill:#ffffff}
.label{fill:#4a5260;paint-order:stroke;stroke:#ffffff;stroke-width:4px;stroke-linejoin:round}
.link,.tunnel,.route{fill:none;stroke:#6b7480;stroke-width:1.4}
.tunnel{stroke:#2b8a3e}
.tunnel.silent{stroke:#a67c00;stroke-dasharray:2 4}
.route{stroke:#7b3fb5;stroke-dasharray:6 4}
.node rect{stroke-width:1.4}
.switch rect{fill:#e3eefb;stroke:#2f6db0}
.router rect{fill:#fdf1da;stroke:#a86f12}
.chassis rect{fill:#e2f4e6;stroke:#2b8a3e}
.silent rect{fill:#f6efd9;stroke:#a67c00;stroke-dasharray:5 3}
.many rect,.mesh rect{fill:#eceff2;stroke:#5b6470}
.part rect{stroke:#c92a2a}
.rejected rect{fill:#fde3e3;stroke:#c92a2a;stroke-width:2}
text.good{fill:#1d6b2e}text.warn{fill:#7a5c00}text.bad{fill:#b31414}
path.bad{stroke:#c92a2a}
.head{fill:#7b3fb5}.head-bad{fill:#c92a2a}
@media (prefers-color-scheme:dark){
text{fill:#e6e9ed}
.paper{fill:#15191e}
.label{fill:#b4bcc6;stroke:#15191e}
.link{stroke:#8b95a1}
.tunnel{stroke:#4fbf68}
.tunnel.silent{stroke:#d4a72c}
.route{stroke:#b98aed}.head{fill:#b98aed}
.switch rect{fill:#16293d;stroke:#5b9bdf}
.router rect{fill:#33270f;stroke:#d79b3a}
.chassis rect{fill:#12301a;stroke:#4fbf68}
.silent rect{fill:#2f280f;stroke:#d4a72c}
.many rect,.mesh rect{fill:#23292f;stroke:#8b95a1}
.part rect,path.bad{stroke:#ff6b6b}.head-bad{fill:#ff6b6b}
.rejected rect{fill:#3d1616;stroke:#ff6b6b}
text.good{fill:#7bd88f}text.warn{fill:#e5c15a}text.bad{fill:#ff9a9a}
}
</style>
<defs>
<marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker>
<marker id="arrow-bad" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="head-bad" d="M0 0L8 4L0 8z"/></marker>
</defs>"##;

/// The class of a node's box.
pub fn class(node: &Node) -> &'static str {
    match (&node.what, node.tone()) {
        (_, Tone::Bad) => "rejected",
        (What::Switch { .. }, _) if node.faults.is_empty() => "switch",
        (What::Switch { .. }, _) => "switch part",
        (What::Router { .. }, _) if node.faults.is_empty() => "router",
        (What::Router { .. }, _) => "router part",
        (What::Chassis(_), Tone::Warn) => "chassis silent",
        (What::Chassis(_), _) if node.faults.is_empty() => "chassis",
        (What::Chassis(_), _) => "chassis part",
        (What::Mesh { .. }, _) => "mesh",
        (What::Many, _) => "many",
    }
}

/// The class of a line of text.
pub fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "",
        Tone::Good => "good",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
    }
}

/// Samples of what is in a picture, with what they stand for.
pub fn legend(picture: &Picture) -> Vec<(String, &'static str)> {
    let node = |test: &dyn Fn(&Node) -> bool| picture.nodes.iter().any(test);
    let line = |test: &dyn Fn(&Line) -> bool| picture.edges.iter().any(|edge| test(&edge.what));
    let boxed = |class: &str, round: u8| {
        format!("<g class=\"node {class}\"><rect x=\"1\" y=\"1\" width=\"30\" height=\"14\" rx=\"{round}\"/></g>")
    };
    let stroke = |class: &str, end: &str| format!("<path class=\"{class}\" d=\"M1 8L31 8\"{end}/>");
    let life = |life: Life| move |node: &Node| matches!(&node.what, What::Chassis(host) if host.life == life && !node.rejected);
    let faulty = !picture.loose.is_empty()
        || node(&|node| !node.faults.is_empty())
        || picture.edges.iter().any(|edge| !edge.faults.is_empty());
    let tunnel = |silent: bool| {
        let is = |line: &Line| matches!(line, Line::Tunnel { kinds, .. } if !kinds.is_empty());
        picture.edges.iter().any(|edge| is(&edge.what) && silent == picture.ends_down(edge))
    };
    [
        (node(&Node::is_router), boxed("router", 7), "router"),
        (node(&|node| matches!(node.what, What::Switch { .. })), boxed("switch", 3), "switch"),
        (node(&life(Life::Alive)), boxed("chassis", 3), "chassis, its agent alive"),
        (node(&life(Life::Silent)), boxed("chassis silent", 3), "chassis, its agent silent"),
        (node(&|node| matches!(node.what, What::Mesh { .. })), boxed("mesh", 3), "all have tunnels to each other"),
        (node(&|node| matches!(node.what, What::Many)), boxed("many", 3), "many, as one"),
        (line(&|line| matches!(line, Line::Link { .. })), stroke("link", ""), "link, with the router's addresses"),
        (
            line(&|line| matches!(line, Line::Routes(_))),
            stroke("route", " marker-end=\"url(#arrow)\""),
            "static route, to its next hop",
        ),
        (tunnel(false), stroke("tunnel", ""), "tunnel"),
        (tunnel(true), stroke("tunnel silent", ""), "tunnel, an end is silent"),
        (faulty, boxed("rejected", 3), "set aside, or not working: see its reason"),
    ]
    .into_iter()
    .filter_map(|(there, sample, text)| there.then_some((sample, text)))
    .collect()
}

/// How wide a sample with its text is.
pub fn sample_width(text: &str) -> i64 {
    40 + text.chars().count() as i64 * CHARACTER + 20
}

/// Where the samples stand, in rows of at most that width; and how high they are together.
pub fn flow(legend: &[(String, &'static str)], width: i64) -> (Vec<(i64, i64)>, i64) {
    let (mut x, mut y) = (0, 0);
    let mut places = Vec::with_capacity(legend.len());
    for (_, text) in legend {
        let wide = sample_width(text);
        if x > 0 && x + wide > width {
            (x, y) = (0, y + LINE + 6);
        }
        places.push((x, y));
        x += wide;
    }
    (places, if legend.is_empty() { 0 } else { y + LINE })
}
