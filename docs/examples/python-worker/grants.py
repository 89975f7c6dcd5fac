"""Grants: is this call allowed, here, now, and not yet run?

Follows docs/reference/worker-protocol.md, "Grants" and "A call".
"""

import hashlib
import hmac

REMEMBER_MS = 10 * 60 * 1000
MOST_STEPS = 100_000


class Refusal(Exception):
    """Why a call is not run; becomes its result."""

    def __init__(self, message, reason, no_effect=True, retryable=False, code="grant_refused"):
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.no_effect = no_effect
        self.retryable = retryable


def signing_string(call):
    """The twelve lines whose MAC is the grant."""
    call_id, grant = call.id, call.grant
    lines = [
        "aidt-grant-v1",
        call_id.run,
        call_id.step,
        str(call_id.dispatch),
        str(call_id.index),
        call.tool,
        grant.entry_digest,
        hashlib.sha256(call.arguments).hexdigest(),
        grant.policy_revision,
        grant.obligations,
        grant.min_sandbox,
        str(grant.not_after_ms),
    ]
    if any("\n" in line for line in lines):
        raise Refusal("a field of the grant holds a line break", "bad_mac")
    return "\n".join(lines)


def verify(session_key, call, now_ms):
    """Refuses a call whose grant does not hold. This worker has no sandbox and keeps no obligation."""
    if not call.HasField("id") or not call.HasField("grant"):
        raise Refusal("the call has no id or no grant", "bad_mac")
    mac = hmac.new(session_key, signing_string(call).encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(mac, call.grant.mac):
        raise Refusal("the grant is not for this call", "bad_mac")
    if now_ms > call.grant.not_after_ms:
        raise Refusal("the grant has expired", "expired", retryable=True)
    if call.grant.min_sandbox != "none":
        raise Refusal(f"this worker has no sandbox '{call.grant.min_sandbox}'", "sandbox")
    if call.grant.obligations != "{}":
        raise Refusal(f"this worker cannot keep the obligations {call.grant.obligations}", "obligation")


class SeenCalls:
    """What this life of the worker has taken, over all its sessions."""

    def __init__(self):
        self._steps = {}  # (run, step) -> [highest dispatch, its indices, last seen, not_after]
        self._forgotten_until = None

    def take(self, call, now_ms):
        """Takes a verified call, or refuses it. Answers whether lower dispatches are to be cancelled."""
        if self._forgotten_until is not None and call.grant.not_after_ms <= self._forgotten_until:
            raise Refusal("the grant is older than what this worker remembers", "expired", retryable=True)
        key, dispatch, index = (call.id.run, call.id.step), call.id.dispatch, call.id.index
        highest, indices, _, not_after = self._steps.get(key, (0, set(), 0, 0))
        if dispatch < highest:
            message = f"dispatch {dispatch} is stale: {highest} of the same step was here"
            raise Refusal(message, "stale_dispatch", no_effect=False)
        if dispatch == highest and index in indices:
            raise Refusal("this very call was taken before", "seen_call", no_effect=False, retryable=True)
        higher = dispatch > highest
        indices = {index} if higher else indices | {index}
        # Popped first, so that the dictionary stays in the order of use.
        self._steps.pop(key, None)
        self._steps[key] = (dispatch, indices, now_ms, max(not_after, call.grant.not_after_ms))
        self._forget(now_ms)
        return higher

    def _forget(self, now_ms):
        while self._steps:
            key = next(iter(self._steps))
            _, _, last, not_after = self._steps[key]
            if last + REMEMBER_MS > now_ms and len(self._steps) <= MOST_STEPS:
                return
            del self._steps[key]
            self._forgotten_until = max(self._forgotten_until or not_after, not_after)
