//! The operator's `tools/*.yaml`.

use aidt_domain::{Effect, ToolReads};
use aidt_plan::{Catalogue, Rule};
use serde_json::json;
use tempfile::TempDir;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).expect("a file is written");
    }
    dir
}

fn builtin() -> Catalogue {
    Catalogue::new(aidt_tools::catalogue())
}

#[test]
fn entries_are_added_from_every_file() {
    let dir = folder(&[
        (
            "b.yaml",
            "- { name: example.once, pool: python, capability: example.do, effect: once }\n- { name: example.idempotent, pool: python, capability: example.do, effect: idempotent, min_sandbox: landlock }\n",
        ),
        (
            "a.yml",
            "name: example.read\npool: python\ncapability: example.look\neffect: read\ndescription: Looks.\ninput_schema: { type: object, required: [path] }\nreads: { arguments: [path] }\nwrites: all\n",
        ),
        ("ignored.txt", "not: [yaml"),
    ]);
    let mut catalogue = builtin();
    let before = catalogue.iter().count();
    catalogue.load_dir(dir.path()).unwrap();
    assert_eq!(catalogue.iter().count(), before + 3);
    let read = catalogue.get("example.read").unwrap();
    assert_eq!(
        (read.effect, &read.writes, &read.reads),
        (Effect::Read, &ToolReads::All, &ToolReads::Arguments(vec!["path".to_owned()]))
    );
    assert_eq!(read.input_schema, json!({ "type": "object", "required": ["path"] }));
    assert_eq!(catalogue.get("example.once").unwrap().input_schema, json!(true));
    assert_eq!(catalogue.get("example.idempotent").unwrap().min_sandbox, "landlock");
    assert!(catalogue.iter().map(|tool| &tool.name).is_sorted());
}

#[test]
fn everything_wrong_is_told_and_nothing_is_added() {
    let dir = folder(&[
        ("a.yaml", "name: debug.echo\npool: default\ncapability: x\neffect: read\n"),
        ("b.yaml", "name: fine\npool: default\ncapability: x\neffect: read\n"),
        (
            "c.yaml",
            "- { name: 'a b', pool: Upper, capability: '', effect: never, colour: red, min_sandbox: vm }\n- { name: fine, pool: p, capability: x, effect: once, input_schema: { type: strnig }, reads: some }\n- 5\n",
        ),
        ("d.yaml", "name: [\n"),
    ]);
    let mut catalogue = builtin();
    let before = catalogue.clone();
    let error = catalogue.load_dir(dir.path()).unwrap_err();
    assert_eq!(catalogue, before);
    let told: Vec<(String, Vec<Rule>)> = error
        .files
        .iter()
        .map(|(source, all)| (source.name.rsplit('/').next().unwrap().to_owned(), all.iter().map(|d| d.rule).collect()))
        .collect();
    use Rule::{BadName, BadSchema, DuplicateTool, InvalidValue, Syntax, UnknownKey, WrongType};
    assert_eq!(
        told,
        [
            ("a.yaml".to_owned(), vec![DuplicateTool]),
            (
                "c.yaml".to_owned(),
                vec![
                    BadName,
                    BadName,
                    BadName,
                    InvalidValue,
                    UnknownKey,
                    InvalidValue,
                    BadSchema,
                    InvalidValue,
                    WrongType
                ]
            ),
            ("d.yaml".to_owned(), vec![Syntax]),
        ]
    );
    assert!(error.to_string().contains("error[duplicate-tool]: there is a tool 'debug.echo' already"));
}

#[test]
fn a_name_stands_in_one_file_only() {
    let entry = "name: twice\npool: default\ncapability: x\neffect: read\n";
    let dir = folder(&[
        ("a.yaml", entry),
        ("b.json", r#"{"name": "twice", "pool": "default", "capability": "x", "effect": "read"}"#),
    ]);
    let error = builtin().load_dir(dir.path()).unwrap_err();
    assert!(error.files[0].0.name.ends_with("b.json"));
    assert_eq!(error.files[0].1[0].rule, Rule::DuplicateTool);
}

#[test]
fn what_cannot_be_read_is_told() {
    let mut catalogue = builtin();
    let dir = folder(&[]);
    assert!(catalogue.load_dir(dir.path()).is_ok());
    let error = catalogue.load_dir(&dir.path().join("none")).unwrap_err();
    assert_eq!(error.files[0].1[0].rule, Rule::Unreadable);
    std::fs::write(dir.path().join("a.yaml"), b"name: \xff").unwrap();
    let error = catalogue.load_dir(dir.path()).unwrap_err();
    assert_eq!(error.files[0].1[0].rule, Rule::Encoding);
}
