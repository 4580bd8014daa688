//! `verify` and `acknowledge-repair`.

use crate::{fake::Fake, run::run};

#[test]
fn what_is_damaged_is_named_and_is_no_success() {
    let fake = Fake::start();
    run(&fake, &["verify"])
        .exits(0)
        .prints("bytes=300\ndamages=0\n");
    run(&fake, &["verify", "--rate", "1KiB"])
        .exits(1)
        .prints("bytes=300\ndamages=1\none\t77\t5\tcolour\tone bit is wrong\n")
        .says("one, byte 77: one bit is wrong");
    run(&fake, &["verify", "--rate", "1KiB", "-o", "jsonl"])
        .exits(1)
        .prints(concat!(
            r#"{"bytes":300,"damages":[{"file":"one","offset":77,"first_revision":5,"#,
            r#""last_revision":5,"lost_records":0,"detail":"one bit is wrong","#,
            r#""keys":[{"key":"colour"}]}]}"#,
            "\n"
        ));
}

#[test]
fn a_check_that_broke_off_says_so() {
    let fake = Fake::start();
    run(&fake, &["verify", "--rate", "2KiB"])
        .exits(5)
        .says("before its last message");
    run(&fake, &["verify", "--rate", "3KiB"])
        .exits(4)
        .says("DRAINING");
    for rate in ["0KiB", "64", "fast", "9999999999GiB"] {
        run(&fake, &["verify", "--rate", rate]).exits(2);
    }
}

#[test]
fn a_repair_is_acknowledged_by_the_name_of_the_store() {
    let fake = Fake::start();
    run(&fake, &["acknowledge-repair", "0123"])
        .exits(0)
        .prints("");
    run(&fake, &["acknowledge-repair", "4567"])
        .exits(4)
        .says("STORE_MISMATCH");
    run(&fake, &["acknowledge-repair"]).exits(2);
}
