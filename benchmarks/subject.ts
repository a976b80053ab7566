/**
 * What the benchmarks measure: the product, or the bare parts under it. Both are driven by the same load, observed
 * through the same kind of interface, and their CPU is read from the same place (`/proc`).
 */

import type { Backlogged } from "./reports.ts";

export type Side = "raw" | "product";

/** An open log that takes events of about 100 bytes; which event it takes is its own business. */
export interface AppendTarget {
  /** Appends one event. `done` is called once it is synced. */
  append(done: () => void): void;
  close(): Promise<void>;
}

export interface PipelineOptions {
  /** Where both processes keep their files: empty, on a real disk, removed by the caller. */
  readonly directory: string;
  /** Devices that exist: `default/dev-0` … each with a property `temperature` that reports a float. */
  readonly devices: number;
  /** Somebody will subscribe to `…/twin/update/result`. */
  readonly results: boolean;
}

/** An edge process with an MQTT broker and a cloud process, connected over `wss` with both sides proven. */
export interface Pipeline {
  readonly mqttPort: number;
  /** Process ids, for CPU. */
  readonly edge: number;
  readonly cloud: number;
  /** How many events of devices are durable in the cloud. */
  stored(): Promise<number>;
  /**
   * Calls `readable` with each reported value once a reader of the cloud's API sees it.
   * @returns what ends the watch.
   */
  watch(readable: (value: string) => void): Promise<() => void>;
  close(): Promise<void>;
}

export interface BacklogOptions {
  readonly directory: string;
  /** What is durable at the edge, and the cloud has not seen. */
  readonly reports: Backlogged;
}

/** An edge with a backlog and a cloud that is up, before they meet. */
export interface Backlog {
  readonly edge: number;
  readonly cloud: number;
  /** Ends the outage. */
  connect(): Promise<void>;
  stored(): Promise<number>;
  /** What the node has handed to the link, before TLS and the framing of WebSocket. */
  sentBytes(): Promise<number>;
  /** @throws when the cloud does not have so many events of the node, whole and in order */
  verify(events: number): Promise<void>;
  close(): Promise<void>;
}

export interface Subject {
  readonly side: Side;
  /** @throws NotAvailable */
  openLog(directory: string): Promise<AppendTarget>;
  /** @throws NotAvailable */
  startPipeline(options: PipelineOptions): Promise<Pipeline>;
  /** @throws NotAvailable */
  startBacklog(options: BacklogOptions): Promise<Backlog>;
}

/** This build has no such part: the benchmark then shows the raw figure alone. */
export class NotAvailable extends Error {
  override readonly name = "NotAvailable";
}
