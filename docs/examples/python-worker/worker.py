#!/usr/bin/env python3
"""A worker for aidt, written from docs/reference/worker-protocol.md alone.

    worker.py --url http://127.0.0.1:7070 --token-file ~/.aidt/worker.token --count effects.txt

It serves `example.once` and `example.idempotent` (see tools/*.yaml): each effect is a line of the file.
"""

import argparse
import asyncio
import json
import logging
import os
import random
import secrets
import signal
import socket
import sys
import time
from pathlib import Path

import grpc

import worker_pb2 as pb
from effects import CountFile, ToolFailed, tools
from grants import Refusal, SeenCalls, verify

METHOD = "/aidt.v1.WorkerHub/Connect"
WELCOME_WITHIN = 10
FIRST_BACKOFF, LONGEST_BACKOFF = 0.05, 5.0
KEEP_RESULTS = 600
DRAIN_GRACE, FAREWELL = 30, 5
OVERTIME = 5
HELLO_BYTES = 1024 * 1024
WAITING_PROGRESS = 1000
FINAL = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED)
OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    # A connection of its own for each attempt: gRPC's delays between attempts are not ours.
    ("grpc.use_local_subchannel_pool", 1),
]
# Else gRPC names the escaped path of a socket as the authority, which HTTP/2 servers refuse.
UNIX_OPTIONS = [("grpc.default_authority", "localhost")]

log = logging.getLogger("worker")


class Lost(Exception):
    """The session is over; connect again."""


def clock_ms():
    return time.time_ns() // 1_000_000


def address(url):
    """What gRPC dials for `http://HOST:PORT`, `https://HOST:PORT` or `unix:PATH`, and with which options."""
    if url.startswith("unix:"):
        return f"unix:{os.path.abspath(url[len('unix:'):])}", OPTIONS + UNIX_OPTIONS
    scheme, _, rest = url.partition("://")
    if scheme in ("http", "https") and rest:
        return rest.rstrip("/"), OPTIONS
    raise SystemExit(f"{url} is neither http(s)://HOST:PORT nor unix:PATH")


def credentials(args):
    """What this worker shows, and whom it believes; None for clear text, which is for this machine."""
    files = (args.ca, args.cert, args.key)
    if not args.url.startswith("https://"):
        if any(files):
            raise SystemExit("--ca, --cert and --key are for an https:// address")
        return None
    if not all(files):
        raise SystemExit(f"{args.url} takes mutual TLS: give --ca, --cert and --key")
    ca, cert, key = (Path(file).read_bytes() for file in files)
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=cert)


def key_of(call_id):
    return (call_id.run, call_id.step, call_id.dispatch, call_id.index)


class Call:
    """What a tool may know and use of its call."""

    def __init__(self, call, worker):
        self.id, self.tool, self.key = call.id, call.tool, call.idempotency_key
        self.effect_may_have_happened = False
        self._worker = worker

    def progress(self, fraction, message=""):
        frame = pb.Progress(id=self.id, fraction=fraction, message=message)
        self._worker.send(pb.WorkerFrame(progress=frame), droppable=True)


