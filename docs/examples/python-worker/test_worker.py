"""Tests of the worker: `python -m unittest` in this folder. The hub of the session tests is played here."""

import asyncio
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import grpc

import grants
import worker_pb2 as pb
from effects import CountFile

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parents[2] / "crates" / "grants" / "tests" / "vectors.json"
RUN = "run_00000000000000000000000000000001"
KEY = bytes(range(32))


def call_of(claims, mac=b""):
    """The call that a vector is about."""
    c = dict(claims)
    ident = pb.CallId(run=c.pop("run"), step=c.pop("step"), dispatch=c.pop("dispatch"), index=c.pop("index"))
    tool, arguments = c.pop("tool"), c.pop("arguments").encode()
    return pb.Call(id=ident, tool=tool, arguments=arguments, grant=pb.Grant(mac=mac, **c))


class Vectors(unittest.TestCase):
    def setUp(self):
        self.vectors = json.loads(VECTORS.read_text(encoding="utf-8"))

    def test_every_grant_is_signed_and_verified_as_in_the_vectors(self):
        self.assertGreater(len(self.vectors["vectors"]), 3)
        for vector in self.vectors["vectors"]:
            with self.subTest(vector["name"]):
                call = call_of(vector["claims"], bytes.fromhex(vector["mac"]))
                self.assertEqual(grants.signing_string(call), vector["signing_string"])
                key, late = bytes.fromhex(vector["session_key"]), call.grant.not_after_ms
                for change in ("step", "run"):
                    other = pb.Call.FromString(call.SerializeToString())
                    setattr(other.id, change, "other")
                    self.assertEqual(self.refusal(key, other, late), "bad_mac")
                demanding = call.grant.min_sandbox != "none" or call.grant.obligations != "{}"
                self.assertEqual(self.refusal(key, call, late), "sandbox" if demanding else None)
                self.assertEqual(self.refusal(key, call, late + 1), "expired")
                self.assertEqual(self.refusal(bytes(32), call, late), "bad_mac")

    def test_what_cannot_be_signed_is_refused(self):
        self.assertGreater(len(self.vectors["refused"]), 3)
        for vector in self.vectors["refused"]:
            with self.subTest(vector["name"]), self.assertRaises(grants.Refusal):
                grants.signing_string(call_of(vector["claims"]))

    def refusal(self, key, call, now):
        try:
            return grants.verify(key, call, now)
        except grants.Refusal as refusal:
            return refusal.reason


class Seen(unittest.TestCase):
    def take(self, seen, step="a", dispatch=1, index=0, now=0):
        call = pb.Call(id=pb.CallId(run=RUN, step=step, dispatch=dispatch, index=index))
        call.grant.not_after_ms = now + 30_000
        try:
            return seen.take(call, now)
        except grants.Refusal as refusal:
            return refusal.reason

    def test_each_call_once_and_no_lower_dispatch(self):
        seen = grants.SeenCalls()
        self.assertEqual(self.take(seen), True)
        self.assertEqual(self.take(seen), "seen_call")
        self.assertEqual(self.take(seen, index=1), False)
        self.assertEqual(self.take(seen, step="b"), True)
        self.assertEqual(self.take(seen, dispatch=3), True)
        self.assertEqual(self.take(seen, dispatch=2), "stale_dispatch")

    def test_what_was_forgotten_is_not_run_again(self):
        seen = grants.SeenCalls()
        self.take(seen, now=0)
        self.assertEqual(self.take(seen, step="b", now=grants.REMEMBER_MS), True)
        self.assertEqual(self.take(seen, now=0), "expired")


