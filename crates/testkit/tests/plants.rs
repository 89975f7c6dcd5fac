//! Every fault of the protocol that is planted is caught, by the invariant that it names.

use aidt_testkit::{Plant, catch};

#[test]
fn every_plant_is_caught() {
    let mut missed = Vec::new();
    for &plant in Plant::ALL {
        match catch(plant, 1, 5_000) {
            Some(caught) => println!("{plant:<24} {:>5} seeds  {}: {}", caught.seeds, caught.invariant, caught.why),
            None => missed.push(plant.name()),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn a_plant_is_found_by_its_name() {
    for &plant in Plant::ALL {
        assert_eq!(plant.name().parse(), Ok(plant));
    }
    assert!("no-such-plant".parse::<Plant>().is_err());
}
