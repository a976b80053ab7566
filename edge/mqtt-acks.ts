/**
 * The acknowledgements of one connection, in the order of its messages (MQTT-4.6.0-2): one that is ready waits for
 * those before it.
 */

/** Lets the broker acknowledge a message and pass it on; with an error it closes the connection. */
export type Release = (error?: Error | null) => void;

export interface Turn {
  readonly release: Release;
  readonly sizeBytes: number;
  ready: boolean;
  next: Turn | undefined;
}

export interface AckLimits {
  /** Messages, and bytes of payload, that wait until no more is read from the client. */
  readonly pendingMax: number;
  readonly pendingBytesMax: number;
}

export class AckLane {
  readonly #limits: AckLimits;
  readonly #setReading: (reading: boolean) => void;
  #head: Turn | undefined;
  #tail: Turn | undefined;
  #pending = 0;
  #pendingBytes = 0;
  #reading = true;
  #closed = false;

  /** @param setReading called when the client has so much unacknowledged that no more should be read, and after that */
  constructor(limits: AckLimits, setReading: (reading: boolean) => void) {
    this.#limits = limits;
    this.#setReading = setReading;
  }

  /** Messages that are not acknowledged yet. */
  get pending(): number {
    return this.#pending;
  }

  /** A message that waits for nothing but its turn. */
  pass(release: Release, sizeBytes: number): void {
    if (this.#head === undefined) release(null);
    else this.#add({ release, sizeBytes, ready: true, next: undefined });
  }

  /** A message that waits for `settle`. */
  hold(release: Release, sizeBytes: number): Turn {
    const turn: Turn = { release, sizeBytes, ready: false, next: undefined };
    this.#add(turn);
    return turn;
  }

  settle(turn: Turn): void {
    turn.ready = true;
    if (turn !== this.#head || this.#closed) return;
    let head: Turn | undefined = turn;
    while (head?.ready === true) {
      this.#pending -= 1;
      this.#pendingBytes -= head.sizeBytes;
      // Out of the lane first: what the release sets off may add to it.
      this.#head = head.next;
      if (this.#head === undefined) this.#tail = undefined;
      head.release(null);
      head = this.#head;
    }
    this.#weigh();
  }

  /** The client does without an acknowledgement (QoS 0), but counts until `left`. */
  entered(sizeBytes: number): void {
    this.#pending += 1;
    this.#pendingBytes += sizeBytes;
    this.#weigh();
  }

  left(sizeBytes: number): void {
    this.#pending -= 1;
    this.#pendingBytes -= sizeBytes;
    this.#weigh();
  }

  /** The connection is gone: nothing is acknowledged any more, and the client sends it again. */
  close(): void {
    this.#closed = true;
    this.#head = undefined;
    this.#tail = undefined;
    this.#pending = 0;
    this.#pendingBytes = 0;
  }

  get closed(): boolean {
    return this.#closed;
  }

  #add(turn: Turn): void {
    if (this.#closed) return;
    if (this.#tail === undefined) this.#head = turn;
    else this.#tail.next = turn;
    this.#tail = turn;
    this.#pending += 1;
    this.#pendingBytes += turn.sizeBytes;
    this.#weigh();
  }

  #weigh(): void {
    if (this.#closed) return;
    const { pendingMax, pendingBytesMax } = this.#limits;
    if (this.#reading) {
      if (this.#pending < pendingMax && this.#pendingBytes < pendingBytesMax) return;
    } else if (this.#pending > pendingMax / 2 || this.#pendingBytes > pendingBytesMax / 2) return;
    this.#reading = !this.#reading;
    this.#setReading(this.#reading);
  }
}
