//! The page of the reference is current.

/// `UPDATE_DOCS=1 cargo test -p aidt-cli` writes it.
#[test]
#[expect(clippy::disallowed_methods, reason = "a switch of the test itself")]
fn docs_reference_cli_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let page = aidt_cli::reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == page, "docs/reference/cli.md is not current: UPDATE_DOCS=1 cargo test -p aidt-cli");
}

#[test]
fn every_command_is_in_it() {
    let page = aidt_cli::reference();
    for heading in ["## `aidt run`", "## `aidt runs resolve`", "## `aidt plan check`", "## `aidt bench`", "`AIDT_HOME`"]
    {
        assert!(page.contains(heading), "{heading}");
    }
}
