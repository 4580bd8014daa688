"""What a Python client does with stubs generated from proto/.

    tour.py HOST:PORT

Sets, gets, batches, pipelines 1,000 binary keys, runs transactions, scans, lets keys
expire and repeats requests; every answer is compared.
Exits with 0, or with a traceback that names the first answer that is wrong.
"""

import sys
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from kvd.v1 import admin_service_pb2, admin_service_pb2_grpc, kv_service_pb2 as kv
from kvd.v1 import kv_service_pb2_grpc, types_pb2

PIPELINED = 1000


def binary_key(number: int) -> bytes:
    """Every byte from 0 to 255 occurs; none of the keys is text."""
    return b"\x00\xff" + number.to_bytes(2, "big") + bytes([number % 256])


def binary_value(number: int) -> bytes:
    return bytes((number * 7 + i) % 256 for i in range(number % 300))


def single(store) -> None:
    reply = store.Set(kv.SetRequest(key=b"colour", value=b"blue"))
    assert reply.applied and reply.header.durable, reply
    assert reply.revision <= reply.header.durable_revision, reply
    reply = store.Get(kv.GetRequest(key=b"colour"))
    assert reply.found and reply.record.value == b"blue" and reply.record.version == 1, reply
    condition = types_pb2.Condition(exists=False)
    reply = store.Set(kv.SetRequest(key=b"colour", value=b"red", condition=condition))
    assert not reply.applied and reply.current.value == b"blue", reply
    reply = store.Delete(kv.DeleteRequest(key=b"colour", return_previous=True))
    assert reply.deleted and reply.previous.value == b"blue", reply
    assert not store.Get(kv.GetRequest(key=b"colour")).found


def batch(store) -> None:
    operations = [
        kv.BatchWriteOperation(set=kv.SetRequest(key=b"a\x00", value=b"1")),
        kv.BatchWriteOperation(set=kv.SetRequest(key=b"\xfe", value=b"")),
        kv.BatchWriteOperation(delete=kv.DeleteRequest(key=b"nothing")),
    ]
    reply = store.BatchWrite(kv.BatchWriteRequest(operations=operations))
    kinds = [result.WhichOneof("result") for result in reply.results]
    assert kinds == ["set", "set", "delete"], reply
    assert reply.results[0].set.revision < reply.results[1].set.revision, reply
    assert not reply.results[2].delete.deleted, reply
    reply = store.BatchGet(kv.BatchGetRequest(keys=[b"\xfe", b"nothing", b"a\x00"]))
    kinds = [result.WhichOneof("result") for result in reply.results]
    assert kinds == ["record", "missing", "record"], reply
    assert [reply.results[0].record.value, reply.results[2].record.value] == [b"", b"1"], reply


def pipeline(store) -> None:
    """Writes and reads in one stream, each read after its write."""

    def requests():
        for first in range(0, PIPELINED, 50):
            operations = []
            for number in range(first, first + 50):
                key = binary_key(number)
                write = kv.SetRequest(key=key, value=binary_value(number))
                operations.append(kv.Operation(id=2 * number, set=write))
                operations.append(kv.Operation(id=2 * number + 1, get=kv.GetRequest(key=key)))
            yield kv.PipelineRequest(operations=operations)

    expected = 0
    for message in store.Pipeline(requests(), timeout=60):
        for result in message.results:
            assert result.id == expected, f"{result.id} instead of {expected}"
            number = expected // 2
            if expected % 2 == 0:
                assert result.set.applied, result
            else:
                record = result.get.record
                assert result.get.found and record.value == binary_value(number), result
                assert record.key == binary_key(number), result
            expected += 1
    assert expected == 2 * PIPELINED, f"{expected} answers"
    for first in range(0, PIPELINED, 500):
        keys = [binary_key(number) for number in range(first, first + 500)]
        reply = store.BatchGet(kv.BatchGetRequest(keys=keys))
        values = [result.record.value for result in reply.results]
        assert values == [binary_value(number) for number in range(first, first + 500)]


def counters(store) -> None:
    assert store.Increment(kv.IncrementRequest(key=b"visits")).value == 1
    assert store.Increment(kv.IncrementRequest(key=b"visits", delta=41)).value == 42
    # 0 is not the same as absent, which is 1.
    code, name = reason(lambda: store.Increment(kv.IncrementRequest(key=b"visits", delta=0)))
    assert (code, name) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_NUMBER"), (code, name)
    code, name = reason(lambda: store.Increment(kv.IncrementRequest(key=b"a\x00", max=1)))
    assert (code, name) == (grpc.StatusCode.OUT_OF_RANGE, "OUT_OF_BOUNDS"), (code, name)
    assert store.Get(kv.GetRequest(key=b"visits")).record.value == b"42"
    assert store.Delete(kv.DeleteRequest(key=b"visits")).deleted


