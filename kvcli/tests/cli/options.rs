//! Every option of the calls can be said on the command line, and arrives.

use kvproto::v1::{
    self, Capability, Condition, ExpireCondition, Expiry, KeyRange, ReadLevel, ReadOptions,
    condition::Test, expire_request::Expiry as NewExpiry, expiry::When, key_range::Range,
    operation::Operation as Op,
};

use crate::{
    fake::Fake,
    run::{Ended, run},
};

/// What arrives of a command, without a request id.
#[track_caller]
fn sent(fake: &Fake, args: &[&str]) -> Op {
    let before = fake.arrived().len();
    let _: Ended = run(fake, &[args, &["--no-request-id"]].concat());
    let mut arrived = fake.arrived().split_off(before);
    assert_eq!(arrived.len(), 1, "{args:?}");
    arrived.remove(0)
}

fn set(fake: &Fake, args: &[&str]) -> v1::SetRequest {
    match sent(fake, &[&["set", "k", "v"], args].concat()) {
        Op::Set(request) => request,
        other => unreachable!("{other:?} for a set"),
    }
}

#[test]
fn conditions_and_expiries() {
    let fake = Fake::start();
    let table: [(&[&str], Test); 7] = [
        (&["--if-absent"], Test::Exists(false)),
        (&["--if-present"], Test::Exists(true)),
        (&["--if-revision", "3"], Test::ModRevision(3)),
        (&["--if-version", "4"], Test::Version(4)),
        (&["--if-created", "5"], Test::CreateRevision(5)),
        (&["--if-value", "--x"], Test::Value("--x".into())),
        (&["--if-value="], Test::Value("".into())),
    ];
    for (args, test) in table {
        let wanted = Some(Condition { test: Some(test) });
        assert_eq!(set(&fake, args).condition, wanted, "{args:?}");
        let Op::Delete(delete) = sent(&fake, &[&["del", "k", "--previous"], args].concat()) else {
            panic!("not a delete")
        };
        assert_eq!(delete.condition, wanted, "{args:?}");
        assert!(delete.return_previous);
    }
    let table: [(&[&str], When); 4] = [
        (&["--ttl", "90s"], When::TtlMs(90_000)),
        (
            &["--expire-at", "4102444800000"],
            When::AtMs(4_102_444_800_000),
        ),
        (&["--keep-ttl"], When::Keep(v1::KeepExpiry {})),
        (&["--lease", "-7"], When::LeaseId(-7)),
    ];
    for (args, when) in table {
        let wanted = Some(Expiry { when: Some(when) });
        assert_eq!(set(&fake, args).expiry, wanted, "{args:?}");
        let Op::Increment(increment) = sent(&fake, &[&["incr", "n"], args].concat()) else {
            panic!("not an increment")
        };
        assert_eq!(increment.expiry, wanted, "{args:?}");
    }
    let plain = set(&fake, &[]);
    assert_eq!(
        (plain.condition, plain.expiry, plain.options),
        (None, None, None)
    );
    assert!(!plain.return_previous && set(&fake, &["--previous"]).return_previous);
}

#[test]
fn increments_and_expires() {
    let fake = Fake::start();
    let Op::Increment(plain) = sent(&fake, &["incr", "n"]) else {
        panic!("not an increment")
    };
    let wanted = v1::IncrementRequest {
        key: "n".into(),
        ..Default::default()
    };
    assert_eq!(plain, wanted);
    let full: &[&str] = &[
        "incr",
        "n",
        "--by",
        "-3",
        "--initial",
        "-4",
        "--min",
        "-50",
        "--max",
        "60",
        "--saturate",
    ];
    let Op::Increment(full) = sent(&fake, full) else {
        panic!("not an increment")
    };
    let wanted = v1::IncrementRequest {
        key: "n".into(),
        delta: Some(-3),
        initial: -4,
        min: Some(-50),
        max: Some(60),
        saturate: true,
        ..Default::default()
    };
    assert_eq!(full, wanted);
    let table: [(&[&str], NewExpiry, ExpireCondition); 5] = [
        (
            &["2m"],
            NewExpiry::TtlMs(120_000),
            ExpireCondition::Unspecified,
        ),
        (
            &["2m", "--if-no-expiry"],
            NewExpiry::TtlMs(120_000),
            ExpireCondition::Nx,
        ),
        (
            &["--at", "5", "--if-expiry"],
            NewExpiry::AtMs(5),
            ExpireCondition::Xx,
        ),
        (
            &["--persist", "--if-later"],
            NewExpiry::Persist(v1::Persist {}),
            ExpireCondition::Gt,
        ),
        (
            &["--at=-5", "--if-earlier"],
            NewExpiry::AtMs(-5),
            ExpireCondition::Lt,
        ),
    ];
    for (args, expiry, condition) in table {
        let Op::Expire(expire) = sent(&fake, &[&["expire", "k"], args].concat()) else {
            panic!("not an expire")
        };
        assert_eq!(expire.condition(), condition, "{args:?}");
        assert_eq!(expire.expiry, Some(expiry), "{args:?}");
    }
}

