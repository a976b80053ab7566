import * as fc from "fast-check";
import t from "tap";
import { DeviceWorld } from "./device-world.ts";
import { type DeviceRow, device, model, temp } from "./fixtures.ts";

const names = ["a", "b"];
const nodes = ["edge-1", "edge-2"];
const models = {
  m: [
    [temp, { name: "mode", type: "STRING", accessMode: "ReadWrite" }],
    [{ ...temp, maximum: "20" }],
    [
      { ...temp, accessMode: "ReadOnly" },
      { name: "mode", type: "BOOLEAN", accessMode: "ReadWrite" },
    ],
  ],
  n: [[{ name: "mode", type: "STRING", accessMode: "ReadWrite" }]],
} as const;

/** Which of the values below each variant of a model lets through: said once more, by hand. */
const allowed: Readonly<Record<string, readonly (readonly string[])[]>> = {
  m: [["temp=15", "temp=30", "mode=eco", "mode=true"], ["temp=15"], ["mode=true"]],
  n: [["mode=eco", "mode=true"]],
};

type Step =
  | { readonly do: "device"; readonly row: DeviceRow & { readonly name: string } }
  | { readonly do: "model"; readonly name: "m" | "n"; readonly variant: number }
  | { readonly do: "delete device"; readonly name: string }
  | { readonly do: "delete model"; readonly name: "m" | "n" }
  | { readonly do: "look" }
  | { readonly do: "commit"; readonly node: string; readonly count: number }
  | { readonly do: "crash"; readonly kept: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("device" as const),
      row: fc.record(
        {
          name: fc.constantFrom(...names),
          node: fc.constantFrom(...nodes),
          model: fc.constantFrom("m", "n"),
          desired: fc.record(
            { temp: fc.constantFrom("15", "30", "hot"), mode: fc.constantFrom("eco", "true") },
            { requiredKeys: [] },
          ),
        },
        { requiredKeys: ["name", "model", "desired"] },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("model" as const),
      name: fc.constant("m" as const),
      variant: fc.nat(2),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("model" as const),
      name: fc.constant("n" as const),
      variant: fc.constant(0),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("delete device" as const), name: fc.constantFrom(...names) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("delete model" as const),
      name: fc.constantFrom("m" as const, "n" as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("look" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("commit" as const),
      node: fc.constantFrom(...nodes),
      count: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("crash" as const), kept: fc.nat(4) }) },
);

/** What was asked for, kept beside the system. */
interface Expectation {
  readonly devices: Map<string, DeviceRow>;
  readonly models: Map<string, number>;
}

async function take(world: DeviceWorld, asked: Expectation, step: Step): Promise<void> {
  if (step.do === "device") {
    asked.devices.set(step.row.name, step.row);
    await world.putDevice(device(step.row));
  } else if (step.do === "model") {
    asked.models.set(step.name, step.variant);
    await world.putModel(model(models[step.name][step.variant], step.name));
  } else if (step.do === "delete device") {
    asked.devices.delete(step.name);
    await world.deleteDevice(step.name);
  } else if (step.do === "delete model") {
    asked.models.delete(step.name);
    await world.deleteModel(step.name);
  } else if (step.do === "look") {
    await world.controller?.idle();
  } else if (step.do === "commit") {
    world.nodes.get(step.node)?.commit(step.count);
  } else {
    await world.crash(step.kept);
  }
}

function expectedOn(node: string, asked: Expectation): Record<string, readonly string[]> {
  const expected: Record<string, readonly string[]> = {};
  for (const [name, row] of asked.devices) {
    if (row.node !== node) continue;
    const variant = asked.models.get(row.model ?? "");
    const values = Object.entries(row.desired ?? {}).map(([property, value]) => `${property}=${value}`);
    const valid = variant === undefined ? [] : (allowed[row.model ?? ""]?.[variant] ?? []);
    expected[`devices/default/${name}`] = values.filter((value) => valid.includes(value)).toSorted();
    if (variant !== undefined) expected[`devicemodels/default/${row.model}`] = [];
  }
  return expected;
}

function toldOn(node: string, world: DeviceWorld): Record<string, readonly string[]> {
  const told: Record<string, readonly string[]> = {};
  for (const [object, { uid, spec, ...desired }] of Object.entries(world.told(node))) {
    const wanted = world.resources.staged(object);
    if (uid !== wanted?.metadata.uid) told[`${object} of another life`] = [];
    const withoutDesired = JSON.stringify(wanted?.spec, (name, value: unknown) =>
      name === "desired" ? undefined : value,
    );
    if (JSON.stringify(spec) !== withoutDesired) told[`${object} as it was before`] = [];
    told[object] = Object.entries(desired)
      .map(([slot, body]) => `${slot.slice("desired/".length)}=${(body as readonly string[])[0]}`)
      .toSorted();
  }
  return told;
}

t.test(
  "whatever happens, in the end each node's log says what is wanted there, and nothing else",
  async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const world = new DeviceWorld(...nodes);
        const asked: Expectation = { devices: new Map(), models: new Map() };
        for (const log of world.nodes.values()) log.automatic = false;
        world.start();
        for (const next of steps) await take(world, asked, next);
        await world.settle();
        for (const node of nodes) t.strictSame(toldOn(node, world), expectedOn(node, asked), node);

        const before = nodes.map((node) => world.position(node));
        await world.crash(0);
        await world.settle();
        t.strictSame(
          nodes.map((node) => world.position(node)),
          before,
          "a restart finds nothing to add",
        );
        await world.controller?.close();
      }),
      { numRuns: 150 },
    );
  },
);
