import { tmpdir } from "node:os";
import t from "tap";
import {
  declarations,
  readings,
  thisMachine,
  updatePayload,
  wantedInterval,
} from "../../cli/up/this-machine.ts";
import { decode } from "../../cloud/api/decode.ts";
import { kinds } from "../../cloud/api/kinds.ts";
import { parseTwinUpdate } from "../../protocol/devices/payloads.ts";
import { refuseValue } from "../../protocol/devices/values.ts";
import { isFailure } from "../../protocol/rest/status.ts";

t.test("what is declared is accepted as it is", async (t) => {
  for (const object of declarations("edge-node-1")) {
    const kind = kinds.find((known) => known.kind === object["kind"]);
    if (kind === undefined) throw new Error("a kind that is not served");
    const decoded = decode({ kind, namespace: "default", name: undefined }, object, "Strict");
    t.equal(isFailure(decoded), false);
    if (!isFailure(decoded)) t.same(kind.validate(decoded.object), []);
  }
});

t.test("what it reports is of the types it declares", async (t) => {
  const values = await readings(tmpdir());
  const request = parseTwinUpdate(updatePayload(values, 1_788_220_800_000));
  if (request.refusal !== undefined) throw new Error(request.refusal.reason);
  const types = { load: "FLOAT", "free-memory": "INT", "free-disk": "INT", uptime: "INT" } as const;
  t.same([...request.content.keys()], Object.keys(types));
  for (const [name, type] of Object.entries(types)) {
    const said = request.content.get(name);
    t.equal(refuseValue(type, said?.actual?.value ?? ""), undefined, name);
    t.equal(said?.actual?.time, 1_788_220_800_000);
    t.equal(said?.type, type.toLowerCase());
    t.ok(thisMachine.properties.some((property) => property.name === name));
  }
});

t.test("it obeys an interval that it can keep, from a delta or from what it asked for", async (t) => {
  const delta = (value: unknown): string => JSON.stringify({ twin: {}, delta: { interval: value } });
  const result = (value: string): string => JSON.stringify({ twin: { interval: { expected: { value } } } });
  t.equal(wantedInterval(delta("5")), 5);
  t.equal(wantedInterval(result("60")), 60);
  for (const nothing of [
    "",
    "{",
    "null",
    "[]",
    "{}",
    delta("0"),
    delta("61"),
    delta("1.5"),
    delta("x"),
    result(""),
  ]) {
    t.equal(wantedInterval(nothing), undefined, nothing);
  }
});
