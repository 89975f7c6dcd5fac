"""The example's tools, and the file that their effects are lines of."""

import asyncio
import fcntl
import os
import threading


class ToolFailed(Exception):
    """A failure that the tool reports itself."""

    def __init__(self, message, code="tool_failed", reason="", retryable=False):
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.retryable = retryable


class CountFile:
    """One line per effect: `tool run step dispatch key`.

    Each line is on the disk before its call says that it is done. For an idempotent tool the file is also
    the store of its keys: key and effect are the same line, so no crash can part them. Several workers may
    share a file.
    """

    def __init__(self, path):
        self._path = path
        self._lock = threading.Lock()
        self._file = open(path, "ab+")
        self._read = 0
        self._keys = set()

    def add(self, line):
        """Counts an effect."""
        with self._exclusive():
            self._append(line)

    def add_once(self, tool, key, line):
        """Counts an effect unless its key is there already; answers whether it was."""
        with self._exclusive():
            self._catch_up()
            if (tool, key) in self._keys:
                with open(self._path + ".repeats", "a", encoding="utf-8") as repeats:
                    repeats.write(line + "\n")
                return True
            self._append(line)
            return False

    def close(self):
        self._file.close()

    def _append(self, line):
        data = line.encode() + b"\n"
        # What a crash cut off stays a line of its own.
        end = self._file.seek(0, os.SEEK_END)
        if end > 0:
            self._file.seek(end - 1)
            data = data if self._file.read(1) == b"\n" else b"\n" + data
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _catch_up(self):
        self._file.seek(self._read)
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            self._read += len(line)
            fields = line.decode(errors="replace").split()
            if len(fields) == 5:
                self._keys.add((fields[0], fields[4]))

    def _exclusive(self):
        return _Locks(self._lock, self._file)


class _Locks:
    """Against threads of this process, and against other processes."""

    def __init__(self, lock, file):
        self._lock = lock
        self._file = file

    def __enter__(self):
        self._lock.acquire()
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._lock.release()


def arguments(args):
    """Checks what the catalogue's input schema says."""
    if not isinstance(args, dict) or not set(args) <= {"value", "ms"}:
        raise ToolFailed("the arguments are not an object of value and ms", code="invalid_argument")
    ms = args.get("ms", 0)
    if not isinstance(ms, int) or isinstance(ms, bool) or ms < 0:
        raise ToolFailed("ms is not a whole number from 0", code="invalid_argument")
    return args.get("value"), ms


async def take_time(call, ms):
    """Takes `ms` milliseconds, with signs of life."""
    left = ms
    while left > 0:
        await asyncio.sleep(min(left, 500) / 1000)
        left -= 500
        call.progress(1 - max(left, 0) / ms)


def tools(file):
    """The tools by name: each takes a call and its arguments, and answers its output."""

    def line(call):
        return f"{call.tool} {call.id.run} {call.id.step} {call.id.dispatch} {call.key}"

    async def once(call, args):
        value, ms = arguments(args)
        call.effect_may_have_happened = True
        await asyncio.to_thread(file.add, line(call))
        await take_time(call, ms)
        return {"value": value, "key": call.key, "repeated": False}

    async def idempotent(call, args):
        value, ms = arguments(args)
        call.effect_may_have_happened = True
        repeated = await asyncio.to_thread(file.add_once, call.tool, call.key, line(call))
        await take_time(call, ms)
        return {"value": value, "key": call.key, "repeated": repeated}

    return {"example.once": once, "example.idempotent": idempotent}
