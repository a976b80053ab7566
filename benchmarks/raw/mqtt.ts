/** The few MQTT 3.1.1 packets that the load writes. */

export function connectPacket(client: string): Buffer {
  const flags = 0x02; // clean session
  const keepAlive = [0, 0];
  return packet(0x10, [text("MQTT"), Buffer.from([4, flags, ...keepAlive]), text(client)]);
}

export function subscribePacket(filter: string): Buffer {
  return packet(0x82, [Buffer.from([0, 1]), text(filter), Buffer.from([0])]);
}

function packet(header: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length: number[] = [];
  let rest = body.length;
  do {
    length.push((rest % 128) | (rest >= 128 ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.concat([Buffer.from([header, ...length]), body]);
}

function text(value: string): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(Buffer.byteLength(value));
  return Buffer.concat([length, Buffer.from(value)]);
}

export interface Messages {
  readonly count: number;
  /** They count up, over 65,535 back to 1. */
  readonly firstId: number;
  /** Nine digits; they count up. */
  readonly firstValue: number;
  /** Ms since the epoch. */
  readonly time: number;
}

const emptyTime = "0".repeat(13);
const emptyValue = "0".repeat(9);

/** One device's twin update at QoS 1, encoded once; only packet id, time and value are written anew. */
export class Template {
  readonly #bytes: Buffer;
  readonly #id: number;
  readonly #time: number;
  readonly #value: number;

  constructor(device: number) {
    const topic = text(`$hw/events/device/default/dev-${device}/twin/update`);
    const payload = `{"event_id":"","timestamp":${emptyTime},"twin":{"temperature":{"actual":{"value":"${emptyValue}"},"metadata":{"type":"float"}}}}`;
    this.#bytes = packet(0x32, [topic, Buffer.alloc(2), Buffer.from(payload)]);
    const payloadAt = this.#bytes.length - payload.length;
    this.#id = payloadAt - 2;
    this.#time = payloadAt + payload.indexOf(emptyTime);
    this.#value = payloadAt + payload.indexOf(emptyValue, payload.indexOf("actual"));
  }

  write({ count, firstId, firstValue, time }: Messages): Buffer {
    const size = this.#bytes.length;
    const all = Buffer.allocUnsafe(size * count);
    for (let index = 0; index < count; index++) {
      const at = index * size;
      this.#bytes.copy(all, at);
      all.writeUInt16BE(((firstId + index - 1) % 65_535) + 1, at + this.#id);
      writeDigits(all, at + this.#time, 13, time);
      writeDigits(all, at + this.#value, 9, firstValue + index);
    }
    return all;
  }
}

function writeDigits(bytes: Buffer, at: number, digits: number, value: number): void {
  let rest = value;
  for (let index = at + digits - 1; index >= at; index--) {
    const next = Math.floor(rest / 10);
    bytes[index] = 48 + rest - next * 10;
    rest = next;
  }
}
