/** A node that is removed: what is kept of it, what is refused, and a crash at any moment of it. */
import t, { type Test } from "tap";
import { Cloud } from "../../cloud/cloud.ts";
import { deviceKind, deviceModelKind } from "../../cloud/api/device-kinds.ts";
import { clusterLog, nodeLog } from "../../core/event.ts";
import { type DiskSnapshot, MemoryDisk, MemoryStore } from "../../core/store/memory.ts";
import { Room } from "../../core/room.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import type { Transport } from "../../protocol/transport.ts";
import { device, environment, model, timers } from "./fixtures.ts";

class Site {
  readonly disk: MemoryDisk;
  /** As whoever issues certificates was told. */
  readonly noted = new Map<string, number>();
  /** What the disk held each time that something was noted: after the event, before the erasing. */
  readonly noting: DiskSnapshot[] = [];
  cloud: Cloud | undefined;

  constructor(snapshot?: DiskSnapshot) {
    this.disk = new MemoryDisk(snapshot);
  }

  async open(t: Test, room?: Room): Promise<Cloud> {
    const store = new MemoryStore(this.disk, { timers, digest: nodeDigest });
    await store.open();
    const cloud = await Cloud.open({
      environment: environment(),
      store,
      macKey: new Uint8Array(32),
      product: "test",
      room,
      noteAdmission: async (node, admission) => {
        this.noted.set(node, admission);
        this.noting.push(this.disk.snapshot());
      },
    });
    t.teardown(() => cloud.close());
    return cloud;
  }
}

async function withNode(t: Test): Promise<{ site: Site; cloud: Cloud }> {
  const site = new Site();
  const cloud = await site.open(t);
  await cloud.resources.create(deviceModelKind, "default", model());
  await cloud.resources.create(deviceKind, "default", device({ node: "press-7", desired: { temp: "20" } }));
  await cloud.resources.create(deviceKind, "default", device({ name: "other", node: "press-8" }));
  await cloud.settled();
  t.ok((cloud.nodes.get("press-7")?.position ?? 0) > 0, "there is something to forget");
  return { site, cloud };
}

function held(disk: MemoryDisk): string {
  const { contents } = disk.snapshot();
  return [...contents.shelves.keys(), ...contents.values.keys()].join(" ");
}

/** A connection that only shows how it was closed. */
function transport(): Transport & { closed: string | undefined } {
  const made = {
    closed: undefined as string | undefined,
    received: 0,
    buffered: 0,
    send: () => {},
    onMessage: () => {},
    onWritable: () => {},
    onClose: () => {},
    close(code?: string) {
      made.closed ??= code ?? "";
    },
  };
  return made;
}

t.test("nothing of it is kept but that it was removed, by whom and when", async (t) => {
  const { site, cloud } = await withNode(t);
  await cloud.removeNode("press-7", "mira");
  t.same([...cloud.nodes.keys()], ["press-8"]);
  t.notMatch(held(site.disk), /press-7/);
  t.match(cloud.membership.removal("press-7"), { by: "mira", time: Number });
  const events = await cloud.cluster.read(1);
  t.match(events.at(-1), { type: "node.removed", body: { by: "mira", admission: 2 } });
  t.same([...site.noted], [["press-7", 2]], "the next certificate is of the second admission");
});

