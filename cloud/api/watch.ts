/** Watches: a subscription to the cluster log, in Kubernetes' words. */
import type { Event } from "../../core/event.ts";
import { follow } from "../../core/follow.ts";
import type { Timers } from "../../core/ports.ts";
import { resourceApplied, resourceDeleted } from "../../protocol/devices/changes.ts";
import { type Cancellation, jsonLine } from "../../protocol/rest/http.ts";
import type { Kind } from "../../protocol/rest/kind.ts";
import type { KubeObject } from "../../protocol/rest/objects.ts";
import type { Selector } from "../../protocol/rest/selectors.ts";
import { type Failure, expired } from "../../protocol/rest/status.ts";
import { type Resources, storedOf } from "./resources.ts";

export interface WatchOptions {
  readonly kind: Kind;
  /** Undefined for all. */
  readonly namespace: string | undefined;
  readonly selected: Selector;
  /** Undefined or 0: first everything there is, then what changes. */
  readonly version: number | undefined;
  /** Ends the watch. */
  readonly gone: Cancellation;
  readonly timeoutMs: number | undefined;
  readonly timers: Timers;
}

/** Lines of JSON, read from the log no faster than they are taken. */
export function watch(resources: Resources, options: WatchOptions): AsyncIterable<string> | Failure {
  const { version } = options;
  if (version !== undefined && version !== 0) {
    const latest = resources.version;
    if (version < resources.oldestVersion || version > latest) return expired(version, latest);
  }
  return lines(resources, options);
}

async function* lines(resources: Resources, options: WatchOptions): AsyncGenerator<string> {
  const { kind, namespace, selected } = options;
  let version = options.version ?? 0;
  if (version === 0) {
    version = resources.version;
    for (const object of resources.list(kind, namespace, selected)) yield line("ADDED", object);
  }
  const { ended, release } = endOf(options);
  try {
    for await (const events of follow(resources.log, resources.positionAfter(version), ended)) {
      for (const event of events) {
        const text = lineOf(resources, options, event);
        if (text !== undefined) yield text;
      }
    }
  } finally {
    release();
  }
}

/** What a watcher is told of an event, if anything. */
function lineOf(resources: Resources, options: WatchOptions, event: Event): string | undefined {
  const { kind, namespace, selected } = options;
  const prefix = namespace === undefined ? `${kind.plural}/` : `${kind.plural}/${namespace}/`;
  if (!event.key.startsWith(prefix)) return undefined;
  const isSelected = selected(storedOf(event).metadata);
  if (event.type === resourceDeleted) {
    return isSelected ? line("DELETED", resources.view(kind, event)) : undefined;
  }
  if (event.type !== resourceApplied) return undefined;
  const isNew = event.life === undefined;
  if (isSelected) return line(isNew ? "ADDED" : "MODIFIED", resources.view(kind, event));
  // It may have been selected before: to this watcher it is gone. One that never knew it has nothing to forget.
  return isNew ? undefined : line("DELETED", resources.view(kind, event));
}

function line(type: string, object: KubeObject): string {
  return jsonLine({ type, object });
}

/** When the client has gone, or its time is over. */
function endOf({ gone, timeoutMs, timers }: WatchOptions): { ended: Cancellation; release: () => void } {
  const ended = new AbortController();
  const end = (): void => ended.abort();
  if (gone.aborted) end();
  gone.addEventListener("abort", end);
  const cancel = timeoutMs === undefined ? undefined : timers.after(timeoutMs, end);
  const release = (): void => {
    gone.removeEventListener("abort", end);
    cancel?.();
  };
  return { ended: ended.signal, release };
}
