/** The projections that `tidemark replay` can rebuild. One more is one more row here. */
import { type Event, type LogId, nodeOfLog } from "../../core/event.ts";
import { type Registers, registersProjection } from "../../core/registers.ts";
import { shownObject, shownRegisters } from "./registers-shown.ts";
import { parseDeviceKey } from "../devices/topics.ts";
import { deviceList, deviceView } from "../devices/twin-view.ts";

/** A projection under way: what has been folded so far. */
export interface Fold {
  apply(event: Event): void;
  /** All of the state as plain data: what is hashed. */
  encoded(): unknown;
  /** All of the state as people and programs read it: plain JSON. */
  shown(): unknown;
  /** The part of it that events with that key change. */
  shownOf(key: string): unknown;
}

export interface Replayable {
  readonly name: string;
  /** For `--help`. */
  readonly about: string;
  /** @param before the registers before the first event; the fold goes on with them */
  begin(before: Registers, log: LogId): Fold;
}

const registers: Replayable = {
  name: "registers",
  about: "all objects, their lives and slots, and the latest event of each side in them",
  begin: (state) => ({
    apply: (event) => registersProjection.apply(state, event),
    encoded: () => registersProjection.encode(state),
    shown: () => shownRegisters(state),
    shownOf: (key) => shownObject(state, key),
  }),
};

const devices: Replayable = {
  name: "devices",
  about: "devices and their twins, as `device get` shows them",
  begin: (state, log) => {
    const node = nodeOfLog(log) ?? null;
    return {
      apply: (event) => registersProjection.apply(state, event),
      encoded: () => deviceList(state, node),
      shown: () => deviceList(state, node),
      shownOf(key) {
        const name = parseDeviceKey(key);
        const view = name && deviceView(state, name.namespace, name.name, node);
        return view ?? null;
      },
    };
  },
};

export const replayables: readonly Replayable[] = [registers, devices];
