//! `docs/reference/errors.md` is written from the catalogue: `UPDATE_DOCS=1 cargo test -p aidt-domain`.

use aidt_domain::ErrorCode;
use std::fmt::Write as _;

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch of the test itself")]
fn the_page_of_error_codes_is_current() {
    let mut page =
        "# Error codes\n\nThe catalogue stands in `crates/domain/src/error.rs`; `GET /errors/CODE` answers one \
                    entry. Written by `UPDATE_DOCS=1 cargo test -p aidt-domain`.\n\n\
                    | code | HTTP | gRPC | exit | what | what to do |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for code in ErrorCode::ALL {
        let (http, grpc, exit) = (code.http_status(), code.grpc_status(), code.exit_code());
        let (title, help) = (code.title(), code.help());
        writeln!(page, "| `{}` | {http} | {grpc} | {exit} | {title} | {help} |", code.as_str())
            .expect("a string takes any text");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/errors.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).expect("the docs can be written");
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(stored == page, "docs/reference/errors.md is not current: UPDATE_DOCS=1 cargo test -p aidt-domain");
}
