/** Events as the floor knows them: the positional array of a reported value, about 100 bytes. */
import { Packr, Unpackr } from "msgpackr";

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false });

const twinClass = 1;
const life = "c0123456789abc/12";

export interface Report {
  readonly seq: number;
  readonly device: string;
  readonly property: string;
  readonly value: string;
  readonly time: number;
  /** Undefined: the model says it. */
  readonly type?: string;
}

export function encodeReport({ seq, device, property, value, time, type }: Report): Uint8Array {
  const body = type === undefined ? [value, time] : [value, time, type];
  return packr.pack([seq, time, twinClass, "twin.reported", device, `reported/${property}`, life, body]);
}

/** The reported values in events that lie one behind the other. */
export function decodeValues(events: Uint8Array): string[] {
  const values: string[] = [];
  unpackr.unpackMultiple(events, (row: unknown) => {
    values.push(((row as unknown[])[7] as string[])[0] ?? "");
  });
  return values;
}

export function syntheticEvent(seq: number): Uint8Array {
  return encodeReport({
    seq,
    device: `devices/default/dev-${seq % 20}`,
    property: "temperature",
    value: (20 + (seq % 100) / 10).toFixed(1),
    time: 1_790_000_000_000 + seq,
    type: "float",
  });
}