class Worker:
    """One life of a worker, over as many sessions as it takes."""

    def __init__(self, url, token_file, pool, slots, served, tls=None):
        self.target, self.options = address(url)
        self.tls = tls
        self.token_file, self.pool, self.slots, self.tools = token_file, pool, slots, served
        self.id = "wrk_" + secrets.token_hex(16)
        self.seen = SeenCalls()
        self.running = {}  # key -> the tool's task
        self.ending = set()  # those that wait for them
        self.unreported = {}  # key -> (result, when to forget it)
        self.outgoing = None  # frames of the session, while there is one
        self.session_key = b""
        self.draining = asyncio.Event()
        self.changed = asyncio.Event()
        self.backoff = FIRST_BACKOFF

    # ---- sessions

    def channel(self):
        if self.tls is None:
            return grpc.aio.insecure_channel(self.target, options=self.options)
        return grpc.aio.secure_channel(self.target, self.tls, options=self.options)

    async def run(self):
        """Serves until told to drain."""
        give_up = None
        while True:
            try:
                await self.session()
                return
            except grpc.aio.AioRpcError as error:
                if error.code() in FINAL:
                    raise SystemExit(f"the hub does not take this worker: {error.details()}") from error
                log.warning("not connected: %s %s", error.code().name, error.details())
            except (Lost, OSError, asyncio.TimeoutError, asyncio.InvalidStateError) as error:
                # The last is what a write to a stream that has just ended raises.
                log.warning("not connected: %s", error or type(error).__name__)
            if self.draining.is_set():
                give_up = give_up or time.monotonic() + DRAIN_GRACE
                if self.is_settled() or time.monotonic() > give_up:
                    return
            pause = self.backoff * random.uniform(0.5, 1)
            self.backoff = min(self.backoff * 2, LONGEST_BACKOFF)
            if self.is_settled():
                # Nobody waits for us: a request to stop ends the pause.
                await wait_at_most(self.draining.wait(), pause)
            else:
                await asyncio.sleep(pause)

    async def session(self):
        """One stream. Returns when drained; else raises."""
        async with self.channel() as channel:
            connect = channel.stream_stream(
                METHOD, request_serializer=pb.WorkerFrame.SerializeToString, response_deserializer=pb.HubFrame.FromString
            )
            stream = connect()
            hello, later = self.hello()
            await asyncio.wait_for(stream.write(pb.WorkerFrame(hello=hello)), WELCOME_WITHIN)
            welcome = await self.welcome(stream)
            self.session_key = welcome.session_key
            self.backoff = FIRST_BACKOFF
            self.outgoing = asyncio.Queue()
            for result in later:
                self.send(pb.WorkerFrame(result=result))
            silence = 3 * (welcome.ping_interval_ms or 5000) / 1000
            drain = asyncio.create_task(self.drain())
            others = [asyncio.create_task(self.read(stream, silence)), asyncio.create_task(self.write(stream))]
            try:
                await asyncio.wait([drain, *others], return_when=asyncio.FIRST_COMPLETED)
                for task in others:
                    if task.done() and not (drain.done() or self.draining.is_set() and self.is_settled()):
                        task.result()
                others[1].cancel()
                await wait_at_most(stream.done_writing(), FAREWELL)
                await asyncio.wait([others[0]], timeout=FAREWELL)
            finally:
                self.outgoing = None
                for task in [drain, *others]:
                    task.cancel()
                await asyncio.gather(drain, *others, return_exceptions=True)

    def hello(self):
        """The first frame, and the results that do not fit into it."""
        now = time.monotonic()
        self.unreported = {k: (r, until) for k, (r, until) in self.unreported.items() if until > now}
        with open(self.token_file, encoding="utf-8") as file:
            token = file.read().strip()
        hello = pb.Hello(
            token=token,
            worker=self.id,
            name=f"python-worker@{socket.gethostname()}",
            pool=self.pool,
            slots=self.slots,
            # No digests: "whatever the operator's entries say".
            tools=[pb.Tool(name=name) for name in sorted(self.tools)],
            running=[pb.CallId(run=k[0], step=k[1], dispatch=k[2], index=k[3]) for k in self.running],
            clock_ms=clock_ms(),
            protocol=1,
        )
        later, room = [], HELLO_BYTES
        for result, _ in self.unreported.values():
            room -= result.ByteSize()
            if room >= 0:
                hello.unreported.append(result)
            else:
                # Named all the same: the hub takes for never begun what a hello does not name.
                hello.running.append(result.id)
                later.append(result)
        return hello, later

    async def welcome(self, stream):
        frame = await asyncio.wait_for(stream.read(), WELCOME_WITHIN)
        if frame is grpc.aio.EOF or not frame.HasField("welcome"):
            raise Lost("the hub did not say welcome")
        for refused in frame.welcome.refused:
            log.warning("a tool will not be called: %s", refused)
        log.info("welcome in %s", frame.welcome.session)
        return frame.welcome

    async def read(self, stream, silence):
        while True:
            frame = await asyncio.wait_for(stream.read(), silence)
            if frame is grpc.aio.EOF:
                raise Lost("the hub ended the stream")
            self.hear(frame)

    async def write(self, stream):
        while True:
            await stream.write(await self.outgoing.get())

    def send(self, frame, droppable=False):
        if self.outgoing is not None and not (droppable and self.outgoing.qsize() > WAITING_PROGRESS):
            self.outgoing.put_nowait(frame)

    # ---- frames

    def hear(self, frame):
        kind = frame.WhichOneof("frame")
        if kind == "call":
            self.start(frame.call)
        elif kind == "cancel":
            task = self.running.get(key_of(frame.cancel.id))
            if task:
                task.cancel()
        elif kind == "result_ack":
            self.unreported.pop(key_of(frame.result_ack.id), None)
            self.changed.set()
        elif kind == "ping":
            self.send(pb.WorkerFrame(pong=pb.Pong(clock_ms=clock_ms())))

    def start(self, call):
        try:
            self.admit(call)
        except Refusal as refusal:
            log.warning("%s %s is not run: %s", call.tool, key_of(call.id), refusal)
            failed = pb.Failed(
                code=refusal.code,
                message=str(refusal),
                reason=refusal.reason,
                no_effect=refusal.no_effect,
                retryable=refusal.retryable,
            )
            # No time: it never began.
            self.send(pb.WorkerFrame(result=pb.Result(id=call.id, route=call.route, failed=failed)))
            return
        ctx = Call(call, self)
        work = asyncio.create_task(self.invoke(ctx, call.arguments))
        self.running[key_of(call.id)] = work
        ending = asyncio.create_task(self.end(call, ctx, work))
        self.ending.add(ending)
        ending.add_done_callback(self.ending.discard)

    def admit(self, call):
        now = clock_ms()
        verify(self.session_key, call, now)
        if call.tool not in self.tools:
            raise Refusal(f"this worker does not serve {call.tool}", "", retryable=True, code="tool_changed")
        if len(self.running) >= self.slots:
            raise Refusal("all slots are taken", "", retryable=True, code="overloaded")
        if self.seen.take(call, now):
            for (run, step, dispatch, _), task in self.running.items():
                if (run, step) == (call.id.run, call.id.step) and dispatch < call.id.dispatch:
                    task.cancel()

    # ---- calls

    async def invoke(self, ctx, arguments):
        output = await self.tools[ctx.tool](ctx, json.loads(arguments))
        return json.dumps(output, allow_nan=False).encode()

    async def end(self, call, ctx, work):
        """Waits for the work: whatever becomes of it, there is one result."""
        result = pb.Result(id=call.id, route=call.route, started_ms=clock_ms())
        limit = call.run_timeout_ms / 1000 + OVERTIME if call.run_timeout_ms else None
        done, _ = await asyncio.wait([work], timeout=limit)
        if not done:
            work.cancel()
            await asyncio.wait([work])
        try:
            result.done.output = work.result()
        except asyncio.CancelledError:
            if done:
                fill(result.cancelled, ctx, "cancelled", "the call was cancelled")
            else:
                fill(result.failed, ctx, "timeout_run", "the tool ran longer than allowed", retryable=True)
        except ToolFailed as error:
            fill(result.failed, ctx, error.code, str(error), error.reason, error.retryable)
        except Exception as error:  # A bug of the tool's is a failure of the call.
            log.exception("%s raised", call.tool)
            fill(result.failed, ctx, "tool_failed", f"{type(error).__name__}: {error}", "exception")
        key = key_of(call.id)
        del self.running[key]
        self.unreported[key] = (result, time.monotonic() + KEEP_RESULTS)
        self.send(pb.WorkerFrame(result=result))
        self.changed.set()

    # ---- the end

    def is_settled(self):
        return not self.running and not self.unreported

    async def drain(self):
        """Once asked to: no more calls, until nothing is owed any more, or nobody wants it."""
        await self.draining.wait()
        self.send(pb.WorkerFrame(drain=pb.Drain()))
        await wait_at_most(self.settled(), DRAIN_GRACE)
        for task in self.running.values():
            task.cancel()
        await wait_at_most(self.settled(), FAREWELL)

    async def settled(self):
        while not self.is_settled():
            self.changed.clear()
            await self.changed.wait()


