import { connect, type Socket } from 'node:net';

/** Types of frames (RFC 9113, 6). */
export const frames = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const flags = { ack: 1, endStream: 1, endHeaders: 4 } as const;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** A frame, as it goes over the wire. */
export function frame(
  type: number,
  flag: number,
  stream: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flag;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A setting: 3 maximum of streams, 4 initial window, … */
export function setting(id: number, value: number): Buffer {
  return Buffer.concat([Buffer.from([0, id]), uint32(value)]);
}

/** HPACK without its table and without Huffman codes: each field a literal that is not indexed. */
export function headerBlock(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [Buffer.from([0x00]), text(name), text(value)]),
  );
}

/** A string literal; an integer with a prefix of 7 bits before it (RFC 7541, 5.1). */
function text(of: string): Buffer {
  const bytes = Buffer.from(of);
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

/** Of a gRPC call. */
export function grpcHeaders(
  path: string,
  more: readonly (readonly [string, string])[] = [],
): Buffer {
  return headerBlock([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'test'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...more,
  ]);
}

/** A gRPC message with its prefix. */
export function message(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/**
 * An HTTP/2 client that does as it is told, and no more: it answers no SETTINGS, opens no window,
 * and tells that it lives (by answering PING) only while it should.
 */
export class RawHttp2 {
  readonly socket: Socket;
  readonly received: Frame[] = [];
  closed = false;
  answersPings = true;
  #pending: Buffer = Buffer.alloc(0);

  constructor(port: number, settings: Buffer = Buffer.alloc(0)) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.closed = true;
    });
    this.socket.on('data', (chunk: Buffer) => this.#data(chunk));
    this.send(
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      frame(frames.settings, 0, 0, settings),
    );
  }

  send(...parts: readonly Buffer[]): boolean {
    return this.closed || this.socket.write(Buffer.concat(parts));
  }

  of(type: number): readonly Frame[] {
    return this.received.filter((one) => one.type === type);
  }

  close(): void {
    this.socket.destroy();
  }

  #data(chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    while (this.#pending.length >= 9) {
      const end = 9 + this.#pending.readUIntBE(0, 3);
      if (this.#pending.length < end) return;
      const [, , , type = 0, flag = 0] = this.#pending;
      const stream = this.#pending.readUInt32BE(5) & 0x7fffffff;
      this.received.push({ type, flags: flag, stream, payload: this.#pending.subarray(9, end) });
      const payload = this.#pending.subarray(9, end);
      if (type === frames.ping && this.answersPings) this.send(frame(type, flags.ack, 0, payload));
      this.#pending = this.#pending.subarray(end);
    }
  }
}
