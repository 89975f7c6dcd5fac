# The policy that aidt comes with, and a place to start from.
#
# It answers one question: may this subject use this capability, in this way, now? The input is described by
# input.schema.json, the answer in docs/reference/policy.md. Nothing is allowed that no rule allows.
#
# To add to it, put a module of the same package beside it and extend a set:
#
#     package aidt.authz
#
#     deny contains "nobody writes to the pipeline's own files" if {
#         input.action.name == "repo.write"
#         startswith(input.context.tool.arguments.path, ".github/")
#     }
#
# Or, without any Rego, a data.json:
#
#     {"settings": {"deny": ["repo.write"], "allow": ["process.exec"]}}
package aidt.authz

default decision := {"verdict": "deny", "reasons": ["no rule of the policy allows this"]}

# A deny beats everything, a question to a person beats an allow.
decision := {"verdict": "deny", "reasons": deny} if {
	count(deny) > 0
} else := {"verdict": "escalate", "reasons": escalate, "warnings": warn, "obligations": obligations} if {
	count(escalate) > 0
} else := {"verdict": "transform", "reasons": allow, "warnings": warn, "obligations": obligations, "arguments": arguments} if {
	count(allow) > 0
	count(rewrite) > 0
} else := {"verdict": "allow", "reasons": allow, "warnings": warn, "obligations": obligations} if {
	count(allow) > 0
}

# What the built-in tools need. repo.write stays inside the run's own copy of the repository.
built_in := {"debug.run", "repo.clone", "repo.read", "repo.write"}

allow contains "a built-in capability" if input.action.name in built_in

# The plan asks for it by name, and the operator put a tool with this capability into the catalogue: both
# wanted it. That is enough for a tool of one's own, and not enough for what reaches out of the sandbox: such
# a capability needs a word of the operator's (settings.allow, or a rule).
allow contains "the plan's permissions list it" if {
	input.action.name in input.context.permissions
	not reaches_out
}

allow contains "the operator's settings allow it" if input.action.name in data.settings.allow

reaches_out if input.action.name in {"network.egress", "process.exec", "secret.read"}

reaches_out if startswith(input.action.name, "mcp.")

deny contains "the operator's settings deny it" if input.action.name in data.settings.deny

# What the settings do not put plainly is not guessed at.
deny contains "the operator's settings are not of the known shape" if {
	some name, value in data.settings
	not known(name, value)
}

known(name, value) if {
	name in {"allow", "deny", "escalate"}
	is_array(value)
}

known(name, value) if {
	name in {"arguments", "obligations"}
	is_object(value)
}

escalate contains "the operator's settings ask for a person" if input.action.name in data.settings.escalate

# Text from the network that is written to the repository may carry somebody else's intent.
warn contains sprintf("what it writes comes from %s", [label]) if {
	input.action.name == "repo.write"
	some label in input.context.provenance
	startswith(label, "network:")
}

# What the executor must keep to, by capability.
obligations[name] := value if some name, value in data.settings.obligations[input.action.name]

# Arguments that the operator fixes, by tool.
rewrite[name] := value if some name, value in data.settings.arguments[input.resource.id]

arguments := object.union(input.context.tool.arguments, rewrite)
