/** What lies between a node and the cloud: a TCP proxy that cuts, delays, stalls and hushes. It looks at no byte. */
import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";

/** Held back in one direction of one connection; what comes after it stays with the sender. */
const queuedBytesMax = 256 * 1024;

/** By an RST. A socket whose end is on its way is closed plainly: Node may never let go of one that is reset then. */
function cutOff(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** One direction of one connection. */
class Pipe {
  readonly #source: Socket;
  readonly #target: Socket;
  readonly #queue: { readonly chunk: Buffer; readonly dueMs: number }[] = [];
  #queuedBytes = 0;
  #delayMs = 0;
  #stalled = false;
  #ended = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(source: Socket, target: Socket) {
    this.#source = source;
    this.#target = target;
    source.on("data", (chunk: Buffer) => {
      const dueMs = Math.max(performance.now() + this.#delayMs, this.#queue.at(-1)?.dueMs ?? 0);
      this.#queue.push({ chunk, dueMs });
      this.#queuedBytes += chunk.length;
      if (this.#queuedBytes >= queuedBytesMax) source.pause();
      this.#pump();
    });
    source.once("end", () => {
      this.#ended = true;
      this.#pump();
    });
    target.on("drain", () => this.#pump());
  }

  delay(ms: number): void {
    this.#delayMs = ms;
  }

  stall(isStalled: boolean): void {
    this.#stalled = isStalled;
    this.#pump();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#queue.length = 0;
  }

  #pump(): void {
    clearTimeout(this.#timer);
    while (!this.#stalled && !this.#target.writableNeedDrain && !this.#target.destroyed) {
      const head = this.#queue[0];
      if (head === undefined) {
        if (this.#ended) this.#target.end();
        return;
      }
      const waitMs = head.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#pump(), waitMs);
        return;
      }
      this.#queue.shift();
      this.#queuedBytes -= head.chunk.length;
      this.#target.write(head.chunk);
      if (this.#queuedBytes < queuedBytesMax && this.#source.isPaused()) this.#source.resume();
    }
  }
}

/** One connection of a node through the proxy. */
class Pair {
  readonly node: Socket;
  readonly cloud: Socket;
  readonly toCloud: Pipe;
  readonly toNode: Pipe;
  /** An end that the other end is not to hear of. */
  #isOrphan = false;
  #isHushed = false;

  constructor(node: Socket, cloud: Socket) {
    this.node = node;
    this.cloud = cloud;
    this.toCloud = new Pipe(node, cloud);
    this.toNode = new Pipe(cloud, node);
    for (const [one, other] of [
      [node, cloud],
      [cloud, node],
    ] as const) {
      one.setNoDelay(true);
      one.on("error", () => undefined);
      one.once("close", () => {
        this.toCloud.close();
        this.toNode.close();
        if (!this.#isOrphan && !this.#isHushed) cutOff(other);
      });
    }
  }

  get isOver(): boolean {
    return this.node.destroyed && this.cloud.destroyed;
  }

  hush(isHushed: boolean): void {
    this.#isHushed = isHushed;
    this.stall(isHushed, isHushed);
    const oneIsGone = this.node.destroyed || this.cloud.destroyed;
    if (!isHushed && oneIsGone && !this.#isOrphan) this.reset();
  }

  stall(toCloud: boolean, toNode: boolean): void {
    this.toCloud.stall(toCloud);
    this.toNode.stall(toNode);
  }

  delay(ms: number): void {
    this.toCloud.delay(ms);
    this.toNode.delay(ms);
  }

  /** Cuts one end; what the other one sends goes nowhere. */
  orphan(whose: "node" | "cloud"): void {
    this.#isOrphan = true;
    const kept = whose === "node" ? this.node : this.cloud;
    const cut = whose === "node" ? this.cloud : this.node;
    kept.removeAllListeners("data").resume();
    kept.once("end", () => kept.destroy());
    cutOff(cut);
  }

  reset(): void {
    this.#isOrphan = false;
    cutOff(this.node);
    cutOff(this.cloud);
  }
}

export class LinkProxy {
  readonly #server: Server;
  readonly #cloudPort: number;
  readonly #pairs = new Set<Pair>();
  #refusing = false;
  #hushed = false;
  #stalled: readonly [toCloud: boolean, toNode: boolean] = [false, false];
  #delayMs = 0;

  private constructor(server: Server, cloudPort: number) {
    this.#server = server;
    this.#cloudPort = cloudPort;
    server.on("connection", (node) => this.#accept(node));
  }

  /** Listens on a free port of the loopback address, and goes on to that port of it. */
  static async open(cloudPort: number): Promise<LinkProxy> {
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new LinkProxy(server, cloudPort);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections that both ends believe in. */
  get connections(): number {
    return [...this.#pairs].filter(({ node, cloud }) => !node.destroyed && !cloud.destroyed).length;
  }

  reset(): void {
    for (const pair of this.#pairs) pair.reset();
  }

  refuse(isRefusing: boolean): void {
    this.#refusing = isRefusing;
    if (isRefusing) this.reset();
  }

  delay(ms: number): void {
    this.#delayMs = ms;
    for (const pair of this.#pairs) pair.delay(ms);
  }

  stall(toCloud: boolean, toNode: boolean): void {
    this.#stalled = [toCloud, toNode];
    for (const pair of this.#pairs) pair.stall(toCloud, toNode);
  }

  hush(isHushed: boolean): void {
    this.#hushed = isHushed;
    for (const pair of this.#pairs) pair.hush(isHushed);
  }

  orphan(whose: "node" | "cloud"): void {
    for (const pair of this.#pairs) pair.orphan(whose);
  }

  /** Everything passes again. What is half open stays so: to find that out is up to its ends. */
  heal(): void {
    this.refuse(false);
    this.delay(0);
    this.stall(false, false);
    this.hush(false);
  }

  async close(): Promise<void> {
    this.#server.close();
    this.reset();
  }

  #accept(node: Socket): void {
    if (this.#refusing) {
      cutOff(node);
      return;
    }
    const cloud = connect({ port: this.#cloudPort, host: "127.0.0.1", allowHalfOpen: true });
    const pair = new Pair(node, cloud);
    this.#pairs.add(pair);
    for (const socket of [node, cloud]) {
      socket.once("close", () => {
        if (pair.isOver) this.#pairs.delete(pair);
      });
    }
    pair.delay(this.#delayMs);
    pair.stall(...this.#stalled);
    if (this.#hushed) pair.hush(true);
  }
}
