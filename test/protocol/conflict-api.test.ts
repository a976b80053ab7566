import t from "tap";
import type { Draft, EventId } from "../../core/event.ts";
import { EdgeDevices } from "../../edge/devices.ts";
import { conflictDraft } from "../../protocol/devices/conflicts.ts";
import { serveConflicts } from "../../protocol/rest/conflict-api.ts";
import { type ConflictList, Conflicts } from "../../protocol/rest/conflicts.ts";
import { type HttpRequest, pathSegments, responseOfError } from "../../protocol/rest/http.ts";
import { Site, World, applied, deleted, desired, meet, node1, startMs } from "../core/log-site.ts";

const model: Draft = {
  ...applied({ spec: { properties: [{ name: "temp", type: "INT" }] } }),
  key: "devicemodels/default/m1",
};
const key = (name: string): string => `devices/default/${name}`;

/** A node's log with two devices, each of which was set on both sides while apart; the first one twice on the node. */
class Given {
  readonly world: World = new World();
  node!: Site;
  cloud!: Site;
  api!: Conflicts;
  readonly lives: Record<string, EventId> = {};
  readonly records: EventId[] = [];

  static async make(): Promise<Given> {
    const given = new Given();
    given.cloud = await Site.open(given.world, "cloud");
    given.node = await Site.open(given.world, "node");
    await given.cloud.append(model);
    for (const name of ["d1", "d2"]) {
      const [life] = await given.cloud.append(
        applied({ spec: { deviceModelRef: { name: "m1" } } }, undefined, key(name)),
      );
      given.lives[name] = life as EventId;
    }
    await meet(given.cloud, given.node);
    for (const name of ["d1", "d2"]) await given.conflict(name, "21", "22");
    const { log } = given.node;
    const logs = { logs: () => [log], log: (id: string) => (id === node1 ? log : undefined) };
    const devices = new EdgeDevices({ node: "edge-node-1", log }, given.world.environment.clock);
    given.api = new Conflicts({ logs, devices, now: () => given.world.wallMs });
    return given;
  }

  async conflict(name: string, above: string, below: string): Promise<void> {
    const life = this.lives[name] as EventId;
    await this.cloud.append(desired(above, life, "temp", key(name)));
    await this.world.pass(60_000);
    await this.node.append(desired(below, life, "temp", key(name)));
    await meet(this.cloud, this.node);
    const { registers } = this.cloud.log;
    const { cloud, node } = registers.objects.get(key(name))?.get(life)?.slots.get("desired/temp") ?? {};
    if (cloud === undefined || node === undefined) throw new Error("both have said something");
    const [id] = await this.cloud.append(conflictDraft(registers, { cloud, node }, life));
    this.records.push(id as EventId);
    await meet(this.cloud, this.node);
  }

  async ask(
    method: string,
    path: string,
    { query = {}, body }: { query?: Record<string, string>; body?: unknown } = {},
  ): Promise<{ status: number; json: Record<string, unknown> }> {
    const request: HttpRequest = {
      method,
      path,
      query: new Map(Object.entries(query).map(([name, value]) => [name, [value]])),
      headers: {},
      body: new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body ?? {})),
      identity: { kind: "local" },
    };
    const answering = serveConflicts(this.api, request, pathSegments(path) ?? []);
    const { status, body: text } = (await this.world.run(answering.catch(responseOfError))) ?? { status: 0 };
    return { status, json: JSON.parse((text as string | undefined) ?? "{}") as Record<string, unknown> };
  }

  async ids(query: Record<string, string>): Promise<readonly EventId[]> {
    const { status, json } = await this.ask("GET", "/tidemark/v1/conflicts", { query });
    if (status !== 200) throw new Error(JSON.stringify(json));
    return (json as unknown as ConflictList).items.map(({ id }) => id);
  }
}

const path = "/tidemark/v1/nodes/edge-node-1/conflicts";

t.test("conflicts are listed, the newest last, with both values", async (t) => {
  const given = await Given.make();
  const { status, json } = await given.ask("GET", path);
  t.equal(status, 200);
  t.match(json, { earlier: false, complete: true, asOf: { vector: {} } });
  t.match(json["items"], [
    {
      id: given.records[0],
      node: "edge-node-1",
      namespace: "default",
      name: "d1",
      property: "temp",
      cloud: { value: "21" },
      edge: { value: "22" },
      winner: "edge",
      policy: "latest",
      outcome: { state: "standing", winner: "edge", policy: "latest" },
    },
    { id: given.records[1], name: "d2" },
  ]);
  t.same(await given.ask("GET", "/tidemark/v1/conflicts"), { status, json });
});

t.test("a list can be of a device, of a time, and of the newest only", async (t) => {
  const given = await Given.make();
  const [first, second] = given.records as [EventId, EventId];
  t.same(await given.ids({ device: "default/d2" }), [second]);
  t.same(await given.ids({ from: "-30s" }), [second]);
  t.same(await given.ids({ to: String(startMs + 100_000) }), [first]);
  t.same(await given.ids({ from: second }), [second], "from an event on, which counts in");
  t.same(await given.ids({ limit: "1" }), [second]);
  const { json } = await given.ask("GET", path, { query: { limit: "1" } });
  t.equal(json["earlier"], true);
  await given.conflict("d2", "31", "32");
  t.equal((await given.ids({ device: "default/d2" })).length, 2, "and what comes later is found too");
});

