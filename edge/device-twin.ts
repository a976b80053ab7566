/**
 * DeviceTwin: turns messages on the device topics into events of this node's log, and answers them.
 *
 * A message's events are appended together, and it is done when they are durable. Answers are built only where
 * somebody has subscribed to them: most publishers never do.
 */
import { isUtf8 } from "node:buffer";
import { TidemarkError, hasCode, messageOf } from "../core/errors.ts";
import type { Draft, Event } from "../core/event.ts";
import type { Clock, Logger, Timers } from "../core/ports.ts";
import type { Registers } from "../core/registers.ts";
import type { Replica } from "../core/replica.ts";
import {
  type Stamp,
  getResult,
  membershipResult,
  refusalAnswer,
  stateResult,
  updateDocument,
  updateResult,
} from "../protocol/devices/answers.ts";
import { type Declaration, readDeclaration } from "../protocol/devices/declaration.ts";
import {
  type PropertyChange,
  type Refusal,
  isOnline,
  maxPayloadBytes,
  parseGet,
  parseStateUpdate,
  parseTwinUpdate,
} from "../protocol/devices/payloads.ts";
import type { Command, DeviceCommand, MembershipCommand } from "../protocol/devices/topics.ts";
import { deviceState, draftsOfUpdate } from "../protocol/devices/twin-update.ts";
import {
  type Twin,
  desiredSlot,
  makeTwin,
  readState,
  readTwins,
  reportedSlot,
  stateSlot,
} from "../protocol/devices/twin-view.ts";
import { TwinOutbox } from "./device-twin-outbox.ts";
import type { CommandReceiver, DeviceBus, Message } from "./device-twin-port.ts";
import { WaitingCommands } from "./device-twin-waiting.ts";

export interface DeviceTwinOptions {
  readonly replica: Replica;
  /** This node's name. */
  readonly node: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly bus: DeviceBus;
}

export interface DeviceTwinCounts {
  /** Messages to device topics. */
  readonly messages: number;
  /** Of those, to a device that does not exist here. */
  readonly unknownDevice: number;
  /** Of those, answered with an error; unknown devices among them. */
  readonly refused: number;
  /** Waiting for room in the log, now. */
  readonly waiting: number;
}

type Done = (error?: TidemarkError) => void;

/** Devices whose declaration is kept at hand. */
const declarationsMax = 16_384;

export function createDeviceTwin(options: DeviceTwinOptions): DeviceTwin {
  return new DeviceTwin(options);
}

export class DeviceTwin implements CommandReceiver {
  readonly #options: DeviceTwinOptions;
  readonly #outbox: TwinOutbox;
  readonly #waiting: WaitingCommands;
  readonly #stopFollowing: () => void;
  readonly #declarations = new Map<string, Declaration>();
  /** What `#declarations` were read from: the log builds new ones after a rollback. */
  #registers: Registers;
  #messages = 0;
  #unknownDevice = 0;
  #refused = 0;

