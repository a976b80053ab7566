/**
 * The product in several versions, so that machines of different ones meet in a run: each is this one with the edits
 * that a version before or after it might differ by.
 */
import { register } from "node:module";
import { Cloud } from "../../cloud/cloud.ts";
import { keptOf } from "../../core/cover.ts";
import type { Draft } from "../../core/event.ts";
import { stateOfSide } from "../../core/history-read.ts";
import { verifyLog } from "../../core/log-verify.ts";
import { readable, readableEvents } from "../../core/replay.ts";
import { Edge } from "../../edge/edge.ts";
import { type Edit, broken } from "./mutant.ts";
import type { EditsOf } from "./version-loader.ts";

export const versionNames = ["older", "present", "folding", "newer", "breaking"] as const;

export type VersionName = (typeof versionNames)[number];

/** What a machine runs. */
export interface Release {
  readonly version: VersionName;
  readonly openCloud: typeof Cloud.open;
  readonly openEdge: typeof Edge.open;
  readonly verifyLog: typeof verifyLog;
  /** These read what this version, or one before it, has written. */
  readonly readable: typeof readable;
  readonly readableEvents: typeof readableEvents;
  readonly keptOf: typeof keptOf;
  readonly stateOfSide: typeof stateOfSide;
}

type Modules = Omit<Release, "version" | "openCloud" | "openEdge"> & {
  readonly Cloud: typeof Cloud;
  readonly Edge: typeof Edge;
};

function releaseFrom(version: VersionName, { Cloud, Edge, ...others }: Modules): Release {
  return {
    version,
    openCloud: (options) => Cloud.open(options),
    openEdge: (options) => Edge.open(options),
    ...others,
  };
}

/** Two versions that meet in a run: all machines end up with the later one. */
export interface Meeting<Version = VersionName> {
  readonly early: Version;
  readonly late: Version;
}

export const presentOnly: Meeting = { early: "present", late: "present" };

const present: Release = releaseFrom("present", {
  Cloud,
  Edge,
  verifyLog,
  readable,
  readableEvents,
  keptOf,
  stateOfSide,
});

export const presentRelease: Meeting<Release> = { early: present, late: present };

export async function releasesOf({ early, late }: Meeting): Promise<Meeting<Release>> {
  return { early: await releaseOf(early), late: await releaseOf(late) };
}

/** What only a newer version says of a device, and how. */
export function noted(value: string): Pick<Draft, "type" | "class" | "slot" | "body"> {
  return { type: "device.noted", class: "resource", slot: "noted", body: [value] };
}

/** It says nothing of a slot; a newer fold knows which one it means. */
export function tagged(value: string): Pick<Draft, "type" | "class" | "body"> {
  return { type: "device.tagged", class: "audit", body: [value] };
}

/** The slot that a newer fold takes events of this type for. */
export const taggedSlot = "tagged";

function edit(file: string, find: string, replace: string): Edit {
  const [only] = broken("", file, find, replace).edits;
  return only as Edit;
}

/** It takes of nodes nothing that is desired. */
const older: readonly Edit[] = [
  edit(
    "protocol/link/authority.js",
    '"twin.desired": { authors: either,',
    '"twin.desired": { authors: cloud,',
  ),
];

/** Its fold reads one more type. */
const folding: readonly Edit[] = [
  edit("core/registers.js", 'name: "registers",\n    version: 1,', 'name: "registers",\n    version: 2,'),
  edit(
    "core/registers.js",
    "function applyMark(state, event) {",
    `function applyMark(state, event) {
    if (event.type === "device.tagged" && event.life !== undefined) {
        const life = findLife(state, event.key, event.life);
        if (!life.over) put(state.generations, life, "tagged", event);
        return;
    }`,
  ),
];

/** It knows more types, its fold reads one of them otherwise, and its events are longer. */
const newer: readonly Edit[] = [
  edit(
    "protocol/link/authority.js",
    '"twin.desired": {',
    '"device.noted": { authors: either, class: "resource", slot: "noted" },\n    "twin.desired": {',
  ),
  ...folding,
  edit(
    "core/event-writer.js",
    "        let fields = 5;\n",
    "        let fields = 5;\n        const longer = seq % 2 === 0;\n",
  ),
  edit(
    "core/event-writer.js",
    "        // For all that comes before the body.\n",
    "        if (longer) fields = 12;\n        // For all that comes before the body.\n",
  ),
  edit(
    "core/event-writer.js",
    "        if (fields > 9)\n            this.#byte(0xc3);\n",
    `        if (fields > 9)
            this.#byte(deletes === true ? 0xc3 : nil);
        if (longer) {
            this.#reserve(8);
            this.#byte(0x93);
            this.#byte(1);
            this.#byte(0xa1);
            this.#byte(0x78);
            this.#byte(0xc2);
            this.#byte(7);
        }
`,
  ),
];

/** What it writes older ones can't read, and it speaks another protocol. */
const breaking: readonly Edit[] = [
  edit("core/segment-bytes.js", "segmentVersion = 1;", "segmentVersion = 2;"),
  edit("core/segment.js", "if (version < segmentVersion)", "if (version < 1)"),
  edit("protocol/link/limits.js", "protocolVersion = 1;", "protocolVersion = 2;"),
];

const edits: EditsOf = { older, folding, newer, breaking };

const releases = new Map<VersionName, Promise<Release>>([["present", Promise.resolve(present)]]);

const root = new URL("../../", import.meta.url).href;
let isRegistered = false;

/** The product in a version; loaded when it is asked for the first time. */
export function releaseOf(version: VersionName): Promise<Release> {
  let release = releases.get(version);
  if (release === undefined) {
    release = load(version);
    releases.set(version, release);
  }
  return release;
}

async function load(version: VersionName): Promise<Release> {
  if (!isRegistered) register("./version-loader.js", import.meta.url, { data: { root, edits } });
  isRegistered = true;
  const cloud: Pick<Modules, "Cloud"> = await import(`${root}cloud/cloud.js?version=${version}`);
  const edge: Pick<Modules, "Edge"> = await import(`${root}edge/edge.js?version=${version}`);
  const core = `${root}core`;
  const verify: Pick<Modules, "verifyLog"> = await import(`${core}/log-verify.js?version=${version}`);
  const replay: Pick<Modules, "readable" | "readableEvents"> = await import(
    `${core}/replay.js?version=${version}`
  );
  const cover: Pick<Modules, "keptOf"> = await import(`${core}/cover.js?version=${version}`);
  const past: Pick<Modules, "stateOfSide"> = await import(`${core}/history-read.js?version=${version}`);
  return releaseFrom(version, {
    ...cloud,
    ...edge,
    ...verify,
    ...replay,
    ...cover,
    ...past,
  });
}
