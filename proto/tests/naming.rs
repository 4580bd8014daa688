//! The rules of the wire contract that a compiler does not check, read from the
//! descriptor set: names, headers, options and a comment on everything.

use std::collections::{BTreeMap, BTreeSet};

use kvproto::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::Type, source_code_info::Location,
};

fn files() -> Vec<FileDescriptorProto> {
    FileDescriptorSet::decode(FILE_DESCRIPTOR_SET)
        .expect("our own descriptor set")
        .file
}

/// All messages of a file with their qualified names, nested ones included.
fn messages(file: &FileDescriptorProto) -> Vec<(String, DescriptorProto)> {
    fn collect(prefix: &str, list: &[DescriptorProto], into: &mut Vec<(String, DescriptorProto)>) {
        for message in list {
            let name = format!("{prefix}.{}", message.name());
            collect(&name, &message.nested_type, into);
            into.push((name, message.clone()));
        }
    }
    let mut found = Vec::new();
    collect(
        &format!(".{}", file.package()),
        &file.message_type,
        &mut found,
    );
    found
}

/// `ServerState` -> `SERVER_STATE`.
fn screaming(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if i > 0 && c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

fn is_snake_case(name: &str) -> bool {
    !name.starts_with('_')
        && !name.contains("__")
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[test]
fn files_name_their_package_and_options() {
    let names: BTreeSet<String> = files().iter().map(|f| f.name().to_owned()).collect();
    let wanted = [
        "types",
        "kv_service",
        "watch_service",
        "lease_service",
        "admin_service",
    ];
    assert_eq!(names, wanted.map(|n| format!("kvd/v1/{n}.proto")).into());
    for file in files() {
        assert_eq!(file.package(), "kvd.v1", "{}", file.name());
        assert_eq!(file.syntax(), "proto3", "{}", file.name());
        let options = file.options.as_ref().expect("file options");
        assert!(
            options.go_package().ends_with("kvd/v1;kvdv1"),
            "{}",
            file.name()
        );
        assert_eq!(options.java_package(), "kvd.v1", "{}", file.name());
        assert!(options.java_multiple_files(), "{}", file.name());
        assert!(
            options.java_outer_classname().ends_with("Proto"),
            "{}",
            file.name()
        );
    }
}

#[test]
fn services_declare_the_calls_of_the_contract() {
    let mut found = BTreeMap::new();
    for service in files().iter().flat_map(|f| &f.service) {
        let calls: Vec<String> = service.method.iter().map(|m| m.name().to_owned()).collect();
        found.insert(service.name().to_owned(), calls.join(" "));
    }
    let wanted = [
        (
            "KvService",
            "Get Set Delete Increment Expire BatchGet BatchWrite Txn Scan Count DeleteRange \
             Pipeline WaitDurable",
        ),
        ("WatchService", "Watch"),
        ("LeaseService", "Grant Revoke KeepAlive TimeToLive List"),
        (
            "AdminService",
            "GetStatus GetLimits GetCapabilities GetConfig CreateSnapshot Backup Verify Hash \
             AcknowledgeRepair Reload GetSlowOperations Compact",
        ),
    ];
    assert_eq!(
        found,
        wanted.map(|(s, c)| (s.to_owned(), c.to_owned())).into()
    );
}

#[test]
fn calls_have_requests_and_replies_of_their_own() {
    for service in files().iter().flat_map(|f| &f.service) {
        assert!(service.name().ends_with("Service"));
        for call in &service.method {
            assert_eq!(call.input_type(), format!(".kvd.v1.{}Request", call.name()));
            assert_eq!(
                call.output_type(),
                format!(".kvd.v1.{}Response", call.name())
            );
        }
    }
}

#[test]
fn every_reply_begins_with_the_header() {
    let mut replies = 0;
    for file in files() {
        for (name, message) in messages(&file)
            .iter()
            .filter(|(n, _)| n.ends_with("Response"))
        {
            let first = message.field.first().expect(name);
            assert_eq!(first.name(), "header", "{name}");
            assert_eq!(first.number(), 1, "{name}");
            assert_eq!(first.type_name(), ".kvd.v1.ResponseHeader", "{name}");
            replies += 1;
        }
    }
    assert_eq!(replies, 31, "one reply per call");
}

#[test]
fn fields_are_snake_case_and_revisions_int64() {
    for file in files() {
        for (name, message) in messages(&file) {
            for field in &message.field {
                let place = format!("{name}.{}", field.name());
                assert!(is_snake_case(field.name()), "{place}");
                let bool_question = field.r#type() == Type::Bool;
                if field.name().ends_with("_ms")
                    || (field.name().ends_with("revision") && !bool_question)
                {
                    assert_eq!(field.r#type(), Type::Int64, "{place}");
                }
                // Settings and counters are no stored keys and values.
                let stored = !name.ends_with("Entry")
                    && !["IncrementResponse", "GetStatusResponse"]
                        .iter()
                        .any(|n| name.ends_with(n));
                if stored && matches!(field.name(), "key" | "keys" | "value" | "prefix") {
                    assert_eq!(field.r#type(), Type::Bytes, "{place}");
                }
            }
        }
    }
}

/// An option that changes what a call does must sit in a oneof, so that a
/// variant this version does not know leaves the oneof empty and is noticed.
#[test]
fn option_messages_are_one_oneof() {
    let wanted = ["Condition", "Expiry", "KeyRange", "WatchStart"];
    for option in wanted {
        let file = files()
            .into_iter()
            .find(|f| f.message_type.iter().any(|m| m.name() == option));
        let file = file.expect(option);
        let message = file
            .message_type
            .iter()
            .find(|m| m.name() == option)
            .expect(option);
        assert_eq!(message.oneof_decl.len(), 1, "{option}");
        assert!(
            message.field.iter().all(|f| f.oneof_index == Some(0)),
            "{option}"
        );
    }
}

#[test]
fn mutations_take_write_options_and_reads_take_read_options() {
    let writes = [
        "Set",
        "Delete",
        "Increment",
        "Expire",
        "BatchWrite",
        "Txn",
        "DeleteRange",
    ];
    let reads = ["Get", "BatchGet", "Scan", "Count"];
    let all: BTreeMap<String, DescriptorProto> = files().iter().flat_map(messages).collect();
    let check = |call: &str, options: &str| {
        let request = &all[&format!(".kvd.v1.{call}Request")];
        let field = request
            .field
            .iter()
            .find(|f| f.name() == "options")
            .expect(call);
        assert_eq!((field.number(), field.type_name()), (9, options), "{call}");
    };
    for call in writes {
        check(call, ".kvd.v1.WriteOptions");
    }
    for call in reads {
        check(call, ".kvd.v1.ReadOptions");
    }
}

fn check_enum(e: &EnumDescriptorProto) {
    let prefix = screaming(e.name());
    let zero = e.value.first().expect("an enum has values");
    assert_eq!(
        (zero.name(), zero.number()),
        (&*format!("{prefix}_UNSPECIFIED"), 0)
    );
    for value in &e.value {
        assert!(
            value.name().starts_with(&format!("{prefix}_")),
            "{}",
            value.name()
        );
    }
}

#[test]
fn enums_are_prefixed_and_start_unspecified() {
    for file in files() {
        file.enum_type.iter().for_each(check_enum);
        for (name, message) in messages(&file) {
            assert!(
                message.enum_type.is_empty(),
                "{name}: enums belong at the top of a file"
            );
        }
    }
}

/// Paths into a descriptor that must carry a comment, with a name to complain
/// about. The numbers are the field numbers of descriptor.proto.
fn documented_paths(file: &FileDescriptorProto) -> Vec<(Vec<i32>, String)> {
    let index = |i: usize| i32::try_from(i).expect("small");
    let mut paths = Vec::new();
    for (i, message) in file.message_type.iter().enumerate() {
        paths.push((vec![4, index(i)], message.name().to_owned()));
        for (j, field) in message.field.iter().enumerate() {
            let name = format!("{}.{}", message.name(), field.name());
            paths.push((vec![4, index(i), 2, index(j)], name));
        }
    }
    for (i, e) in file.enum_type.iter().enumerate() {
        paths.push((vec![5, index(i)], e.name().to_owned()));
        for (j, value) in e.value.iter().enumerate() {
            paths.push((vec![5, index(i), 2, index(j)], value.name().to_owned()));
        }
    }
    for (i, service) in file.service.iter().enumerate() {
        paths.push((vec![6, index(i)], service.name().to_owned()));
        for (j, call) in service.method.iter().enumerate() {
            let name = format!("{}.{}", service.name(), call.name());
            paths.push((vec![6, index(i), 2, index(j)], name));
        }
    }
    paths
}

#[test]
fn everything_has_a_comment() {
    let mut documented = 0;
    for file in files() {
        let info = file.source_code_info.as_ref().expect("comments are kept");
        let comments: BTreeMap<&[i32], &Location> = info
            .location
            .iter()
            .map(|l| (l.path.as_slice(), l))
            .collect();
        for (path, name) in documented_paths(&file) {
            let comment = comments
                .get(path.as_slice())
                .map_or("", |l| l.leading_comments());
            assert!(
                !comment.trim().is_empty(),
                "{}: {name} has no comment",
                file.name()
            );
            documented += 1;
        }
    }
    assert!(documented > 400, "only {documented} things looked at");
}
