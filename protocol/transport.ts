/**
 * What the link's session needs of a connection: whole messages both ways, in order, with a view of how much is unsent.
 * The WebSocket adapter implements it, and so does the simulator.
 */
export interface Transport {
  /**
   * Hands over one message. The bytes belong to the transport from then on: whoever sends must not change them.
   * After the end it does nothing, since `onClose` has said so or is about to.
   */
  send(bytes: Uint8Array): void;
  /** Bytes handed over that the socket has not taken yet. */
  readonly buffered: number;
  /** Bytes received so far, those of unfinished messages too: any change is a sign of life. */
  readonly received: number;
  /** Ends the connection once what was sent is out, or a bounded time has passed, and receives nothing more; `code` tells the peer why. */
  close(code?: string): void;
  /**
   * Sets the one receiver. Nothing is read before there is one. The bytes may share memory with their neighbours:
   * what is kept for long should be copied.
   */
  onMessage(receive: (bytes: Uint8Array) => void): void;
  /** Called each time `buffered` has fallen below `writableBelowBytes` after having reached it. */
  onWritable(resume: () => void): void;
  /** Called once, after the last message, whoever ended the connection; at once when it has ended already. */
  onClose(ended: (reason: TransportEnd) => void): void;
}

export interface TransportEnd {
  /** Which side ended it; `cut` when neither said so. */
  readonly by: "self" | "peer" | "cut";
  /** The error code that was given to `close`, here or there, or the one a bad frame stands for. */
  readonly code: string | undefined;
  /** A sentence for people. */
  readonly message: string;
}

/** The largest message, bytes. */
export const messageBytesMax: number = 65_536;

/** Below this much unsent, bytes, a transport that was full says that it is writable. */
export const writableBelowBytes: number = 63_488;

/** The path of the link on the cloud's WebSocket server. */
export const linkPath: string = "/tidemark/v1/link";