t.test("a conflict that was ended says by what", async (t) => {
  const given = await Given.make();
  const outcomes = async (): Promise<unknown> => {
    const { json } = await given.ask("GET", path);
    return (json as unknown as ConflictList).items.map(({ outcome }) => outcome);
  };
  const { lives, records, cloud, node } = given;
  await given.conflict("d1", "31", "32");
  await cloud.append(deleted(lives["d2"] as EventId, key("d2")));
  await meet(cloud, node);
  t.match(await outcomes(), [
    { state: "superseded", value: "32" },
    { state: "deleted" },
    { state: "standing", winner: "edge" },
  ]);
  const id = records[2] as EventId;
  const { status, json } = await given.ask("POST", `${path}/${id}/override`, { body: { winner: "cloud" } });
  t.match({ status, json }, { status: 200, json: { id, node: "edge-node-1", name: "d1", value: "31" } });
  t.match(await outcomes(), [
    { state: "superseded", value: "31" },
    { state: "deleted" },
    { state: "overridden", value: "31", event: json["event"] },
  ]);
  for (const [index, why] of [/later value/, /not on that node any more/, /by an override/].entries()) {
    const again = await given.ask("POST", `${path}/${records[index]}/override`, { body: { value: "40" } });
    t.match(again, { status: 409, json: { message: why } });
  }
});

t.test("an override may want another value, but only one that can be wanted", async (t) => {
  const given = await Given.make();
  const override = `${path}/${given.records[0]}/override`;
  t.match(await given.ask("POST", override, { body: { value: "warm" } }), { status: 422 });
  t.match(await given.ask("POST", override, { body: { value: "25" } }), {
    status: 200,
    json: { value: "25" },
  });
  t.match(await given.ask("GET", `${path}/${given.records[0]}`), {
    status: 200,
    json: { outcome: { state: "overridden", value: "25" } },
  });
});

t.test("a value that was withdrawn can't be chosen", async (t) => {
  const given = await Given.make();
  const { cloud, lives } = given;
  await cloud.append({ ...desired("", lives["d1"] as EventId, "temp", key("d1")), body: null });
  await given.conflict("d1", "50", "51");
  const withdrawn = { ...desired("", lives["d1"] as EventId, "temp", key("d1")), body: null };
  await given.node.append(withdrawn);
  await cloud.append(desired("60", lives["d1"] as EventId, "temp", key("d1")));
  await meet(cloud, given.node);
  const life = lives["d1"] as EventId;
  const register = cloud.log.registers.objects.get(key("d1"))?.get(life)?.slots.get("desired/temp");
  if (register?.cloud === undefined || register.node === undefined)
    throw new Error("both have said something");
  const contenders = { cloud: register.cloud, node: register.node };
  const [id] = await cloud.append(conflictDraft(cloud.log.registers, contenders, life));
  await meet(cloud, given.node);
  const asked = await given.ask("POST", `${path}/${id}/override`, { body: { winner: "edge" } });
  t.match(asked, { status: 422, json: { message: /the edge's value was withdrawn/ } });
});

t.test("what can't be answered is refused with the reason", async (t) => {
  const given = await Given.make();
  const [id] = given.records as [EventId];
  const refused = async (
    status: number,
    reason: RegExp,
    ...asked: Parameters<Given["ask"]>
  ): Promise<void> => {
    t.match(await given.ask(...asked), { status, json: { message: reason } }, `${asked[0]} ${asked[1]}`);
  };
  await refused(404, /no log of nobody/, "GET", "/tidemark/v1/nodes/nobody/conflicts");
  await refused(404, /is no conflict: it is a resource.applied/, "GET", `${path}/${given.lives["d1"]}`);
  await refused(404, /there is no conflict/, "GET", `${path}/${id}999`);
  await refused(404, /named ORIGIN\/SEQ/, "GET", `${path}/somewhere/1`);
  await refused(405, /POST …\/override/, "DELETE", `${path}/${id}`);
  await refused(405, /can be read/, "POST", path);
  await refused(405, /can be read/, "GET", `${path}/${id}/override`);
  await refused(400, /body must be/, "POST", `${path}/${id}/override`, { body: { winner: "node" } });
  await refused(400, /body must be/, "POST", `${path}/${id}/override`, { body: "{" });
  await refused(400, /body must be/, "POST", `${path}/${id}/override`, {
    body: { winner: "edge", value: "1" },
  });
  await refused(400, /no device/, "GET", path, { query: { device: "d1" } });
  await refused(400, /no count from 1 to 10000/, "GET", path, { query: { limit: "0" } });
  await refused(400, /no place in time/, "GET", path, { query: { from: "yesterday" } });
  t.equal(
    await serveConflicts(given.api, { method: "GET" } as HttpRequest, ["tidemark", "v1", "nodes"]),
    undefined,
  );
});
