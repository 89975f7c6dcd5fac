//! The tests' collector by itself, for measurements: says where it listens, and each second what came.

#![expect(clippy::disallowed_methods, reason = "outside, in real time")]

use aidt_tests::Collector;
use std::time::Duration;

fn main() {
    let collector = Collector::start();
    println!("grpc {} http {}", collector.grpc(), collector.http());
    let mut last = 0;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let count = collector.spans().len();
        if count != last {
            println!("{count} spans");
            last = count;
        }
    }
}