t.test("its devices are placed nowhere, whatever is declared, until it is admitted again", async (t) => {
  const { cloud } = await withNode(t);
  await cloud.removeNode("press-7", "mira");
  await cloud.resources.create(deviceKind, "default", device({ name: "late", node: "press-7" }));
  await cloud.settled();
  t.same([...cloud.nodes.keys()], ["press-8"]);
  await t.rejects(cloud.nodeLog("press-7"), { code: "NODE_UNKNOWN" });

  const old = transport();
  await cloud.accept(old, "press-7", 1);
  t.equal(old.closed, "CERTIFICATE_REFUSED");
  t.match(cloud.membership.refusal("press-7", 1), /was removed.*admission 1, and 2 is wanted.*cert issue/);
  t.notOk(cloud.nodes.has("press-7"));

  const fresh = transport();
  await cloud.accept(fresh, "press-7", 2);
  t.equal(fresh.closed, undefined);
  t.equal(cloud.membership.removal("press-7"), undefined);
  await cloud.nodeLog("press-7");
  await cloud.settled();
  const placed = [...(cloud.nodes.get("press-7")?.registers.objects.keys() ?? [])];
  t.ok(placed.includes("devices/default/thermo-1") && placed.includes("devices/default/late"));
  t.match(
    cloud.membership.refusal("press-7", 1),
    /node\.admitted/,
    "the old certificate is refused for good",
  );
});

t.test("a crash at any moment of it is made good when the cloud opens", async (t) => {
  const { site, cloud } = await withNode(t);
  const before = site.disk.snapshot();
  await cloud.removeNode("press-7", "mira");
  t.equal(site.noting.length, 1);
  t.ok(site.noting[0]?.contents.shelves.has(nodeLog("press-7")), "noted before it is erased");

  const crashed = new Site(site.noting[0]);
  const again = await crashed.open(t);
  t.notMatch(held(crashed.disk), /press-7/, "erased");
  t.same([...crashed.noted], [["press-7", 2]], "and noted, should that have been lost");
  t.ok(again.membership.removal("press-7"));
  await again.settled();
  t.same([...again.nodes.keys()], ["press-8"]);

  const undone = await new Site(before).open(t);
  t.same(
    [...undone.nodes.keys()].toSorted(),
    ["press-7", "press-8"],
    "before it was durable, nothing happened",
  );
});

t.test("removing it again, and a node that is not there", async (t) => {
  const { cloud } = await withNode(t);
  await Promise.all([cloud.removeNode("press-7", "mira"), cloud.removeNode("press-7", "mira")]);
  await cloud.removeNode("press-7", "noa");
  t.match(cloud.membership.removal("press-7"), { by: "mira" });
  t.equal(cloud.membership.admission("press-7"), 2);
  await t.rejects(cloud.removeNode("press-9", "mira"), { code: "NODE_UNKNOWN" });
  await cloud.accept(transport(), "press-7", 2);
  await cloud.removeNode("press-7", "noa").catch(() => undefined);
  t.match(cloud.membership.removal("press-7"), { by: "noa" });
  t.equal(cloud.membership.admission("press-7"), 3);
  t.match(cloud.log(clusterLog)?.problems, []);
});

t.test("a cloud that is full takes no devices, and can still be rid of a node", async (t) => {
  let usedBytes = 0;
  const room = await Room.open({
    environment: environment(),
    store: { sizeBytes: async () => usedBytes },
    disk: { space: async () => ({ freeBytes: 1e12, totalBytes: 1e12 }) },
    reserve: {
      sizeBytes: 1,
      isKept: async () => true,
      keep: async () => {},
      stop: async () => {},
      giveUp: async () => true,
    },
    limitBytes: 1e9,
  });
  t.teardown(() => room.close());
  const cloud = await new Site().open(t, room);
  await cloud.resources.create(deviceModelKind, "default", model());
  await cloud.resources.create(deviceKind, "default", device({ node: "press-7" }));
  await cloud.settled();
  usedBytes = 2e9;
  await room.measure();
  const late = device({ name: "late", node: "press-7" });
  await t.rejects(cloud.resources.create(deviceKind, "default", late), { code: "LOG_FULL" });
  const log = await cloud.nodeLog("press-7");
  t.throws(() => log.append([{ type: "test.said", class: "message", key: "tests/test" }]), {
    code: "LOG_FULL",
  });
  await cloud.removeNode("press-7", "mira");
  t.notOk(cloud.nodes.has("press-7"));
});
