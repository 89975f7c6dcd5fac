# Tests of main.rego. `cargo test -p aidt-policy` runs them, and so does `opa test policies/`.
package aidt.authz_test

import data.aidt.authz

# A question: this capability, in a plan with these permissions (null: it states none).
question(capability, permissions) := {
	"subject": {"type": "user", "id": "local"},
	"action": {"name": capability},
	"resource": {"type": "tool", "id": "some.tool"},
	"context": {
		"project": "default",
		"plan": {"name": "p"},
		"run": {"id": "run_00000000000000000000000000000001", "labels": {}},
		"step": {"path": "s", "dispatch": 1, "attempt": 1, "generation": 1, "call": 0},
		"tool": {"name": "some.tool", "entry": "sha256:00", "effect": "read", "min_sandbox": "none", "arguments": {"ms": 1}},
		"permissions": permissions,
		"provenance": ["user"],
		"budget": {},
		"environment": "test",
		"sandbox": null,
		"trace": null,
	},
}

verdict(capability, permissions) := answer.verdict if {
	answer := authz.decision with input as question(capability, permissions)
}

test_built_in_capabilities_are_allowed if {
	every capability in {"debug.run", "repo.clone", "repo.read", "repo.write"} {
		verdict(capability, null) == "allow"
	}
}

test_nothing_else_is_allowed if {
	every capability in {"example.once", "repo", "repo.write.all", "debug", "model.chat", ""} {
		verdict(capability, null) == "deny"
	}
}

test_a_denied_question_has_a_reason if {
	answer := authz.decision with input as question("example.once", null)
	count(answer.reasons) == 1
}

test_no_input_is_denied if {
	answer := authz.decision with input as {}
	answer.verdict == "deny"
}

test_a_plan_may_ask_for_a_capability_of_ones_own if {
	verdict("example.once", ["example.once"]) == "allow"
	verdict("example.once", ["repo.read"]) == "deny"
	verdict("example.once", []) == "deny"
}

test_a_plan_cannot_ask_for_what_reaches_out if {
	every capability in {"network.egress", "process.exec", "secret.read", "mcp.github.create_issue"} {
		verdict(capability, [capability]) == "deny"
	}
}

test_settings_allow if {
	verdict("process.exec", null) == "allow" with data.settings as {"allow": ["process.exec"]}
}

test_settings_deny_beats_allow if {
	both := {"allow": ["repo.write"], "deny": ["repo.write"]}
	verdict("repo.write", ["repo.write"]) == "deny" with data.settings as both
}

test_settings_escalate_beats_allow if {
	verdict("repo.write", null) == "escalate" with data.settings as {"escalate": ["repo.write"]}
}

test_settings_of_another_shape_deny if {
	verdict("repo.write", null) == "deny" with data.settings as {"dney": ["repo.write"]}
	verdict("repo.write", null) == "deny" with data.settings as {"deny": "repo.write"}
}

test_text_from_the_network_is_warned_of if {
	from_network := object.union(question("repo.write", null), {"context": {"provenance": ["network:example.com"]}})
	answer := authz.decision with input as from_network
	answer.verdict == "allow"
	answer.warnings == {"what it writes comes from network:example.com"}
}

test_obligations_are_by_capability if {
	settings := {"obligations": {"debug.run": {"max_ms": 10}}}
	bound := authz.decision with input as question("debug.run", null) with data.settings as settings
	bound.obligations == {"max_ms": 10}
	free := authz.decision with input as question("repo.read", null) with data.settings as settings
	free.obligations == {}
}

test_fixed_arguments_transform if {
	settings := {"arguments": {"some.tool": {"ms": 5}}}
	answer := authz.decision with input as question("debug.run", null) with data.settings as settings
	answer.verdict == "transform"
	answer.arguments == {"ms": 5}
}
