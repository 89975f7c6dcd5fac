use aidt_model::*;
use stateright::{Checker, Model};
fn get(k: &str, d: u8) -> u8 { std::env::var(k).ok().and_then(|v| v.parse().ok()).unwrap_or(d) }
#[test]
fn probe() {
    let f = |k| get(k, 0);
    let faults = Faults { total: f("T"), takeover: f("TO"), owner_crash: f("OC"), consumer_crash: f("CC"), false_death: f("FD"), duplicate: f("DU"), loss: f("LO"), wipe: f("WI"), unknown_commit: f("UC"), unconfirmed: f("UN"), release: f("RE") };
    let effects = match std::env::var("E").as_deref() { Ok("o") => &[Effect::Once][..], Ok("oi") => &[Effect::Once, Effect::Idempotent][..], Ok("ii") => &[Effect::Idempotent, Effect::Idempotent][..], _ => &[Effect::Idempotent][..] };
        let bounds = Bounds { runs: get("R", 1), effects, cancels: f("CA"), retries: f("RT"), faults, symmetric: get("S", 1) == 1 };
        let at = std::time::Instant::now();
        let c = Loop { rules: Rules::ALL, bounds, strict: f("ST") == 1 }.checker().threads(2).target_state_count(3_000_000).spawn_bfs().join();
        println!("{effects:?} {} unique, {} all, depth {}, {:?}", c.unique_state_count(), c.state_count(), c.max_depth(), at.elapsed());
        for (name, path) in c.discoveries() {
            println!("REFUTED {name}");
            for (n, a) in path.clone().into_actions().iter().enumerate() { println!("  {n} {a:?}"); }
            println!("{:?}", path.last_state());
        }
}
