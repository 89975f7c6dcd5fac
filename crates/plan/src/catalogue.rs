//! The operator's list of tools.

use crate::compile::parse;
use crate::limits::DOCUMENT_BYTES;
use crate::report::Report;
use crate::tree::Node;
use crate::{Diagnostic, Rule, Source, entry, render, source};
use aidt_domain::ToolEntry;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The tools that plans may use, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    tools: BTreeMap<String, ToolEntry>,
}

/// Files of a catalogue that cannot be used.
#[derive(Debug)]
pub struct CatalogueError {
    /// Each with what is wrong with it.
    pub files: Vec<(Source, Vec<Diagnostic>)>,
}

impl fmt::Display for CatalogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the catalogue of tools cannot be loaded")?;
        self.files.iter().try_for_each(|(source, diagnostics)| write!(f, "\n{}", render(diagnostics, source, false)))
    }
}

impl std::error::Error for CatalogueError {}

impl Catalogue {
    /// The built-in tools. Of two with the same name the first stays.
    #[must_use]
    pub fn new(builtin: Vec<ToolEntry>) -> Self {
        let mut tools = BTreeMap::new();
        for tool in builtin {
            tools.entry(tool.name.clone()).or_insert(tool);
        }
        Self { tools }
    }

    /// Adds the entries of `*.yaml`, `*.yml` and `*.json` in a folder, in the order of their names.
    /// A file holds one entry, or a list of them. Nothing is added when anything is wrong.
    ///
    /// # Errors
    /// Everything that is wrong with the files; the names of tools that are there already are taken.
    pub fn load_dir(&mut self, dir: &Path) -> Result<(), CatalogueError> {
        let mut loaded = self.clone();
        let mut wrong = Vec::new();
        let paths = files(dir).unwrap_or_else(|e| {
            wrong.push(unreadable(dir, &e));
            Vec::new()
        });
        for path in paths {
            match read(&path) {
                Ok(source) => {
                    if let Err(diagnostics) = loaded.add(&source) {
                        wrong.push((source, diagnostics));
                    }
                }
                Err(failure) => wrong.push(failure),
            }
        }
        if !wrong.is_empty() {
            return Err(CatalogueError { files: wrong });
        }
        *self = loaded;
        Ok(())
    }

    /// The entry of a tool.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ToolEntry> {
        self.tools.get(name)
    }

    /// Every entry, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = &ToolEntry> {
        self.tools.values()
    }

    fn add(&mut self, source: &Source) -> Result<(), Vec<Diagnostic>> {
        let mut report = Report::new(source);
        let root = parse(source, &mut report).filter(|_| !report.has_errors());
        if let Some(root) = root {
            let nodes = root.list().unwrap_or(std::slice::from_ref(&root));
            nodes.iter().for_each(|node| self.add_entry(node, &mut report));
        }
        report.finish().map(drop)
    }

    fn add_entry(&mut self, node: &Node, report: &mut Report<'_>) {
        let Some(tool) = entry::read(node, report) else { return };
        if self.tools.contains_key(&tool.name) {
            let span =
                node.entries().into_iter().flatten().find(|e| e.key == "name").map_or(node.span, |e| e.value.span);
            report
                .error(span, Rule::DuplicateTool, format!("there is a tool '{}' already", tool.name))
                .found(&tool.name)
                .help("choose another name; the names of built-in tools are taken");
            return;
        }
        self.tools.insert(tool.name.clone(), tool);
    }
}

fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let known = path.extension().and_then(|e| e.to_str()).is_some_and(|e| matches!(e, "yaml" | "yml" | "json"));
        if known && path.is_file() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn read(path: &Path) -> Result<Source, (Source, Vec<Diagnostic>)> {
    let name = path.display().to_string();
    let empty = || Source { name: name.clone(), text: String::new() };
    let size = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?.len();
    if size > DOCUMENT_BYTES as u64 {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        return Err((empty(), vec![source::too_large(&name, size)]));
    }
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, &e))?;
    Source::from_bytes(&name, bytes).map_err(|diagnostic| (empty(), vec![*diagnostic]))
}

fn unreadable(path: &Path, e: &std::io::Error) -> (Source, Vec<Diagnostic>) {
    let name = path.display().to_string();
    let diagnostic = Diagnostic::new(&name, Rule::Unreadable, format!("it cannot be read: {e}"));
    (Source { name, text: String::new() }, vec![diagnostic])
}
