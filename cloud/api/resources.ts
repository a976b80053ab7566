/**
 * The objects of the embedded API server: events of the cluster log, by kind.
 *
 * Writes are decided against staged state, in one turn, and answered when durable; reads see durable state only. So two
 * writes that name one `resourceVersion` can't both succeed, though both arrive before the disk has confirmed either.
 */
import { pack } from "../../core/codec.ts";
import { assert } from "../../core/errors.ts";
import { type Body, type Draft, type Event, eventId } from "../../core/event.ts";
import type { Clock, Random } from "../../core/ports.ts";
import { currentLife } from "../../core/registers.ts";
import type { Replica } from "../../core/replica.ts";
import { resourceApplied, resourceDeleted } from "../../protocol/devices/changes.ts";
import type { Kind } from "../../protocol/rest/kind.ts";
import { validateMetadata } from "../../protocol/rest/metadata.ts";
import {
  type JsonObject,
  type KubeObject,
  type ObjectMeta,
  type ObjectRef,
  objectKey,
  sameJson,
  without,
} from "../../protocol/rest/objects.ts";
import { type Selector, everything } from "../../protocol/rest/selectors.ts";
import {
  type Failure,
  alreadyExists,
  badRequest,
  conflict,
  deleted,
  invalid,
  isFailure,
  notFound,
  tooLarge,
} from "../../protocol/rest/status.ts";
import { randomSuffix, uuid } from "./random-names.ts";

/** The largest object, bytes as stored: what etcd takes. */
export const objectBytesMax: number = 1.5 * 1024 * 1024;

/** The slot of an object's own events: everything but what is wanted or reported of it. */
export const specSlot = "spec";

export interface ResourcesOptions {
  /** The cluster log. */
  readonly log: Replica;
  readonly clock: Clock;
  readonly random: Random;
  /** Added to sequences to make a `resourceVersion`; rises after a restore above any number ever given out. */
  readonly versionBase?: number;
}

export interface WriteOptions {
  /** Decide and answer, but write nothing. */
  readonly dryRun?: boolean;
}

export interface Written {
  readonly object: KubeObject;
  readonly created: boolean;
}

export interface DeleteOptions extends WriteOptions {
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

/** What a change makes of an object; `metadata` may lack what the server sets. */
export type Change = (current: KubeObject) => KubeObject | Failure;

export class Resources {
  readonly log: Replica;
  readonly #clock: Clock;
  readonly #random: Random;
  #versionBase: number;
  /** The latest write of each key that is not durable yet. */
  readonly #writing = new Map<string, Promise<unknown>>();

  constructor(options: ResourcesOptions) {
    this.log = options.log;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#versionBase = options.versionBase ?? 0;
  }

  /** Before anybody has been given a version. */
  countFrom(versionBase: number): void {
    this.#versionBase = versionBase;
  }

  /** `resourceVersion` of the whole durable state: where a watch goes on from. */
  get version(): number {
    return this.#versionBase + this.#latestSeq();
  }

  /** The least version that a watch may go on from. */
  get oldestVersion(): number {
    const { wholeFrom = 0 } = this.log.histories.get(this.log.incarnation) ?? {};
    return this.#versionBase + wholeFrom;
  }

  /** Position in the log of the first event after that version. */
  positionAfter(version: number): number {
    // All events of this incarnation follow one another, since the cluster log has one origin.
    return version - this.#versionBase + (this.log.position - this.#latestSeq()) + 1;
  }

  #latestSeq(): number {
    return this.log.vector()[this.log.incarnation] ?? 0;
  }

  /** The durable object. */
  get(kind: Kind, ref: ObjectRef): KubeObject | undefined {
    const event = this.#durable(objectKey(kind.plural, ref));
    return event === undefined ? undefined : this.view(kind, event);
  }

