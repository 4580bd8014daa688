"""What a Python client does with stubs generated from proto/.

    tour.py HOST:PORT

Sets, gets, batches, and pipelines 1,000 binary keys; every answer is compared.
Exits with 0, or with a traceback that names the first answer that is wrong.
"""

import sys

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


def refusals(store) -> None:
    """An error carries its reason, and what is not built yet says so."""

    def reason(call):
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

    code, name = reason(lambda: store.Get(kv.GetRequest(key=b"")))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "KEY" in name, (code, name)
    code, name = reason(lambda: store.Increment(kv.IncrementRequest(key=b"n")))
    assert (code, name) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_YET"), (code, name)


def main() -> None:
    with grpc.insecure_channel(sys.argv[1]) as channel:
        store = kv_service_pb2_grpc.KvServiceStub(channel)
        single(store)
        batch(store)
        pipeline(store)
        refusals(store)
        admin = admin_service_pb2_grpc.AdminServiceStub(channel)
        status = admin.GetStatus(admin_service_pb2.GetStatusRequest())
        assert status.keys == PIPELINED + 2, status
        print(f"keys={status.keys} revision={status.store_revision} grpcio={grpc.__version__}")


if __name__ == "__main__":
    main()
