/** What devices report while there is no cloud: the same reports for the product and for the bare parts. */

export interface Backlogged {
  readonly events: number;
  readonly devices: number;
  /** Of each device, the first ones of `properties`. */
  readonly properties: number;
  /** Properties that come in one message, and in one commit at least. */
  readonly perMessage: number;
  /** Events that one commit holds: as many as come while the one before it is synced. */
  readonly perCommit: number;
  /** Between two events. */
  readonly everyMs: number;
}

export interface Reported {
  /** Index of the device. */
  readonly device: number;
  readonly property: string;
  readonly value: string;
  /** When the device measured it, ms since the epoch. */
  readonly time: number;
}

/** A property, where it begins, how it goes on: a measured value wanders, a counter rises, a switch rests. */
const kinds = [
  { name: "temperature", first: 21, step: 0.2, digits: 1 },
  { name: "humidity", first: 45, step: 1, digits: 0 },
  { name: "pressure", first: 1013, step: 0.3, digits: 1 },
  { name: "energy", first: 18_000, step: 0.05, digits: 2, rises: true },
  { name: "running", first: 1, step: 0, digits: 0 },
] as const;

export const properties: readonly string[] = kinds.map(({ name }) => name);

/** In order of time, from `firstMs` on; the same in each run. */
export function* reportsOf(shape: Backlogged, firstMs: number): Generator<Reported> {
  const { events, devices, properties: count, perMessage, everyMs } = shape;
  const values: number[] = Array.from(
    { length: devices * count },
    (_, index) => kinds[index % count]?.first ?? 0,
  );
  let random = 1;
  for (let index = 0; index < events; index += 1) {
    const message = Math.floor(index / perMessage);
    const device = message % devices;
    const which = (Math.floor(message / devices) * perMessage + (index % perMessage)) % count;
    const kind = kinds[which] ?? kinds[0];
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
    const share = random / 0x1_0000_0000;
    const at = device * count + which;
    const value = (values[at] ?? 0) + kind.step * ("rises" in kind ? share : Math.round(share * 2 - 1));
    values[at] = value;
    const time = firstMs + index * everyMs;
    yield { device, property: kind.name, value: value.toFixed(kind.digits), time };
  }
}

/** The same, as many at a time as a commit holds. */
export function* commitsOf(shape: Backlogged, firstMs: number): Generator<readonly Reported[]> {
  let commit: Reported[] = [];
  for (const report of reportsOf(shape, firstMs)) {
    commit.push(report);
    if (commit.length < shape.perCommit) continue;
    yield commit;
    commit = [];
  }
  if (commit.length > 0) yield commit;
}
