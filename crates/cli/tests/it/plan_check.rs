//! `aidt plan check` needs no server.

use crate::aidt;
use crate::test_host::TestHost;
use aidt_cli::Exit;
use serde_json::Value;

const BAD: &str = "name: notes\nsteps:\n  - id: a\n    tool: debug.ecko\n    with: { value: 1 }\n";

async fn check(text: &str, json: bool) -> (Exit, crate::Screen) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.yaml");
    std::fs::write(&path, text).unwrap();
    let host = TestHost::at(&"http://127.0.0.1:1".parse().unwrap());
    let mut args = vec!["plan", "check", path.to_str().unwrap()];
    if json {
        args.extend(["--output", "json"]);
    }
    let done = aidt(&host, &args).await;
    assert!(host.embeds.lock().unwrap().is_empty());
    done
}

#[tokio::test]
async fn a_valid_plan_is_said_to_be() {
    let (exit, screen) = check(&BAD.replace("ecko", "echo"), false).await;
    assert_eq!(exit, Exit::DONE, "{}", screen.both());
    assert!(screen.err().contains("is valid: 1 step"), "{}", screen.err());
}

#[tokio::test]
async fn a_fault_is_shown_at_its_place() {
    let (exit, screen) = check(BAD, false).await;
    assert_eq!((exit, screen.out()), (Exit::BAD_INPUT, String::new()));
    for part in ["plan.yaml:4:11", "tool: debug.ecko", "^^^^^^^^^^", "debug.echo", "1 error"] {
        assert!(screen.err().contains(part), "{part} in\n{}", screen.err());
    }
}

#[tokio::test]
async fn a_fault_is_a_list_for_programs() {
    let (exit, screen) = check(BAD, true).await;
    assert_eq!(exit, Exit::BAD_INPUT);
    let list: Value = serde_json::from_str(&screen.out()).unwrap();
    let first = &list.as_array().unwrap()[0];
    assert_eq!((&first["line"], &first["column"]), (&4.into(), &11.into()));
    for key in ["file", "rule", "found", "nearest", "help"] {
        assert!(first.get(key).is_some(), "{key} in {first}");
    }
    let (exit, screen) = check(&BAD.replace("ecko", "echo"), true).await;
    assert_eq!((exit, screen.out().as_str()), (Exit::DONE, "[]\n"));
}
