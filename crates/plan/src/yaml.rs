//! YAML into a tree, without recursion, within limits, and with everything that JSON has no form for
//! refused.

use crate::limits::{DEPTH, NODES};
use crate::report::Report;
use crate::scalar;
use crate::source::Span;
use crate::tree::{Data, Entry, Node};
use crate::{Rule, Source};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

/// The document's tree; `None` when it cannot be read at all.
pub(crate) fn parse(source: &Source, report: &mut Report<'_>) -> Option<Node> {
    let mut builder = Builder::new(&source.text, report);
    let mut parser = Parser::new_from_str(&source.text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => {
                let span = Span::new(builder.offset(span.start), builder.offset(span.end));
                if !builder.event(event, span) {
                    return None;
                }
            }
            Err(e) => {
                let at = builder.offset(*e.marker());
                let error = builder.report.error(
                    Span::new(at, at + 1),
                    Rule::Syntax,
                    format!("this is not YAML: {}", e.info()),
                );
                if builder.text[..at.min(builder.text.len())].ends_with('\t') || e.info().contains("tab") {
                    error.help("indent with spaces: YAML does not allow tabs there");
                }
                return None;
            }
        }
    }
    builder.root
}

/// A list or map that is not closed yet.
struct Open {
    anchor: usize,
    start: usize,
    data: OpenData,
}

enum OpenData {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashSet<String>, key: Option<(Option<String>, Span)> },
}

struct Builder<'r, 's> {
    text: &'r str,
    report: &'r mut Report<'s>,
    /// Byte offsets of characters; `None` when the text is ASCII.
    offsets: Option<Vec<usize>>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
}

impl<'r, 's> Builder<'r, 's> {
    fn new(text: &'r str, report: &'r mut Report<'s>) -> Self {
        let offsets = (!text.is_ascii()).then(|| text.char_indices().map(|(i, _)| i).collect());
        Self { text, report, offsets, open: Vec::new(), anchors: BTreeMap::new(), nodes: 0, documents: 0, root: None }
    }

    fn offset(&self, mark: Marker) -> usize {
        let offset = match &self.offsets {
            Some(offsets) => offsets.get(mark.index()).copied().unwrap_or(self.text.len()),
            None => mark.index(),
        };
        offset.min(self.text.len())
    }

