//! `aidt serve` with every service in one process, over a file.

aidt_tests::suite!(aidt_tests::Stage::embedded);