  constructor(options: DeviceTwinOptions) {
    this.#options = options;
    this.#registers = options.replica.registers;
    this.#outbox = new TwinOutbox(options);
    this.#waiting = new WaitingCommands(options, (waiting) =>
      this.#write(waiting.command, waiting.payload, waiting.done),
    );
    this.#stopFollowing = options.replica.onVisible((events) => {
      if (events.some((event) => event.class === "resource")) this.#declarations.clear();
      this.#waiting.retry();
    });
  }

  get counts(): DeviceTwinCounts {
    return {
      messages: this.#messages,
      unknownDevice: this.#unknownDevice,
      refused: this.#refused,
      waiting: this.#waiting.count,
    };
  }

  receive(command: Command, payload: Buffer, done: Done): void {
    this.#messages += 1;
    switch (command.action) {
      case "twin/update":
      case "state/update":
        // Behind others that wait: the order of a device's messages is kept.
        if (this.#waiting.count > 0 || !this.#write(command, payload, done)) {
          this.#waiting.add({ command, payload, done });
        }
        return;
      case "twin/get":
        this.#getTwin(command, payload);
        break;
      case "membership/get":
        this.#getMembership(command, payload);
        break;
    }
    done();
  }

  /**
   * Publishes what these events mean for subscribers: deltas and memberships. For an outbox reactor, in order.
   * @throws NOT_REACHABLE when subscribers are too slow to take them now
   */
  onEvents(events: readonly Event[]): void {
    this.#outbox.onEvents(events);
  }

  pendingFor(filter: string): Iterable<Message> {
    return this.#outbox.pendingFor(filter);
  }

  /** Takes nothing more; messages that wait for room in the log are not acknowledged. Idempotent. */
  close(): void {
    this.#stopFollowing();
    this.#waiting.close();
  }

  /** @returns false when the log has no room now: nothing was done. */
  #write(command: DeviceCommand, payload: Buffer, done: Done): boolean {
    const text = textOf(payload);
    if (typeof text !== "string") return this.#refuse(command, "", text, done);
    return command.action === "state/update"
      ? this.#updateState(command, text, done)
      : this.#updateTwin(command, text, done);
  }

  #updateTwin(command: DeviceCommand, text: string, done: Done): boolean {
    const request = parseTwinUpdate(text);
    const { eventId } = request;
    if (request.refusal !== undefined) return this.#refuse(command, eventId, request.refusal, done);
    const declaration = this.#declaration(command);
    if (declaration === undefined) return this.#refuseUnknown(command, eventId, done);
    const changes = request.content;
    const drafts = draftsOfUpdate(declaration, changes);
    if (typeof drafts === "string") {
      return this.#refuse(command, eventId, { code: 400, reason: drafts }, done);
    }
    const { bus } = this.#options;
    const wantsResult = bus.hasSubscriber(command.result);
    const wantsDocument = bus.hasSubscriber(command.document);
    if (!wantsResult && !wantsDocument) return this.#append(command, eventId, drafts, done);
    const before = wantsDocument ? this.#stagedTwins(declaration, changes) : [];
    let after: readonly Twin[] = [];
    const taken = this.#append(command, eventId, drafts, (error) => {
      done(error);
      if (error !== undefined) return;
      const stamp = this.#stamp(eventId);
      if (wantsResult) bus.publish(command.result, updateResult(stamp, changes, after));
      if (wantsDocument) bus.publish(command.document, updateDocument(stamp, before, after));
    });
    if (taken) after = this.#stagedTwins(declaration, changes);
    return taken;
  }

  #updateState(command: DeviceCommand, text: string, done: Done): boolean {
    const { replica, clock, bus } = this.#options;
    const request = parseStateUpdate(text);
    const { eventId } = request;
    if (request.refusal !== undefined) return this.#refuse(command, eventId, request.refusal, done);
    const declaration = this.#declaration(command);
    if (declaration === undefined) return this.#refuseUnknown(command, eventId, done);
    const { key, life, name } = declaration;
    const state = request.content;
    // When a device goes away, when it was last there is still worth knowing; KubeEdge forgets it.
    const lastOnline = isOnline(state)
      ? Math.floor(clock.now())
      : readState(replica.staged(key, stateSlot)).lastOnline;
    const draft: Draft = {
      type: deviceState,
      class: "twin",
      key,
      slot: stateSlot,
      life: life.id,
      body: [state, lastOnline ?? null],
    };
    return this.#append(command, eventId, [draft], (error) => {
      done(error);
      if (error !== undefined || !bus.hasSubscriber(command.result)) return;
      bus.publish(command.result, stateResult(this.#stamp(eventId), { name, state, lastOnline }));
    });
  }

  /** @returns false when the log has no room now. */
  #append(command: DeviceCommand, eventId: string, drafts: readonly Draft[], done: Done): boolean {
    if (drafts.length === 0) {
      done();
      return true;
    }
    try {
      this.#options.replica.append(drafts, done);
    } catch (error) {
      if (hasCode(error, "LOG_OVERLOADED") || hasCode(error, "LOG_FULL")) return false;
      if (hasCode(error, "EVENT_TOO_LARGE")) {
        return this.#refuse(command, eventId, { code: 400, reason: messageOf(error) }, done);
      }
      this.#answer(command.result, eventId, { code: 500, reason: messageOf(error) });
      done(error instanceof TidemarkError ? error : new TidemarkError("LOG_CLOSED", messageOf(error)));
    }
    return true;
  }

  /** Answers from what is durable, never from what is staged. */
  #getTwin(command: DeviceCommand, payload: Buffer): void {
    const { bus, replica } = this.#options;
    const request = requestOf(payload);
    if (request.refusal !== undefined) {
      this.#answer(command.result, request.eventId, request.refusal);
      return;
    }
    const declaration = this.#declaration(command);
    if (declaration === undefined) {
      this.#answerUnknown(command, request.eventId);
    } else if (bus.hasSubscriber(command.result)) {
      const twins = readTwins(replica.registers, declaration);
      bus.publish(command.result, getResult(this.#stamp(request.eventId), twins));
    }
  }

  #getMembership({ node, result }: MembershipCommand, payload: Buffer): void {
    const { bus, replica, node: ownNode } = this.#options;
    const { eventId, refusal } = requestOf(payload);
    if (refusal !== undefined) {
      this.#answer(result, eventId, refusal);
    } else if (node !== ownNode) {
      this.#answer(result, eventId, { code: 404, reason: `this node is ${ownNode}, not ${node}` });
    } else if (bus.hasSubscriber(result)) {
      bus.publish(result, membershipResult(this.#stamp(eventId), replica.registers));
    }
  }

  #declaration({ key, namespace, name }: DeviceCommand): Declaration | undefined {
    const { registers } = this.#options.replica;
    if (registers !== this.#registers) {
      this.#registers = registers;
      this.#declarations.clear();
    }
    const known = this.#declarations.get(key);
    if (known !== undefined && !known.life.over) return known;
    const declaration = readDeclaration(registers, namespace, name);
    if (declaration === undefined) return undefined;
    if (this.#declarations.size >= declarationsMax) this.#declarations.clear();
    this.#declarations.set(key, declaration);
    return declaration;
  }

  /** The properties that a message names, with what is not durable yet. */
  #stagedTwins(declaration: Declaration, changes: ReadonlyMap<string, PropertyChange>): Twin[] {
    const { replica } = this.#options;
    const { key, life } = declaration;
    return [...changes.keys()].map((name) => {
      const slot = desiredSlot(name);
      const cloud = life.slots.get(slot)?.cloud;
      return makeTwin(replica.registers, declaration, name, {
        reported: replica.staged(key, reportedSlot(name)),
        desired: { cloud, node: replica.staged(key, slot), rivals: undefined },
      });
    });
  }

  #refuseUnknown(command: DeviceCommand, eventId: string, done: Done): true {
    this.#answerUnknown(command, eventId);
    done();
    return true;
  }

  #answerUnknown({ namespace, name, result }: DeviceCommand, eventId: string): void {
    this.#unknownDevice += 1;
    const reason = `there is no device ${namespace}/${name} on this node`;
    this.#answer(result, eventId, { code: 404, reason });
  }

  /** The message is answered and done with: a publisher that sent it again would do no better. */
  #refuse(command: DeviceCommand, eventId: string, refusal: Refusal, done: Done): true {
    this.#answer(command.result, eventId, refusal);
    done();
    return true;
  }

  #answer(topic: string, eventId: string, refusal: Refusal): void {
    const { bus, logger } = this.#options;
    this.#refused += 1;
    logger.log("debug", "a device message was refused", { topic, ...refusal });
    if (bus.hasSubscriber(topic)) bus.publish(topic, refusalAnswer(this.#stamp(eventId), refusal));
  }

  #stamp(eventId: string): Stamp {
    return { eventId, timestamp: Math.floor(this.#options.clock.now()) };
  }
}

function requestOf(payload: Buffer): ReturnType<typeof parseGet> {
  const text = textOf(payload);
  return typeof text === "string" ? parseGet(text) : { eventId: "", refusal: text };
}

/** @returns the text, or why the payload is none. */
function textOf(payload: Buffer): string | Refusal {
  if (payload.length > maxPayloadBytes) {
    return { code: 400, reason: `the message is ${payload.length} bytes; the limit is ${maxPayloadBytes}` };
  }
  const text = payload.toString();
  // Bytes that are not UTF-8 decode to U+FFFD, which a text may also hold by right.
  if (text.includes("\u{fffd}") && !isUtf8(payload)) {
    return { code: 400, reason: "the message is not UTF-8" };
  }
  return text;
}