    /// Whether to go on.
    fn event(&mut self, event: Event<'_>, span: Span) -> bool {
        match event {
            Event::DocumentStart(_) => return self.document(span),
            Event::Scalar(word, style, anchor, tag) => {
                self.tag(tag.as_ref(), span);
                let node = self.scalar(&word, style, tag.as_deref(), span);
                return self.close(node, anchor);
            }
            Event::SequenceStart(anchor, tag) => {
                self.tag(tag.as_ref(), span);
                return self.open(anchor, span, OpenData::List(Vec::new()));
            }
            Event::MappingStart(anchor, tag) => {
                self.tag(tag.as_ref(), span);
                let data = OpenData::Map { entries: Vec::new(), seen: HashSet::new(), key: None };
                return self.open(anchor, span, data);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let data = match open.data {
                        OpenData::List(nodes) => Data::List(nodes),
                        OpenData::Map { entries, .. } => Data::Map(entries),
                    };
                    let node = Node { span: Span::new(open.start, span.end), data };
                    return self.close(node, open.anchor);
                }
            }
            Event::Alias(anchor) => return self.alias(anchor, span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        true
    }

    fn document(&mut self, span: Span) -> bool {
        self.documents += 1;
        if self.documents > 1 {
            self.report
                .error(span, Rule::Syntax, "a second document begins here")
                .help("keep one document in a file: remove the '---' line");
        }
        self.documents == 1
    }

    fn open(&mut self, anchor: usize, span: Span, data: OpenData) -> bool {
        if self.open.len() >= DEPTH {
            let message = format!("lists and maps are nested more than {DEPTH} deep");
            self.report.error(span, Rule::Limit, message);
            return false;
        }
        self.open.push(Open { anchor, start: span.start, data });
        true
    }

    fn scalar(&mut self, word: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
        let text = style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str");
        let data = match text {
            true => Data::Text(word.to_owned()),
            false => scalar::plain(word).unwrap_or_else(|| {
                self.report
                    .error(span, Rule::WrongType, "this is not a number that JSON has")
                    .found(word)
                    .help("write a finite number, or put the word in quotes");
                Data::Null
            }),
        };
        Node { span, data }
    }

    fn tag(&mut self, tag: Option<&Cow<'_, Tag>>, span: Span) {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "str" | "map" | "seq"))
        {
            self.report
                .error(span, Rule::Syntax, "YAML tags are not supported")
                .found(&tag.to_string())
                .help("remove the tag; put a word in quotes to make it text");
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> bool {
        let Some(node) = self.anchors.get(&anchor) else {
            self.report.error(span, Rule::Syntax, "an alias stands within what it repeats");
            return false;
        };
        let (size, depth) = (node.count(NODES), depth(node));
        if !self.count(size, span) {
            return false;
        }
        if self.open.len() + depth > DEPTH {
            let message = format!("lists and maps are nested more than {DEPTH} deep");
            self.report.error(span, Rule::Limit, message);
            return false;
        }
        // Errors in what is repeated are shown where it is repeated.
        let Some(data) = self.anchors.get(&anchor).map(|node| node.data.clone()) else { return false };
        self.add(Node { span, data })
    }

    fn count(&mut self, nodes: usize, span: Span) -> bool {
        self.nodes += nodes;
        if self.nodes > NODES {
            let message = format!("the document has more than {NODES} values, with those that aliases repeat");
            self.report.error(span, Rule::Limit, message);
        }
        self.nodes <= NODES
    }

    fn close(&mut self, node: Node, anchor: usize) -> bool {
        // The copy under an anchor counts too: anchors within anchors would multiply it.
        let copied = if anchor > 0 { node.count(NODES) } else { 0 };
        if !self.count(1 + copied, node.span) {
            return false;
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.add(node)
    }

    fn add(&mut self, node: Node) -> bool {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return true;
        };
        match &mut open.data {
            OpenData::List(nodes) => nodes.push(node),
            OpenData::Map { entries, seen, key } => match key.take() {
                None => {
                    let name = key_name(&node, self.text, self.report);
                    *key = Some((name, node.span));
                }
                Some((Some(key), key_span)) if seen.insert(key.clone()) => {
                    entries.push(Entry { key, key_span, value: node });
                }
                Some((Some(key), key_span)) => {
                    self.report
                        .error(key_span, Rule::DuplicateKey, format!("the key '{key}' stands here twice"))
                        .found(&key)
                        .help("keep one of the two");
                }
                Some((None, _)) => {}
            },
        }
        true
    }
}

/// A key as text: `on`, `1` and `true` are keys as they are written. `None`: it was reported, and what
/// stands under it is left out.
fn key_name(node: &Node, text: &str, report: &mut Report<'_>) -> Option<String> {
    match &node.data {
        Data::Text(key) if key == "<<" => {
            report
                .error(node.span, Rule::Syntax, "YAML merge keys ('<<') are not supported")
                .help("repeat the keys, or use an alias for a whole value");
            None
        }
        Data::Text(key) => Some(key.clone()),
        Data::Bool(_) | Data::Number(_) => text.get(node.span.range()).map(|key| key.trim().to_owned()),
        Data::Null | Data::List(_) | Data::Map(_) => {
            let message = format!("a key must be a word, and this is {}", node.kind());
            report.error(node.span, Rule::WrongType, message);
            None
        }
    }
}

fn depth(node: &Node) -> usize {
    let mut deepest = 0;
    let mut open = vec![(node, 0)];
    while let Some((node, depth)) = open.pop() {
        match &node.data {
            Data::List(nodes) => open.extend(nodes.iter().map(|n| (n, depth + 1))),
            Data::Map(entries) => open.extend(entries.iter().map(|e| (&e.value, depth + 1))),
            _ => {}
        }
        deepest = deepest.max(depth + usize::from(node.list().is_some() || node.entries().is_some()));
    }
    deepest
}