#[test]
fn ranges() {
    let fake = Fake::start();
    let span = |start: &'static str, end: &'static str| {
        Range::Span(v1::Span {
            start: start.into(),
            end: end.into(),
        })
    };
    let table: [(&[&str], Range); 4] = [
        (&["--start", "a", "--end", "--b"], span("a", "--b")),
        (&["--start", "a"], span("a", "")),
        (&["--end", "b"], span("", "b")),
        (&["--key", "a"], Range::Key("a".into())),
    ];
    for (args, range) in table {
        let wanted = Some(KeyRange { range: Some(range) });
        let Op::Count(count) = sent(&fake, &[&["count"], args].concat()) else {
            panic!("not a count")
        };
        assert_eq!(count.range, wanted, "{args:?}");
        let Op::DeleteRange(rm) = sent(&fake, &[&["rm", "--yes"], args].concat()) else {
            panic!("not a delete of a range")
        };
        assert_eq!(rm.range, wanted, "{args:?}");
        run(&fake, &[&["scan"], args].concat()).exits(0);
        run(&fake, &[&["hash"], args].concat()).exits(0);
        assert_eq!(
            fake.scans().last().and_then(|scan| scan.range.clone()),
            wanted
        );
        assert_eq!(
            fake.hashes().last().and_then(|hash| hash.range.clone()),
            wanted
        );
    }
}

#[test]
fn scans_and_removals() {
    let fake = Fake::start();
    let full: &[&str] = &[
        "rm",
        "--prefix",
        "-p",
        "--dry-run",
        "--chunked",
        "--limit",
        "7",
    ];
    let wanted = v1::DeleteRangeRequest {
        range: Some(KeyRange {
            range: Some(Range::Prefix("-p".into())),
        }),
        atomic: Some(false),
        dry_run: true,
        limit: 7,
        options: None,
    };
    assert_eq!(sent(&fake, full), Op::DeleteRange(wanted));
    run(
        &fake,
        &[
            "scan",
            "p",
            "--limit",
            "5",
            "--reverse",
            "--keys-only",
            "--page-size",
            "2",
            "--token",
            "PHg=",
        ],
    )
    .exits(0);
    let wanted = v1::ScanRequest {
        range: Some(KeyRange {
            range: Some(Range::Prefix("p".into())),
        }),
        limit: 5,
        reverse: true,
        keys_only: true,
        page_size: 2,
        token: "<x".into(),
        options: None,
    };
    assert_eq!(fake.scans().last(), Some(&wanted));
}

#[test]
fn options_of_reads_and_writes() {
    let fake = Fake::start();
    let flags: &[&str] = &[
        "--read-level",
        "latest",
        "--at-revision",
        "7",
        "--min-position",
        "cG9z",
        "--require",
        "at-revision",
        "--require",
        "CAPABILITY_MIN_POSITION",
    ];
    let wanted = Some(ReadOptions {
        level: ReadLevel::Latest.into(),
        at_revision: 7,
        min_position: "pos".into(),
        require: vec![
            Capability::AtRevision.into(),
            Capability::MinPosition.into(),
        ],
    });
    for (command, kind) in [
        (["get", "k"], 0),
        (["ttl", "k"], 0),
        (["mget", "k"], 1),
        (["count", "k"], 2),
    ] {
        let options = match (sent(&fake, &[&command, flags].concat()), kind) {
            (Op::Get(request), 0) => request.options,
            (Op::BatchGet(request), 1) => request.options,
            (Op::Count(request), 2) => request.options,
            (other, _) => panic!("{other:?}"),
        };
        assert_eq!(options, wanted, "{command:?}");
    }
    run(&fake, &[&["scan"], flags].concat()).exits(0);
    run(&fake, &[&["hash"], flags].concat()).exits(0);
    assert_eq!(
        fake.scans().last().and_then(|scan| scan.options.clone()),
        wanted
    );
    assert_eq!(
        fake.hashes().last().and_then(|hash| hash.options.clone()),
        wanted
    );
    let options = set(&fake, &["--durability", "logged", "--require", "ttl"]).options;
    let wanted = v1::WriteOptions {
        durability: v1::Durability::Logged.into(),
        require: vec![Capability::Ttl.into()],
        ..Default::default()
    };
    assert_eq!(options, Some(wanted));
    run(&fake, &["get", "k", "--require", "magic"])
        .exits(2)
        .says("no capability");
    run(&fake, &["get", "k", "--at-revision", "0"])
        .exits(2)
        .says("--at-revision");
}