class Effects(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.dir.name, "count")

    def tearDown(self):
        self.dir.cleanup()

    def open(self):
        file = CountFile(self.path)
        self.addCleanup(file.close)
        return file

    def lines(self):
        return Path(self.path).read_text(encoding="utf-8").splitlines()

    def test_a_key_is_counted_once_by_this_worker_the_next_and_another(self):
        first, other = self.open(), self.open()
        self.assertFalse(first.add_once("t", "k", "t run a 1 k"))
        self.assertTrue(first.add_once("t", "k", "t run a 2 k"))
        self.assertTrue(other.add_once("t", "k", "t run a 3 k"))
        self.assertTrue(self.open().add_once("t", "k", "t run a 4 k"))
        self.assertFalse(other.add_once("u", "k", "u run b 1 k"))
        self.assertEqual(self.lines(), ["t run a 1 k", "u run b 1 k"])
        self.assertEqual(len(Path(self.path + ".repeats").read_text().splitlines()), 3)

    def test_a_line_that_a_crash_cut_off_does_not_count(self):
        Path(self.path).write_text("t run a 1 k\nt run b 1 cut")
        file = self.open()
        self.assertFalse(file.add_once("t", "cut2", "t run b 2 cut2"))
        self.assertEqual(self.lines(), ["t run a 1 k", "t run b 1 cut", "t run b 2 cut2"])
        self.assertTrue(file.add_once("t", "k", ""))


