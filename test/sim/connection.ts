import { crc32 } from "node:zlib";
import { maxUnsentBytes } from "../../protocol/link/limits.ts";
import {
  type Transport,
  type TransportEnd,
  messageBytesMax,
  writableBelowBytes,
} from "../../protocol/transport.ts";
import type { Line } from "./network.ts";
import type { ProcessWorld, World } from "./world.ts";

/** An end that was closed waits no longer than this for what it had been handed to go out. */
const lingerMs = 2000;
/** What got lost on the line is sent again after this. */
const sendAgainMs = 400;

/** One connection: two ends, and what is on its way between them. */
export class Connection {
  readonly line: Line;
  readonly node: End;
  readonly cloud: End;
  readonly #world: World;
  readonly #over: () => void;
  #isCut = false;

  constructor(
    world: World,
    line: Line,
    owners: { readonly node: ProcessWorld; readonly cloud: ProcessWorld },
    over: () => void,
  ) {
    this.#world = world;
    this.line = line;
    this.#over = over;
    this.node = new End(world, this, owners.node);
    this.cloud = new End(world, this, owners.cloud);
  }

  get isCut(): boolean {
    return this.#isCut;
  }

  belongsTo(owner: ProcessWorld): boolean {
    return [this.node, this.cloud].some((end) => end.owner === owner && !end.isOver);
  }

  other(end: End): End {
    return end === this.node ? this.cloud : this.node;
  }

  /** Nothing passes from now on, what is on its way neither. */
  cut(nodeNoticesMs: number, cloudNoticesMs: number): void {
    if (this.#isCut) return;
    this.#isCut = true;
    const reason = { by: "cut", code: undefined, message: "the connection was cut" } as const;
    this.node.endLater(nodeNoticesMs, reason);
    this.cloud.endLater(cloudNoticesMs, reason);
  }

  died(owner: ProcessWorld, silenceMs: number | undefined): void {
    for (const end of [this.node, this.cloud]) {
      if (end.owner !== owner || end.isOver) continue;
      const other = this.other(end);
      if (silenceMs === undefined) end.close();
      else {
        end.goSilent();
        other.endLater(silenceMs, { by: "cut", code: undefined, message: "the other machine is gone" });
      }
      end.end({ by: "self", code: undefined, message: "the process is gone" });
    }
  }

  ended(): void {
    if (this.node.isOver && this.cloud.isOver) this.#over();
  }

  /** Hands what one end has sent to the other, after the line's delay. */
  carry(to: End, deliver: () => void): void {
    const { delayMs, jitterMs } = this.line;
    const at = this.#world.nowMs + delayMs + this.#world.random.between(0, jitterMs);
    to.arriveAt = Math.max(to.arriveAt, at);
    this.#world.after(to.arriveAt - this.#world.nowMs, () => {
      this.#arrive(to, deliver);
    });
  }

  /** In order: what does not get through holds up what follows it. */
  #arrive(to: End, deliver: () => void): void {
    if (this.#isCut) return;
    if (to.heldUp.length === 0 && !this.#isDeaf(to)) {
      deliver();
      return;
    }
    to.heldUp.push(deliver);
    if (to.heldUp.length === 1) this.#tryAgain(to);
  }

  #tryAgain(to: End): void {
    this.#world.after(sendAgainMs, () => {
      if (this.#isCut || to.isOver) return;
      if (this.#isDeaf(to)) this.#tryAgain(to);
      else for (const deliver of to.heldUp.splice(0)) deliver();
    });
  }

  #isDeaf(to: End): boolean {
    return this.line.deafSide === (to === this.node ? "node" : "cloud");
  }
}