  /** The durable objects of one namespace, or of all, in order of their keys. */
  list(kind: Kind, namespace: string | undefined, selected: Selector = everything): KubeObject[] {
    const prefix = namespace === undefined ? `${kind.plural}/` : `${kind.plural}/${namespace}/`;
    const keys = [...this.log.registers.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    const objects: KubeObject[] = [];
    for (const key of keys) {
      const event = this.#durable(key);
      if (event === undefined || !selected(storedOf(event).metadata)) continue;
      objects.push(this.view(kind, event));
    }
    return objects;
  }

  /** An object as it is shown: as the event says, with its version and what its status is now. */
  view(kind: Kind, event: Event): KubeObject {
    const stored = storedOf(event);
    const resourceVersion = String(this.#versionBase + event.seq);
    const shown: KubeObject = { ...stored, metadata: { ...stored.metadata, resourceVersion } };
    if (kind.status === undefined) return shown;
    const status = kind.status(stored, (key) => {
      const found = this.#durable(key);
      return found === undefined ? undefined : storedOf(found);
    });
    return { ...shown, status };
  }

  /** The object as staged: what the next write is decided against. Not for answers. */
  staged(key: string): KubeObject | undefined {
    const event = this.log.staged(key, specSlot);
    return event === undefined ? undefined : storedOf(event);
  }

  /** Makes an object that does not exist yet. */
  async create(
    kind: Kind,
    namespace: string,
    object: KubeObject,
    options: WriteOptions = {},
  ): Promise<Written | Failure> {
    const { generateName, resourceVersion } = object.metadata;
    if (resourceVersion !== undefined && resourceVersion !== "") {
      return badRequest("resourceVersion should not be set on objects to be created");
    }
    const given = object.metadata.name ?? "";
    const generated = given === "" && typeof generateName === "string" && generateName !== "";
    const name = generated ? generateName + randomSuffix(this.#random) : given;
    const key = objectKey(kind.plural, { namespace, name });
    if (this.log.staged(key, specSlot) !== undefined) return alreadyExists(kind, name);
    return this.#write({ kind, namespace, name }, object, options);
  }

  /** Replaces an object whole, or makes it. With a `resourceVersion`, only if that is still its version. */
  async put(
    kind: Kind,
    ref: ObjectRef,
    object: KubeObject,
    options: WriteOptions = {},
  ): Promise<Written | Failure> {
    return this.#write({ kind, ...ref }, object, options);
  }

  /** Reads, changes and writes an object in one turn: no other write comes between. */
  async modify(
    kind: Kind,
    ref: ObjectRef,
    change: Change,
    options: WriteOptions = {},
  ): Promise<Written | Failure> {
    const current = this.log.staged(objectKey(kind.plural, ref), specSlot);
    if (current === undefined) return notFound(kind, ref.name);
    const changed = change(storedOf(current));
    return isFailure(changed) ? changed : this.#write({ kind, ...ref }, changed, options);
  }

  /** @returns a `Status` that says what was deleted */
  async delete(kind: Kind, ref: ObjectRef, options: DeleteOptions = {}): Promise<JsonObject | Failure> {
    const key = objectKey(kind.plural, ref);
    const current = this.log.staged(key, specSlot);
    if (current === undefined) return notFound(kind, ref.name);
    const refusal = this.#refuseStale({ kind, ...ref }, current, options);
    if (refusal !== undefined) return refusal;
    if (options.dryRun !== true) {
      await this.#append({
        type: resourceDeleted,
        class: "resource",
        key,
        slot: specSlot,
        life: lifeOf(current),
        // What was deleted: watchers are told, and by then the registers no longer know.
        body: current.body,
        deletes: true,
      });
    }
    return deleted(kind, ref.name, storedOf(current).metadata.uid ?? "");
  }

  async #write(
    at: ObjectRef & { kind: Kind },
    given: KubeObject,
    options: WriteOptions,
  ): Promise<Written | Failure> {
    const { kind } = at;
    const key = objectKey(kind.plural, at);
    const current = this.log.staged(key, specSlot);
    const refusal = this.#refuseStale(at, current, given.metadata);
    if (refusal !== undefined) return refusal;
    const object = this.#completed(at, given, current);
    const causes = [...validateMetadata(object.metadata, kind.namespaced), ...kind.validate(object)];
    if (causes.length > 0) return invalid(kind, at.name, causes);
    if (pack(object).length > objectBytesMax) return tooLarge(objectBytesMax);
    const created = current === undefined;
    if (options.dryRun === true) return { object, created };
    if (current !== undefined && sameJson(object, current.body)) {
      await this.#writing.get(key);
      return { object: this.view(kind, current), created };
    }
    const life = current === undefined ? undefined : lifeOf(current);
    const body = object as Body;
    const durable = this.#append({
      type: resourceApplied,
      class: "resource",
      key,
      slot: specSlot,
      life,
      body,
    });
    // Taken now: by the time this one is durable another may have followed it.
    const event = this.log.staged(key, specSlot);
    await durable;
    assert(event !== undefined, "what was appended was staged");
    return { object: this.view(kind, event), created };
  }

  /** With a version or a uid, a write is meant for that very state of that very object. */
  #refuseStale(
    { kind, name }: ObjectRef & { kind: Kind },
    current: Event | undefined,
    { uid = "", resourceVersion = "" }: { uid?: string | undefined; resourceVersion?: string | undefined },
  ): Failure | undefined {
    const held = current === undefined ? "" : (storedOf(current).metadata.uid ?? "");
    if (uid !== "" && uid !== held) {
      return conflict(
        kind,
        name,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${held}`,
      );
    }
    if (resourceVersion === "") return undefined;
    if (current === undefined) return notFound(kind, name);
    return resourceVersion === String(this.#versionBase + current.seq) ? undefined : conflict(kind, name);
  }

  /** What is stored: what was given, and what only the server sets. */
  #completed(at: ObjectRef & { kind: Kind }, given: KubeObject, current: Event | undefined): KubeObject {
    const before = current === undefined ? undefined : storedOf(current);
    const kept = without(
      given.metadata,
      "generateName",
      "resourceVersion",
      "selfLink",
      "managedFields",
      "uid",
      "creationTimestamp",
      "generation",
    );
    const metadata: ObjectMeta = {
      ...kept,
      name: at.name,
      ...(at.kind.namespaced && { namespace: at.namespace }),
      uid: before?.metadata.uid ?? uuid(this.#random),
      creationTimestamp: before?.metadata.creationTimestamp ?? wholeSeconds(this.#clock.now()),
      generation: 1,
    };
    const bare = { ...(without(given, "status") as KubeObject), metadata };
    const object = at.kind.withDefaults?.(bare) ?? bare;
    if (before === undefined) return object;
    const { generation = 1 } = before.metadata;
    const changed = !sameJson(object.spec, before.spec);
    return { ...object, metadata: { ...metadata, generation: changed ? generation + 1 : generation } };
  }

  /** Resolves when it is durable. */
  async #append(draft: Draft): Promise<void> {
    const durable = this.log.appended([draft]);
    this.#writing.set(draft.key, durable);
    try {
      await durable;
    } finally {
      if (this.#writing.get(draft.key) === durable) this.#writing.delete(draft.key);
    }
  }

  #durable(key: string): Event | undefined {
    return currentLife(this.log.registers, key)?.slots.get(specSlot)?.cloud;
  }
}

/** The object in an event: without a version, which is not known before the event has one. */
export function storedOf(event: Event): KubeObject {
  return event.body as unknown as KubeObject;
}

function lifeOf(event: Event): Event["life"] {
  return event.life ?? eventId(event.origin, event.seq);
}

function wholeSeconds(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 19)}Z`;
}
