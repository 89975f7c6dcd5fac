//! What people are told about documents that are not plans: one golden text for each file in
//! `broken/`.

use aidt_plan::{Catalogue, Source, compile, render};
use std::path::Path;

#[test]
fn every_broken_document_is_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let catalogue = Catalogue::new(aidt_tools::catalogue());
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    assert!(files.len() >= 40);
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let source = Source { name: name.to_owned(), text: std::fs::read_to_string(&file).unwrap() };
        let errors = compile(&source, &catalogue).expect_err(name);
        assert!(errors.iter().all(|e| e.line > 0 && e.column > 0 && e.end_column > e.column), "{name}: {errors:#?}");
        let shown = errors.iter().map(|e| {
            let field = |name: &str, text: &Option<String>| {
                text.as_ref().map(|t| format!("   {name}: {t}\n")).unwrap_or_default()
            };
            format!("{e}\n{}{}{}", field("found", &e.found), field("nearest", &e.nearest), field("help", &e.help))
        });
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("broken/told");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name.replace('.', "-"), shown.collect::<String>()));
        // A mark is found for each place, and nothing in a document breaks the picture.
        let picture = render(&errors, &source, false);
        assert_eq!(picture.matches("error[").count(), errors.len(), "{name}");
    }
}

#[test]
fn a_picture_shows_the_line_and_marks_the_place() {
    let text = "steps:\n  - id: a\n    tool: debug.ecoh\n    with: { value: 1 }\n";
    let source = Source { name: "plan.yaml".to_owned(), text: text.to_owned() };
    let errors = compile(&source, &Catalogue::new(aidt_tools::catalogue())).unwrap_err();
    let expected = r"
error[unknown-tool]: there is no tool 'debug.ecoh' in the catalogue
 --> plan.yaml:3:11
  |
2 |   - id: a
3 |     tool: debug.ecoh
  |           ^^^^^^^^^^ did you mean 'debug.echo'?
4 |     with: { value: 1 }
  |
  = help: `aidt tools ls` lists the tools; --tools DIR adds entries to the catalogue";
    assert_eq!(render(&errors, &source, false), expected.trim_start());
    assert!(render(&errors, &source, true).contains("\u{1b}["));
}
