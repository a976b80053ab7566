import type { Socket } from "node:net";

/**
 * Stands between a socket and the broker that reads it: refuses a packet that is too large as soon as its length is
 * known, and holds reading back while the client has too much unacknowledged. What is not read fills the socket's
 * buffer, then the client's, and so slows the client.
 */
export class PacketReading {
  readonly #read: Socket["read"];
  readonly #packetBytesMax: number;
  readonly #onTooLarge: (sizeBytes: number) => void;
  #reading = true;
  #isOver = false;
  /** Bytes of the present packet that are still to come, once its length is known. */
  #remaining = 0;
  /** Bytes of the length itself that have come; -1 when the next byte begins a packet. */
  #lengthBytes = -1;
  #length = 0;

  /** @param onTooLarge called once; nothing more is read then */
  constructor(socket: Socket, packetBytesMax: number, onTooLarge: (sizeBytes: number) => void) {
    this.#read = socket.read.bind(socket);
    this.#packetBytesMax = packetBytesMax;
    this.#onTooLarge = onTooLarge;
    socket.read = (size?: number): unknown => this.#next(size);
  }

  /** Whether the broker gets what has come. It asks again after each acknowledgement, so it need not be told. */
  set reading(reading: boolean) {
    this.#reading = reading;
  }

  #next(size: number | undefined): unknown {
    if (!this.#reading || this.#isOver) return null;
    const chunk = this.#read(size) as Buffer | null;
    if (chunk !== null && !this.#isWithinLimit(chunk)) {
      this.#isOver = true;
      this.#onTooLarge(this.#length);
      return null;
    }
    return chunk;
  }

  /** Walks from packet to packet: a type byte, a length of up to four bytes of seven bits, and as many bytes. */
  #isWithinLimit(chunk: Buffer): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#remaining > 0) {
        const skipped = Math.min(this.#remaining, chunk.length - at);
        this.#remaining -= skipped;
        at += skipped;
        continue;
      }
      const byte = chunk[at] as number;
      at += 1;
      if (this.#lengthBytes === -1) {
        this.#lengthBytes = 0;
        this.#length = 0;
        continue;
      }
      this.#length += (byte & 0x7f) * 128 ** this.#lengthBytes;
      this.#lengthBytes += 1;
      if (this.#length > this.#packetBytesMax || this.#lengthBytes > 4) return false;
      if (byte < 0x80) {
        this.#remaining = this.#length;
        this.#lengthBytes = -1;
      }
    }
    return true;
  }
}
