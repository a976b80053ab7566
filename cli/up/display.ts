/** What `up` shows: a live view on a terminal, else a line for each change. */
import type { ChangeRow } from "../../protocol/rest/device-api.ts";
import { rfc3339 } from "../../core/time.ts";
import { changeText } from "../device-text.ts";
import type { Paint } from "../paint.ts";
import { printable } from "../text.ts";
import type { World } from "../world.ts";
import { type Part, type UpModel, isConnected } from "./model.ts";
import { openScreen } from "./screen.ts";
import { renderView } from "./view.ts";

export interface Display {
  /** Something of the model is different. */
  update(): void;
  stateChanged(part: Part): void;
  changed(part: Part, change: ChangeRow): void;
  noted(text: string): void;
  /** A line of a child's log. */
  logged(name: string, line: string): void;
  /** Everything runs. */
  ready(addresses: Record<string, unknown>): void;
  close(): void;
}

export function openDisplay(
  world: World,
  model: UpModel,
  paint: Paint,
  onKey: (key: string) => void,
): Display {
  return world.stdout.isTTY === true ? liveView(world, model, paint, onKey) : lineByLine(world, model);
}

const redrawMs = 1000;

function liveView(world: World, model: UpModel, paint: Paint, onKey: (key: string) => void): Display {
  const keys = world.stdin.isTTY === true;
  const screen = openScreen({
    world,
    onKey,
    render: ({ columns, rows }) => renderView(model, { paint, columns, rows, keys }),
  });
  const timer = setInterval(() => screen.show(), redrawMs);
  const update = (): void => screen.show();
  return {
    update,
    stateChanged: update,
    changed: update,
    noted: update,
    logged: update,
    ready: update,
    close() {
      clearInterval(timer);
      screen.close();
      world.stdout.write(`Stopped. Everything is in ${model.dataDir}, and goes on from there.\n`);
    },
  };
}

function lineByLine(world: World, model: UpModel): Display {
  const { stdout, stderr } = world;
  const last = new Map<Part, string>();
  // Lines that a slow reader has no room for are left out: what they say is in the log.
  const say = (text: string): void => {
    if (!stdout.writableNeedDrain) stdout.write(`${text}\n`);
  };
  const stamped = (where: string, text: string, time = rfc3339(world.now())): void =>
    say(`${time}  ${where.padEnd(12)}  ${printable(text)}`);
  return {
    update: () => {},
    stateChanged(part) {
      const text = stateText(part, model.stopping);
      if (last.get(part) === text) return;
      last.set(part, text);
      stamped(part.name, text);
    },
    changed(part, change) {
      // What is in the cloud was at the node before: one line will do, unless the cloud is away.
      if (part.isCloud || model.cloud.state !== "running") {
        stamped(part.name, `${change.namespace}/${change.name} ${changeText(change)}`, change.time);
      }
    },
    noted: (text) => stamped("up", text),
    logged: (name, line) => void stderr.write(`${name} | ${line}\n`),
    ready: (addresses) => void stdout.write(`ready ${JSON.stringify(addresses)}\n`),
    close: () => stamped("up", "stopped"),
  };
}

function stateText(part: Part, stopping: boolean): string {
  const { state, pid, byHand, ending, startCommand } = part;
  if (state === "starting") return "starting";
  if (state === "down" && stopping) return "ended";
  if (state === "down") return `down: ${ending ?? "not running"}; back with: ${startCommand}`;
  const link =
    part.isCloud || part.status === undefined ? "" : isConnected(part) ? ", connected" : ", not connected";
  return `running, pid ${pid}${byHand ? ", started by hand" : ""}${link}`;
}
