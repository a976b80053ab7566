/** Every limit of the link. Sizes are bytes, times are ms. */

export const protocolVersion = 1;

/** One WebSocket message. */
export const maxFrameBytes: number = 64 * 1024;

/** What a frame holds besides segment bytes: array header, type, numbers, origin, byte-string header. */
export const frameOverheadBytes = 64;

/** In front of each segment of a segments frame: its length, u32. */
export const segmentPrefixBytes = 4;

/** The largest segment that a segments frame holds uncompressed. */
export const maxPlainSegmentBytes: number = maxFrameBytes - frameOverheadBytes - segmentPrefixBytes;

/** What a compressed segments frame may unpack to. */
export const maxBatchBytes: number = 256 * 1024;

/** Below this a batch is not worth compressing. */
export const compressFromBytes: number = 8 * 1024;

/** Compressed must be at most this share of the raw size, or it is sent raw. */
export const compressedShareMax = 0.9;

/** After a batch that did not compress, this many are sent without trying. */
export const compressionPause = 16;

/** What a session hands the socket and the socket has not sent. */
export const maxUnsentBytes: number = 128 * 1024;
/** The largest close: its message takes up to three bytes a character. */
export const maxCloseBytes: number = 2 * 1024;
/** Up to this much unsent, a log frame is handed over: what is left holds the largest, and a close. */
export const unsentForLogBytes: number = maxUnsentBytes - maxFrameBytes - maxCloseBytes;
/** Up to this much unsent, an ack or a ping is: what is left holds the largest ack, and a close. */
export const unsentForControlBytes: number = 96 * 1024;

/** Segment bytes a receiver has granted beyond what is durable. Without a setting, this. */
export const defaultWindowBytes: number = 1024 * 1024;
export const maxWindowBytes: number = 64 * 1024 * 1024;

/** What is asked of the log at a time, and held ready to send, in each lane. */
export const readBytes: number = 256 * 1024;
/** The smallest read asked for: less costs a read each segment. */
export const minReadBytes: number = 4 * 1024;

/** Incarnations of both sides that a hello names. */
export const maxOrigins = 512;
/** Commit boundaries named of each. */
export const maxMarks = 32;

export const maxNodeNameLength = 253;
export const maxShortTextLength = 64;
export const maxMessageLength = 512;

/** A ping goes out after so long without sending anything. */
export const defaultPingAfterMs = 15_000;
/** Nothing heard for so long: the peer is gone. */
export const defaultDeadAfterMs = 45_000;
/** A node that has connected says hello within this. */
export const defaultHelloWithinMs = 10_000;

/** The longest wait that a close may ask for. */
export const maxRetryAfterMs = 600_000;