class Authority:
    """Certificates, made by openssl."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.ca, ca_key = self.path("ca.pem"), self.path("ca.key")
        self.run("req", "-x509", *self.NEW, "-keyout", ca_key, "-subj", f"/CN={name}", "-out", self.ca)

    NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")

    def path(self, file):
        return os.path.join(self.folder, f"{self.name}-{file}")

    def run(self, *args, **more):
        subprocess.run(["openssl", *args], check=True, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, **more)

    def signs(self, who):
        """The files of a certificate for 127.0.0.1, and of its key."""
        cert, key, request, names = (self.path(f"{who}.{what}") for what in ("pem", "key", "request", "names"))
        Path(names).write_text("subjectAltName=IP:127.0.0.1\n")
        self.run("req", "-new", *self.NEW, "-keyout", key, "-subj", f"/CN={who}", "-out", request)
        ca = ("-CA", self.ca, "-CAkey", self.path("ca.key"), "-CAcreateserial")
        self.run("x509", "-req", "-in", request, *ca, "-extfile", names, "-out", cert)
        return cert, key


class Hub:
    """One side of the protocol, by hand. With `tls`, a pair of authorities, it shows a certificate of the first and
    takes workers of the first only; the worker shows one of the second."""

    def __init__(self, tls=None):
        self.tls = tls

    async def __aenter__(self):
        self.dir = tempfile.TemporaryDirectory()
        self.count = os.path.join(self.dir.name, "count")
        socket = os.path.join(self.dir.name, "sock")
        self.streams = asyncio.Queue()
        self.server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(
            self.connect, request_deserializer=pb.WorkerFrame.FromString, response_serializer=pb.HubFrame.SerializeToString
        )
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("aidt.v1.WorkerHub", {"Connect": handler}),)
        )
        url, files = f"unix:{socket}", []
        if self.tls:
            ours, theirs = (Authority(self.dir.name, name) for name in self.tls)
            shown = [Path(file).read_bytes() for file in ours.signs("hub")]
            trusted = Path(ours.ca).read_bytes()
            credentials = grpc.ssl_server_credentials([(shown[1], shown[0])], trusted, require_client_auth=True)
            url = f"https://127.0.0.1:{self.server.add_secure_port('127.0.0.1:0', credentials)}"
            cert, key = theirs.signs("worker")
            files = ["--ca", ours.ca, "--cert", cert, "--key", key]
        else:
            self.server.add_insecure_port(f"unix:{socket}")
        await self.server.start()
        token = os.path.join(self.dir.name, "token")
        Path(token).write_text("open sesame\n")
        env = dict(os.environ, AIDT_WORKER_URL=url, AIDT_WORKER_TOKEN_FILE=token)
        command = [sys.executable, str(HERE / "worker.py"), "--count", self.count, "--slots", "2", *files]
        quiet = None if os.environ.get("VERBOSE") else asyncio.subprocess.DEVNULL
        self.worker = await asyncio.create_subprocess_exec(*command, env=env, stderr=quiet)
        return self

    async def __aexit__(self, *_):
        if self.worker.returncode is None:
            self.worker.kill()
            await self.worker.wait()
        await self.server.stop(None)
        self.dir.cleanup()

    async def connect(self, _, context):
        ended = asyncio.Event()
        await self.streams.put(Stream(context, ended))
        await ended.wait()

    async def welcomed(self):
        """The next stream of the worker, and its hello."""
        stream = await asyncio.wait_for(self.streams.get(), 10)
        hello = (await stream.frame()).hello
        await stream.say(welcome=pb.Welcome(session_key=KEY, session="s", ping_interval_ms=5000))
        return stream, hello

    def lines(self):
        return Path(self.count).read_text().splitlines() if os.path.exists(self.count) else []


class Stream:
    def __init__(self, context, ended):
        self.context, self.ended = context, ended

    async def say(self, **frame):
        await self.context.write(pb.HubFrame(**frame))

    async def frame(self):
        return await asyncio.wait_for(self.context.read(), 10)

    async def result(self):
        while True:
            frame = await self.frame()
            if frame.HasField("result"):
                return frame.result

    async def progress(self, step):
        """A sign of life of that step: its effect is counted by then."""
        while (await self.frame()).progress.id.step != step:
            pass

    async def ack(self, result):
        await self.say(result_ack=pb.ResultAck(id=result.id))

    def end(self):
        self.ended.set()


def call(tool, step, args, dispatch=1, key="k"):
    """A call with a good grant."""
    made = pb.Call(
        id=pb.CallId(run=RUN, step=step, dispatch=dispatch),
        tool=f"example.{tool}",
        arguments=json.dumps(args).encode(),
        idempotency_key=key,
        route=b"route",
        run_timeout_ms=60_000,
    )
    made.grant.entry_digest, made.grant.policy_revision = "sha256:0", "r"
    made.grant.obligations, made.grant.min_sandbox = "{}", "none"
    made.grant.not_after_ms = int(time.time() * 1000) + 30_000
    made.grant.mac = hmac.new(KEY, grants.signing_string(made).encode(), hashlib.sha256).digest()
    return made


class Sessions(unittest.IsolatedAsyncioTestCase):
    async def test_calls_are_run_counted_and_reported(self):
        async with Hub() as hub:
            stream, hello = await hub.welcomed()
            self.assertEqual((hello.token, hello.pool, hello.slots, hello.protocol), ("open sesame", "example", 2, 1))
            self.assertEqual([t.name for t in hello.tools], ["example.idempotent", "example.once"])
            self.assertRegex(hello.worker, "^wrk_[0-9a-f]{32}$")
            await stream.say(call=call("once", "a", {"value": "é"}))
            result = await stream.result()
            self.assertEqual(json.loads(result.done.output), {"value": "é", "key": "k", "repeated": False})
            self.assertEqual((result.route, result.id.step), (b"route", "a"))
            self.assertEqual(hub.lines(), [f"example.once {RUN} a 1 k"])
            for dispatch, repeated in ((1, False), (2, True)):
                await stream.say(call=call("idempotent", "b", {"value": 1}, dispatch))
                self.assertEqual(json.loads((await stream.result()).done.output)["repeated"], repeated)
            self.assertEqual(len(hub.lines()), 2)
            await stream.say(call=call("once", "c", {"ms": -1}))
            failed = (await stream.result()).failed
            self.assertEqual((failed.code, failed.no_effect), ("invalid_argument", True))

    async def test_refusals(self):
        async with Hub() as hub:
            stream, _ = await hub.welcomed()
            good = call("once", "a", {})
            bad = pb.Call.FromString(good.SerializeToString())
            bad.arguments = b'{"value":1}'
            await stream.say(call=bad)
            failed = (await stream.result()).failed
            self.assertEqual((failed.code, failed.reason, failed.no_effect), ("grant_refused", "bad_mac", True))
            await stream.say(call=good)
            self.assertTrue((await stream.result()).HasField("done"))
            await stream.say(call=good)
            failed = (await stream.result()).failed
            self.assertEqual((failed.reason, failed.no_effect), ("seen_call", False))
            for step in "bc":
                await stream.say(call=call("once", step, {"ms": 60_000}))
                await stream.progress(step)
            await stream.say(call=call("once", "d", {"ms": 60_000}))
            self.assertEqual((await stream.result()).failed.code, "overloaded")
            self.assertEqual(len(hub.lines()), 3)

    async def test_over_tls(self):
        async with Hub(tls=("ours", "ours")) as hub:
            stream, _ = await hub.welcomed()
            await stream.say(call=call("once", "a", {}))
            self.assertTrue((await stream.result()).HasField("done"))

    async def test_over_tls_a_worker_of_another_authority_does_not_come_in(self):
        async with Hub(tls=("ours", "theirs")) as hub:
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(hub.streams.get(), 3)
            self.assertIsNone(hub.worker.returncode)

    def test_over_tls_nobody_goes_without_certificates(self):
        command = [sys.executable, str(HERE / "worker.py"), "--url", "https://127.0.0.1:1", "--token-file", "t"]
        with tempfile.TemporaryDirectory() as folder:
            ended = subprocess.run([*command, "--count", f"{folder}/count"], capture_output=True, text=True)
        self.assertEqual(ended.returncode, 1)
        self.assertIn("--ca, --cert and --key", ended.stderr)

    async def test_cancels(self):
        async with Hub() as hub:
            stream, _ = await hub.welcomed()
            first = call("once", "a", {"ms": 60_000})
            await stream.say(call=first)
            self.assertTrue((await stream.frame()).HasField("progress"))
            await stream.say(cancel=pb.Cancel(id=first.id))
            cancelled = (await stream.result()).cancelled
            self.assertEqual((cancelled.code, cancelled.no_effect), ("cancelled", False))
            await stream.say(call=call("idempotent", "b", {"ms": 60_000}))
            await stream.say(call=call("idempotent", "b", {}, dispatch=2))
            results = [await stream.result(), await stream.result()]
            results.sort(key=lambda r: r.id.dispatch)
            self.assertTrue(results[0].HasField("cancelled"))
            self.assertTrue(results[1].HasField("done"))

    async def test_results_outlive_sessions(self):
        async with Hub() as hub:
            stream, hello = await hub.welcomed()
            await stream.say(call=call("once", "a", {"ms": 1_500}))
            await stream.frame()
            stream.end()
            stream, again = await hub.welcomed()
            self.assertEqual(again.worker, hello.worker)
            self.assertEqual([c.step for c in again.running], ["a"])
            self.assertTrue((await stream.result()).HasField("done"))
            stream.end()
            stream, hello = await hub.welcomed()
            self.assertEqual(([c.step for c in hello.running], len(hello.unreported)), ([], 1))
            await stream.ack(hello.unreported[0])
            await stream.say(ping=pb.Ping())
            self.assertTrue((await stream.frame()).HasField("pong"))
            stream.end()
            _, hello = await hub.welcomed()
            self.assertEqual(len(hello.unreported), 0)
            self.assertEqual(len(hub.lines()), 1)

    async def test_sigterm_drains(self):
        async with Hub() as hub:
            stream, _ = await hub.welcomed()
            await stream.say(call=call("once", "a", {"ms": 1_000}))
            await stream.frame()
            hub.worker.send_signal(signal.SIGTERM)
            kinds, result = [], None
            while result is None:
                frame = await stream.frame()
                kinds.append(frame.WhichOneof("frame"))
                result = frame.result if frame.HasField("result") else None
            self.assertIn("drain", kinds)
            self.assertTrue(result.HasField("done"))
            await stream.ack(result)
            self.assertIs(await stream.frame(), grpc.aio.EOF)
            stream.end()
            self.assertEqual(await asyncio.wait_for(hub.worker.wait(), 10), 0)

    async def test_sigterm_ends_an_idle_worker_and_one_without_a_hub(self):
        async with Hub() as hub:
            await hub.server.stop(None)
            hub.worker.send_signal(signal.SIGTERM)
            self.assertIn(await asyncio.wait_for(hub.worker.wait(), 10), (0, -signal.SIGTERM))


if __name__ == "__main__":
    unittest.main()
