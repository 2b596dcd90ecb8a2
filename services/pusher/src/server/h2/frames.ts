/** The layout of HTTP/2 frames (RFC 9113, 4.1 and 6). */

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const frameFlags = {
  ack: 0x1,
  endStream: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

/** RFC 9113, 7. */
export const errorCodes = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const;

export type ErrorCode = (typeof errorCodes)[keyof typeof errorCodes];

/** RFC 9113, 6.5.2. */
export const settingIds = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

export const headBytes = 9;
/** What a peer may send in a frame: we ask for no more than what is the least. */
export const maxFrameBytes = 16_384;
export const defaultWindow = 65_535;
/** Of HPACK. */
export const defaultTableBytes = 4_096;
/** Ours of a connection: each stream bounds what is held of it, so this need not. */
export const ownWindow = 1024 * 1024;
export const maxWindow = 0x7fff_ffff;
export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Ends a connection: its code goes into the GOAWAY. */
export class ConnectionError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export function broken(why: string): ConnectionError {
  return new ConnectionError(errorCodes.protocol, why);
}

export function overflow(): ConnectionError {
  return new ConnectionError(errorCodes.flowControl, 'a window that is too large');
}

export function expectBytes(payload: Buffer, least: number, most = least): void {
  if (payload.length >= least && payload.length <= most) return;
  throw new ConnectionError(errorCodes.frameSize, 'a wrong length');
}

function writeHead(
  into: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  stream: number,
): void {
  into[at] = length >>> 16;
  into[at + 1] = length >>> 8;
  into[at + 2] = length;
  into[at + 3] = type;
  into[at + 4] = flags;
  into.writeUInt32BE(stream, at + 5);
}

export function frameHead(length: number, type: number, flags: number, stream: number): Buffer {
  const head = Buffer.allocUnsafe(headBytes);
  writeHead(head, 0, length, type, flags, stream);
  return head;
}

export function frameOf(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headBytes + payload.length);
  writeHead(frame, 0, payload.length, type, flags, stream);
  frame.set(payload, headBytes);
  return frame;
}

function numberFrame(type: number, stream: number, value: number): Buffer {
  const frame = Buffer.allocUnsafe(headBytes + 4);
  writeHead(frame, 0, 4, type, 0, stream);
  frame.writeUInt32BE(value, headBytes);
  return frame;
}

export function resetFrame(stream: number, code: ErrorCode): Buffer {
  return numberFrame(frameTypes.reset, stream, code);
}

export function windowFrame(stream: number, increment: number): Buffer {
  return numberFrame(frameTypes.windowUpdate, stream, increment);
}

/** `why` is for whoever reads a capture. */
export function goAwayFrame(lastStream: number, code: ErrorCode, why: string): Buffer {
  const text = Buffer.from(why, 'latin1');
  const payload = Buffer.allocUnsafe(8 + text.length);
  payload.writeUInt32BE(lastStream, 0);
  payload.writeUInt32BE(code, 4);
  payload.set(text, 8);
  return frameOf(frameTypes.goAway, 0, 0, payload);
}

export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.allocUnsafe(6 * settings.length);
  settings.forEach(([id, value], at) => {
    payload.writeUInt16BE(id, 6 * at);
    payload.writeUInt32BE(value, 6 * at + 2);
  });
  return frameOf(frameTypes.settings, 0, 0, payload);
}

/** The bytes of `message` as DATA frames of a stream, in one buffer. */
export function dataFrames(message: Uint8Array, stream: number): Buffer {
  const count = Math.ceil(message.length / maxFrameBytes);
  const out = Buffer.allocUnsafeSlow(count * headBytes + message.length);
  let at = 0;
  for (let from = 0; from < message.length; from += maxFrameBytes) {
    const part = message.subarray(from, from + maxFrameBytes);
    writeHead(out, at, part.length, frameTypes.data, 0, stream);
    out.set(part, at + headBytes);
    at += headBytes + part.length;
  }
  return out;
}
