//! The published vectors (made by another implementation), and that nothing else passes.

#![expect(clippy::unwrap_used, reason = "tests")]

use aidt_grants::{GrantClaims, Refusal, RootKeys, SessionKey, mint, signing_string, verify};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    root_key: String,
    nonce: String,
    session_key: String,
    claims: Claims,
    signing_string: String,
    mac: String,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    claims: Claims,
    field: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Claims {
    run: String,
    step: String,
    dispatch: u32,
    index: u32,
    tool: String,
    entry_digest: String,
    arguments: String,
    policy_revision: String,
    obligations: String,
    min_sandbox: String,
    not_after_ms: i64,
}

impl Claims {
    fn borrow(&self) -> GrantClaims<'_> {
        GrantClaims {
            run: &self.run,
            step: &self.step,
            dispatch: self.dispatch,
            index: self.index,
            tool: &self.tool,
            entry_digest: &self.entry_digest,
            arguments: self.arguments.as_bytes(),
            policy_revision: &self.policy_revision,
            obligations: &self.obligations,
            min_sandbox: &self.min_sandbox,
            not_after_ms: self.not_after_ms,
        }
    }
}

fn file() -> File {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn key() -> SessionKey {
    SessionKey::new([9; 32])
}

#[test]
fn vectors() {
    for Vector { name, root_key, nonce, session_key, claims, signing_string: text, mac } in file().vectors {
        let key = RootKeys::new(hex(&root_key).try_into().unwrap()).session_key(&hex(&nonce));
        assert_eq!(key.as_bytes()[..], hex(&session_key), "{name}");
        assert_eq!(signing_string(&claims.borrow()).unwrap(), text, "{name}");
        assert_eq!(mint(&key, &claims.borrow()).unwrap()[..], hex(&mac), "{name}");
        assert_eq!(verify(&key, &claims.borrow(), &hex(&mac), claims.not_after_ms), Ok(()), "{name}");
    }
}

#[test]
fn a_line_break_is_refused_by_both_sides() {
    for Refused { name, claims, field } in file().refused {
        let refusal = mint(&key(), &claims.borrow()).unwrap_err();
        assert!(matches!(&refusal, Refusal::LineBreak { field: found } if *found == field), "{name}: {refusal}");
        assert_eq!(verify(&key(), &claims.borrow(), &[0; 32], 0), Err(refusal), "{name}");
    }
}

#[test]
fn a_grant_is_good_to_its_last_millisecond_and_not_after() {
    let claims = file().vectors.remove(0).claims;
    let mac = mint(&key(), &claims.borrow()).unwrap();
    let at = |now| verify(&key(), &claims.borrow(), &mac, now);
    assert_eq!(at(claims.not_after_ms), Ok(()));
    assert_eq!(at(claims.not_after_ms + 1), Err(Refusal::Expired { late_ms: 1 }));
    assert_eq!(at(i64::MIN), Ok(()));
}

fn claims() -> impl Strategy<Value = Claims> {
    let texts = ["[^\n]{1,9}", "[^\n]{1,9}", "[^\n]{1,9}", "[^\n]{1,9}", "[^\n]{1,9}", "[^\n]{1,9}", "[^\n]{1,9}"];
    (texts, ".{1,40}", any::<u32>(), any::<u32>(), 0..i64::MAX).prop_map(
        |(
            [run, step, tool, entry_digest, policy_revision, obligations, min_sandbox],
            arguments,
            dispatch,
            index,
            ms,
        )| {
            Claims {
                run,
                step,
                dispatch,
                index,
                tool,
                entry_digest,
                arguments,
                policy_revision,
                obligations,
                min_sandbox,
                not_after_ms: ms,
            }
        },
    )
}

/// The claims with one bit of one field changed (a changed bit of text that is not UTF-8 any more stands for
/// another character), or with the end of one field moved to the start of the next.
fn change(claims: &Claims, field: usize, bit: usize) -> Claims {
    let mut changed = claims.clone();
    let text = |text: &mut String| {
        let mut bytes = text.clone().into_bytes();
        let at = bit / 8 % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
        *text = String::from_utf8(bytes).unwrap_or_else(|_| format!("{text}?"));
    };
    let shift = |from: &mut String, to: &mut String| to.insert(0, from.pop().unwrap());
    match field {
        0 => text(&mut changed.run),
        1 => text(&mut changed.step),
        2 => text(&mut changed.tool),
        3 => text(&mut changed.entry_digest),
        4 => text(&mut changed.policy_revision),
        5 => text(&mut changed.obligations),
        6 => text(&mut changed.min_sandbox),
        7 => text(&mut changed.arguments),
        8 => changed.dispatch ^= 1 << (bit % 32),
        9 => changed.index ^= 1 << (bit % 32),
        10 => changed.not_after_ms ^= 1 << (bit % 63),
        11 => shift(&mut changed.run, &mut changed.step),
        12 => shift(&mut changed.policy_revision, &mut changed.obligations),
        _ => shift(&mut changed.obligations, &mut changed.min_sandbox),
    }
    changed
}

proptest! {
    #[test]
    fn what_was_granted_passes(claims in claims()) {
        let mac = mint(&key(), &claims.borrow()).unwrap();
        prop_assert_eq!(verify(&key(), &claims.borrow(), &mac, claims.not_after_ms), Ok(()));
    }

    #[test]
    fn any_changed_bit_of_any_field_is_refused(claims in claims(), field in 0..14usize, bit in any::<usize>()) {
        let mac = mint(&key(), &claims.borrow()).unwrap();
        let changed = change(&claims, field, bit);
        let refused = verify(&key(), &changed.borrow(), &mac, 0);
        prop_assert!(matches!(refused, Err(Refusal::BadMac | Refusal::LineBreak { .. })), "{changed:?}: {refused:?}");
    }

    #[test]
    fn any_changed_bit_of_mac_or_key_is_refused(claims in claims(), bit in 0..256usize, short in 0..32usize) {
        let mut mac = mint(&key(), &claims.borrow()).unwrap();
        prop_assert_eq!(verify(&key(), &claims.borrow(), &mac[..short], 0), Err(Refusal::BadMac));
        let mut other = *key().as_bytes();
        other[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(verify(&SessionKey::new(other), &claims.borrow(), &mac, 0), Err(Refusal::BadMac));
        mac[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(verify(&key(), &claims.borrow(), &mac, 0), Err(Refusal::BadMac));
    }
}
