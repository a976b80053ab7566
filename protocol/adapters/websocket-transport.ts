import type { Socket } from "node:net";
import type { WebSocket } from "ws";
import type { ErrorCode } from "../../core/errors.ts";
import { type Transport, type TransportEnd, messageBytesMax, writableBelowBytes } from "../transport.ts";
import { errnoOf } from "./files.ts";

/** What both ends of the link ask of `ws`. */
export const socketOptions: {
  readonly perMessageDeflate: false;
  readonly maxPayload: number;
  readonly closeTimeout: number;
} = {
  // Compressing each message would cost 240 KiB a connection; segments are compressed before they get here.
  perMessageDeflate: false,
  maxPayload: messageBytesMax,
  // How long a peer may take to answer our close, ms.
  closeTimeout: 2000,
};

/** The close code of the range left to applications that goes with an error code as its reason. */
const closedWithCode = 4000;

/** One WebSocket as a `Transport`. */
export class WebSocketTransport implements Transport {
  readonly #socket: WebSocket;
  readonly #stream: Socket;
  #corked = false;
  #full = false;
  #refusal: ErrorCode | undefined;
  #closedBySelf: { readonly code: string | undefined } | undefined;
  #end: TransportEnd | undefined;
  #receive: ((bytes: Uint8Array) => void) | undefined;
  #resume: (() => void) | undefined;
  #ended: ((reason: TransportEnd) => void) | undefined;

  /** Takes over an open WebSocket and the TLS socket below it. */
  constructor(socket: WebSocket, stream: Socket) {
    this.#socket = socket;
    this.#stream = stream;
    socket.pause();
    socket.on("message", (message: Buffer, isBinary: boolean) => this.#received(message, isBinary));
    socket.on("error", (error) => this.#failed(error));
    socket.on("close", (status, reason) => this.#closed(status, reason.toString()));
  }

  send(bytes: Uint8Array): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#cork();
    this.#socket.send(bytes, binary, this.#taken);
    if (this.#stream.writableLength >= writableBelowBytes) this.#full = true;
  }

  get buffered(): number {
    return this.#end ? 0 : this.#stream.writableLength;
  }

  get received(): number {
    return this.#stream.bytesRead;
  }

  close(code?: string): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#closedBySelf = { code };
    if (code === undefined) this.#socket.close(1000);
    else this.#socket.close(closedWithCode, code);
    // Our close may be waited for by a peer that sends nothing more: its answer must be read.
    this.#socket.resume();
    this.#uncork();
  }

  /** Cuts the connection without waiting for the peer. */
  terminate(): void {
    this.#socket.terminate();
  }

  onMessage(receive: (bytes: Uint8Array) => void): void {
    this.#receive = receive;
    this.#socket.resume();
  }

  onWritable(resume: () => void): void {
    this.#resume = resume;
  }

  onClose(ended: (reason: TransportEnd) => void): void {
    this.#ended = ended;
    if (this.#end) ended(this.#end);
  }

  // What is sent while one turn of the event loop lasts goes out together, in one TLS write.
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#stream.cork();
    setImmediate(() => this.#uncork());
  }

  #uncork(): void {
    if (!this.#corked) return;
    this.#corked = false;
    this.#stream.uncork();
  }

  // One closure for all sends. A failed write is not looked at here: the end is told by `onClose`.
  readonly #taken = (): void => {
    if (!this.#full || this.#stream.writableLength >= writableBelowBytes) return;
    this.#full = false;
    this.#resume?.();
  };

  #received(message: Buffer, isBinary: boolean): void {
    if (this.#closedBySelf || this.#refusal) return;
    if (isBinary) {
      // Plain bytes: pure code must not meet a Buffer, whose `slice` shares memory.
      this.#receive?.(new Uint8Array(message.buffer, message.byteOffset, message.length));
    } else {
      this.#refusal = "FRAME_INVALID";
      this.#socket.close(1003);
    }
  }

  #failed(error: Error): void {
    const errno = errnoOf(error) ?? "";
    if (errno === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") this.#refusal = "FRAME_TOO_LARGE";
    else if (errno.startsWith("WS_ERR_")) this.#refusal = "FRAME_INVALID";
  }

  #closed(status: number, reason: string): void {
    this.#end = this.#endOf(status, reason);
    this.#ended?.(this.#end);
  }

  #endOf(status: number, reason: string): TransportEnd {
    if (this.#refusal) {
      const message = `the peer sent a frame that is ${this.#refusal === "FRAME_TOO_LARGE" ? "too large" : "not allowed"}`;
      return { by: "self", code: this.#refusal, message };
    }
    if (this.#closedBySelf)
      return { by: "self", code: this.#closedBySelf.code, message: "we closed the connection" };
    if (status === 1006) return { by: "cut", code: undefined, message: "the connection was cut" };
    const code = codeOfClose(status, reason);
    const why = code === undefined ? "" : ` with ${code}`;
    return { by: "peer", code, message: `the peer closed the connection${why}` };
  }
}

const binary = { binary: true } as const;

function codeOfClose(status: number, reason: string): string | undefined {
  if (status === closedWithCode) return /^[A-Z][A-Z_]{0,63}$/.test(reason) ? reason : undefined;
  if (status === 1009) return "FRAME_TOO_LARGE";
  if (status === 1002 || status === 1003 || status === 1007) return "FRAME_INVALID";
  return status === 1001 ? "SHUTTING_DOWN" : undefined;
}