def transaction(store) -> None:
    """A lock that one of two takes: the other sees who has it."""

    def take(owner: bytes):
        absent = kv.Compare(
            range=types_pb2.KeyRange(key=b"lock"),
            operator=kv.COMPARE_OPERATOR_EQUAL,
            exists=False,
        )
        mine = kv.TxnOperation(set=kv.SetRequest(key=b"lock", value=owner))
        look = kv.TxnOperation(get=kv.GetRequest(key=b"lock"))
        return store.Txn(kv.TxnRequest(compares=[absent], success=[mine], failure=[look]))

    first, second = take(b"one"), take(b"two")
    assert first.succeeded and first.revision > 0, first
    assert first.responses[0].set.revision == first.revision, first
    assert not second.succeeded and second.revision == 0, second
    assert second.responses[0].get.record.value == b"one", second
    release = kv.TxnOperation(delete=kv.DeleteRequest(key=b"lock"))
    twice = kv.TxnRequest(success=[release, release])
    code, name = reason(lambda: store.Txn(twice))
    assert (code, name) == (grpc.StatusCode.INVALID_ARGUMENT, "DUPLICATE_KEY"), (code, name)
    reply = store.Txn(kv.TxnRequest(success=[release]))
    assert reply.responses[0].delete.deleted, reply


def scan(store) -> None:
    """All keys in pages, forwards, backwards, and on from a token."""
    prefix = types_pb2.KeyRange(prefix=b"\x00\xff")
    expected = sorted(binary_key(number) for number in range(PIPELINED))
    pages = list(store.Scan(kv.ScanRequest(range=prefix, page_size=300)))
    assert [len(page.records) for page in pages] == [300, 300, 300, 100], pages
    assert [record.key for page in pages for record in page.records] == expected
    on = kv.ScanRequest(range=prefix, reverse=True, keys_only=True, limit=10)
    page = next(iter(store.Scan(on)))
    assert [record.key for record in page.records] == expected[:-11:-1], page
    on.token = page.token
    page = next(iter(store.Scan(on)))
    assert [record.key for record in page.records] == expected[-11:-21:-1], page
    assert store.Count(kv.CountRequest(range=prefix)).count == PIPELINED
    dry = store.DeleteRange(kv.DeleteRangeRequest(range=prefix, dry_run=True))
    assert (dry.deleted, dry.last_revision) == (PIPELINED, 0), dry
    code, name = reason(lambda: store.Count(kv.CountRequest()))
    assert (code, name) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_RANGE"), (code, name)


def expiry(store) -> None:
    soon = types_pb2.Expiry(ttl_ms=200)
    reply = store.Set(kv.SetRequest(key=b"guest", value=b"here", expiry=soon))
    assert reply.record.expires_at_ms > 0, reply
    while store.Get(kv.GetRequest(key=b"guest")).found:
        time.sleep(0.02)
    reply = store.Expire(kv.ExpireRequest(key=b"guest", persist=kv.Persist()))
    assert not reply.found and not reply.applied, reply
    never = types_pb2.Expiry(ttl_ms=0)
    code, name = reason(lambda: store.Set(kv.SetRequest(key=b"guest", expiry=never)))
    assert (code, name) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_TTL"), (code, name)


def request_ids(store) -> None:
    """A retry is answered with what became of the first, and adds nothing."""
    once = types_pb2.WriteOptions(request_id=b"\x00order 17")
    order = kv.IncrementRequest(key=b"orders", options=once)
    first, again = store.Increment(order), store.Increment(order)
    assert (first.value, first.replayed) == (1, False), first
    assert (again.value, again.replayed) == (1, True), again
    assert first.revision == again.revision, (first, again)
    other = kv.IncrementRequest(key=b"orders", delta=2, options=once)
    code, name = reason(lambda: store.Increment(other))
    assert (code, name) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"), (code, name)
    assert store.Delete(kv.DeleteRequest(key=b"orders")).deleted


def reason(call):
    """The code of the status that a call ends with, and the reason in its details."""
    try:
        call()
    except grpc.RpcError as error:
        for detail in rpc_status.from_call(error).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                assert info.domain == "kvd", info
                return error.code(), info.reason
        raise
    raise AssertionError("the call was not refused")


def refusals(store, admin) -> None:
    """An error carries its reason, and what is not built yet says so."""

    code, name = reason(lambda: store.Get(kv.GetRequest(key=b"")))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "KEY" in name, (code, name)
    code, name = reason(lambda: admin.Compact(admin_service_pb2.CompactRequest()))
    assert (code, name) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_YET"), (code, name)


def main() -> None:
    with grpc.insecure_channel(sys.argv[1]) as channel:
        store = kv_service_pb2_grpc.KvServiceStub(channel)
        single(store)
        batch(store)
        pipeline(store)
        counters(store)
        transaction(store)
        scan(store)
        expiry(store)
        request_ids(store)
        admin = admin_service_pb2_grpc.AdminServiceStub(channel)
        refusals(store, admin)
        status = admin.GetStatus(admin_service_pb2.GetStatusRequest())
        assert status.keys == PIPELINED + 2, status
        print(f"keys={status.keys} revision={status.store_revision} grpcio={grpc.__version__}")


if __name__ == "__main__":
    main()
