//! The page that outsiders write workers from says what the code does.

use aidt_grants::{GrantClaims, SessionKey, mint};

const PAGE: &str = include_str!("../../../docs/reference/worker-protocol.md");

/// The indented lines of the worked example.
fn signed() -> Vec<&'static str> {
    let example = PAGE.split_once("signing string\n    aidt-grant-v1\n").expect("the page has an example").1;
    example.lines().map_while(|line| line.strip_prefix("    ")).collect()
}

fn field(name: &str) -> &'static str {
    let line = PAGE.lines().find(|line| line.starts_with(&format!("{name} "))).expect("the example has it");
    line.split_whitespace().nth(1).expect("the line has a value")
}

#[test]
fn the_worked_example_is_right() {
    let [run, step, dispatch, index, tool, entry_digest, digest, policy_revision, obligations, min_sandbox, not_after] =
        signed()[..]
    else {
        panic!("the example has twelve lines, not {}", signed().len() + 1)
    };
    assert_eq!(aidt_domain::Digest::of(field("arguments").as_bytes()).to_string(), format!("sha256:{digest}"));
    let claims = GrantClaims {
        run,
        step,
        dispatch: dispatch.parse().expect("a number"),
        index: index.parse().expect("a number"),
        tool,
        entry_digest,
        arguments: field("arguments").as_bytes(),
        policy_revision,
        obligations,
        min_sandbox,
        not_after_ms: not_after.parse().expect("a number"),
    };
    let key = field("session_key");
    let byte = |at: usize| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).expect("hex digits");
    let mac = mint(&SessionKey::new(std::array::from_fn(byte)), &claims).expect("no line breaks");
    let mac: String = mac.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(mac, field("mac"));
}

#[test]
fn every_message_and_field_of_a_call_is_explained() {
    let proto = include_str!("../../../proto/aidt/v1/worker.proto");
    for message in ["Hello", "Welcome", "Call", "Result", "Done", "Failed", "Grant", "Cancel", "Progress", "Output"] {
        let body = proto.split_once(&format!("message {message} {{")).expect("a message").1;
        let body = body.split_once("\n}").expect("it ends").0;
        for line in body.lines().filter(|line| line.contains(" = ")) {
            let field = line.split(" = ").next().and_then(|d| d.split_whitespace().last()).expect("a name");
            assert!(PAGE.contains(field), "{message}.{field} is not on the page");
        }
    }
}