def fill(failed, ctx, code, message, reason="", retryable=False):
    failed.code, failed.message, failed.reason, failed.retryable = code, message[:4096], reason, retryable
    failed.no_effect = not ctx.effect_may_have_happened


async def wait_at_most(awaitable, seconds):
    try:
        await asyncio.wait_for(awaitable, seconds)
    except (asyncio.TimeoutError, grpc.RpcError, asyncio.InvalidStateError):
        pass


async def serve(args):
    worker = Worker(args.url, args.token_file, args.pool, args.slots, tools(CountFile(args.count)), credentials(args))
    loop = asyncio.get_running_loop()

    def stop():
        if worker.draining.is_set():
            os._exit(130)
        log.info("draining")
        worker.draining.set()

    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, stop)
    await worker.run()


def main():
    parser = argparse.ArgumentParser(description="Serves example.once and example.idempotent to aidt.")
    parser.add_argument("--url", default=os.environ.get("AIDT_WORKER_URL"), help="http(s)://HOST:PORT or unix:PATH")
    parser.add_argument("--token-file", default=os.environ.get("AIDT_WORKER_TOKEN_FILE"))
    parser.add_argument("--ca", metavar="PEM", help="who may vouch for the step consumer; with https://")
    parser.add_argument("--cert", metavar="PEM", help="the worker's certificate")
    parser.add_argument("--key", metavar="PEM", help="its key")
    parser.add_argument("--count", required=True, metavar="FILE", help="one line is appended to it per effect")
    parser.add_argument("--pool", default="example")
    parser.add_argument("--slots", type=int, default=4)
    args = parser.parse_args()
    if not args.url or not args.token_file:
        parser.error("--url and --token-file are needed (or AIDT_WORKER_URL and AIDT_WORKER_TOKEN_FILE)")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    asyncio.run(serve(args))


if __name__ == "__main__":
    main()
