"""A workload of Python's grpcio without a proxy, moved by lines of JSON (see peer.ts)."""

import json
import sys
import threading
import time
from concurrent import futures

import grpc
import grpc.experimental

out = threading.Lock()
lock = threading.Lock()
channels = {}
servers = []
stopping = threading.Event()


def say(report):
    with out:
        print(json.dumps(report), flush=True)


def channel(target):
    with lock:
        if target not in channels:
            plain = grpc.experimental.insecure_channel_credentials()
            channels[target] = grpc.secure_channel(target, grpc.xds_channel_credentials(plain))
        return channels[target]


def calls(order):
    method = channel(order["target"]).unary_unary(order["method"])
    report = {"id": order["id"], "codes": {}, "servers": {}, "messages": [], "maxMs": 0}
    begun = [0]
    own = threading.Lock()

    def work():
        while not stopping.is_set():
            with own:
                if begun[0] >= order["count"]:
                    return
                begun[0] += 1
            since = time.monotonic()
            server, code, message = "", "0", ""
            try:
                _, call = method.with_call(
                    b"",
                    timeout=order["timeoutMs"] / 1000,
                    metadata=tuple(order["metadata"].items()),
                )
                server = dict(call.initial_metadata()).get("x-backend", "")
            except grpc.RpcError as error:
                code, message = str(error.code().value[0]), str(error.details())
            took = (time.monotonic() - since) * 1000
            with own:
                report["codes"][code] = report["codes"].get(code, 0) + 1
                report["maxMs"] = max(report["maxMs"], took)
                if code == "0":
                    report["servers"][server] = report["servers"].get(server, 0) + 1
                elif len(report["messages"]) < 5:
                    report["messages"].append(message)

    threads = [threading.Thread(target=work) for _ in range(order["parallel"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    say(report)


class Echo(grpc.GenericRpcHandler):
    def __init__(self, name):
        self.name = name

    def service(self, details):
        def answer(body, context):
            context.send_initial_metadata((("x-backend", self.name),))
            return body

        return grpc.unary_unary_rpc_method_handler(answer)


def serve(order):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), xds=True)
    server.add_generic_rpc_handlers((Echo(order["name"]),))
    creds = grpc.xds_server_credentials(grpc.insecure_server_credentials())
    server.add_secure_port(order["address"], creds)
    server.start()
    servers.append(server)
    say({"id": order["id"]})


def obey(order):
    try:
        (calls if order["op"] == "calls" else serve)(order)
    except Exception as error:
        say({"id": order["id"], "error": repr(error)})


for line in sys.stdin:
    order = json.loads(line)
    if order["op"] == "stop":
        stopping.set()
    elif order["op"] == "go":
        stopping.clear()
    else:
        threading.Thread(target=obey, args=(order,), daemon=True).start()