export class End implements Transport {
  readonly owner: ProcessWorld;
  /** When the last message on its way here arrives. */
  arriveAt = 0;
  /** What has not got through to it, in order. */
  readonly heldUp: (() => void)[] = [];
  readonly #world: World;
  readonly #connection: Connection;
  #buffered = 0;
  #received = 0;
  /** When the socket will have sent what it was handed. */
  #sentAt = 0;
  #wasFull = false;
  #isClosing = false;
  #isSilent = false;
  #ended: TransportEnd | undefined;
  #arrived: Uint8Array[] = [];
  #receive: ((bytes: Uint8Array) => void) | undefined;
  #resume: (() => void) | undefined;
  #onClose: ((reason: TransportEnd) => void) | undefined;

  constructor(world: World, connection: Connection, owner: ProcessWorld) {
    this.#world = world;
    this.#connection = connection;
    this.owner = owner;
  }

  get buffered(): number {
    return this.#buffered;
  }

  get received(): number {
    return this.#received;
  }

  get isOver(): boolean {
    return this.#ended !== undefined;
  }

  send(bytes: Uint8Array): void {
    if (this.#isClosing || this.isOver) return;
    const world = this.#world;
    if (bytes.length > messageBytesMax)
      world.fail("transport", `a message of ${bytes.length} bytes was sent`);
    this.#buffered += bytes.length;
    if (this.#buffered > maxUnsentBytes)
      world.fail("transport", `a socket was handed ${this.#buffered} bytes unsent`);
    if (this.#buffered >= writableBelowBytes) this.#wasFull = true;
    const { line } = this.#connection;
    this.#sentAt = Math.max(world.nowMs, this.#sentAt) + bytes.length / line.bytesPerMs;
    world.after(this.#sentAt - world.nowMs, () => {
      this.#sent(bytes);
    });
  }

  /** The socket has sent a message: it is on the line now. */
  #sent(bytes: Uint8Array): void {
    const connection = this.#connection;
    if (connection.isCut || this.#isSilent) return;
    this.#buffered -= bytes.length;
    const other = connection.other(this);
    const copies = this.#world.random.chance(connection.line.duplicates) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      connection.carry(other, () => {
        other.#take(bytes);
      });
    }
    if (!this.#wasFull || this.#buffered >= writableBelowBytes) return;
    this.#wasFull = false;
    if (!this.isOver && this.owner.alive) this.#resume?.();
  }

  #take(bytes: Uint8Array): void {
    if (this.isOver || this.#isClosing || !this.owner.alive) return;
    this.#received += bytes.length;
    this.#world.trace.mix(`${this.#world.nowMs}:${bytes.length}:${crc32(bytes)}`);
    if (this.#receive === undefined) this.#arrived.push(bytes);
    else this.#receive(bytes.slice());
  }

  close(code?: string): void {
    if (this.#isClosing || this.isOver) return;
    this.#isClosing = true;
    const world = this.#world;
    const drainedMs = Math.max(0, this.#sentAt - world.nowMs);
    const other = this.#connection.other(this);
    world.after(Math.min(drainedMs, lingerMs), () => {
      const by = code === undefined ? ("cut" as const) : ("peer" as const);
      const reason = { by, code, message: code ?? "the connection was ended" };
      if (!this.#connection.isCut && !this.#isSilent) this.#connection.carry(other, () => other.end(reason));
      this.end({ by: "self", code, message: "closed here" });
    });
  }

  /** What it was handed and has not sent never goes out. */
  goSilent(): void {
    this.#isSilent = true;
  }

  endLater(delayMs: number, reason: TransportEnd): void {
    if (delayMs === Number.POSITIVE_INFINITY) return;
    this.#world.after(delayMs, () => {
      this.end(reason);
    });
  }

  end(reason: TransportEnd): void {
    if (this.isOver) return;
    this.#ended = reason;
    this.#connection.ended();
    if (this.owner.alive) this.#onClose?.(reason);
  }

  onMessage(receive: (bytes: Uint8Array) => void): void {
    this.#receive = receive;
    for (const bytes of this.#arrived.splice(0)) receive(bytes.slice());
  }

  onWritable(resume: () => void): void {
    this.#resume = resume;
  }

  onClose(ended: (reason: TransportEnd) => void): void {
    this.#onClose = ended;
    if (this.#ended !== undefined) ended(this.#ended);
  }
}
